//! The stored envelope, versions 1 and 2. What version 1 can hold is written as
//! version 1.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 or 2 |
//! | bits | byte: 0-1 body (0 7bit, 1 8bitmime, 2 binarymime), 2 smtputf8, 3 sender is null, 4-5 ret (0 none, 1 full, 2 hdrs), 6 envid present |
//! | sender | text, unless null |
//! | envid | text, if present |
//! | recipients | varint count, then each: address text, byte bits |
//! | … bits | 0 notify given, 1 success, 2 failure, 3 delay (none of 1-3: never), 4 orcpt present |
//! | … orcpt | type text, address text, if present |
//! | *from version 2 on:* wishes | byte: 0-1 tls (0 usual, 1 required, 2 not needed), 2 hold, 3 deliver-by, 4 priority, 5 valid-since present |
//! | hold until | varint, ms since 1970, if present |
//! | deliver by | varint, ms since 1970; byte: 0 return (else notify), 1 trace; if present |
//! | priority | byte, 9 more than it is (0 to 18), if present |
//! | valid since | if present, for each recipient: byte (0 not given, 1 continue, 2 reject); unless 0: 8 bytes, seconds since 1970 |

use wire::codec::{DecodeError, Reader, Writer};

use crate::dsn::{Notify, OriginalRecipient, Ret};
use crate::limits::RECIPIENTS_MAX;
use crate::wishes::{ByMode, DeliverBy, Priority, TlsWish, ValidSince};
use crate::{Address, ReversePath};

const VERSION_1: u8 = 1;
const VERSION_2: u8 = 2;

/// BODY=: what the message's lines may hold (RFC 6152, RFC 3030).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyType {
    /// `7BIT`, the default.
    #[default]
    SevenBit,
    /// `8BITMIME`.
    EightBitMime,
    /// `BINARYMIME`.
    BinaryMime,
}

/// One recipient and what its sender wants to hear about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Where to.
    pub address: Address,
    /// NOTIFY=.
    pub notify: Notify,
    /// ORCPT=.
    pub orcpt: Option<OriginalRecipient>,
    /// RRVS=.
    pub valid_since: Option<ValidSince>,
}

impl Recipient {
    /// A recipient without parameters.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            notify: Notify::Default,
            orcpt: None,
            valid_since: None,
        }
    }
}

/// Who a message is from and for, apart from what its header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO, in their order.
    pub recipients: Vec<Recipient>,
    /// BODY=.
    pub body: BodyType,
    /// SMTPUTF8 was given.
    pub smtputf8: bool,
    /// RET=.
    pub ret: Option<Ret>,
    /// ENVID=, decoded.
    pub envid: Option<String>,
    /// REQUIRETLS, or the header field that lets go of it.
    pub tls: TlsWish,
    /// HOLDFOR= or HOLDUNTIL=: not before, in milliseconds since 1970.
    pub hold_until_ms: Option<u64>,
    /// BY=.
    pub deliver_by: Option<DeliverBy>,
    /// MT-PRIORITY=.
    pub priority: Option<Priority>,
}

impl Envelope {
    /// An envelope without recipients and parameters.
    #[must_use]
    pub fn new(reverse_path: ReversePath) -> Self {
        Self {
            reverse_path,
            recipients: Vec::new(),
            body: BodyType::default(),
            smtputf8: false,
            ret: None,
            envid: None,
            tls: TlsWish::default(),
            hold_until_ms: None,
            deliver_by: None,
            priority: None,
        }
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let wishes = self.wishes();
        let version = if wishes == 0 { VERSION_1 } else { VERSION_2 };
        let mut writer = Writer::new();
        writer.u8(version).u8(self.bits());
        if let ReversePath::Address(sender) = &self.reverse_path {
            writer.text(&sender.to_string());
        }
        if let Some(envid) = &self.envid {
            writer.text(envid);
        }
        writer.varint(self.recipients.len() as u64);
        for recipient in &self.recipients {
            encode_recipient(&mut writer, recipient);
        }
        if version == VERSION_2 {
            self.encode_wishes(&mut writer, wishes);
        }
        writer.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Not a record of a known version, or an address in it is not valid.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(record);
        let envelope = Self::decode_from(&mut reader)?;
        reader.finish()?;
        Ok(envelope)
    }

    /// As [`Envelope::decode`], from within another record.
    ///
    /// # Errors
    /// As [`Envelope::decode`].
    pub fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.u8()?;
        if !matches!(version, VERSION_1 | VERSION_2) {
            return Err(DecodeError::Version(version));
        }
        let bits = reader.u8()?;
        if bits & 0x80 != 0 {
            return Err(DecodeError::Tag(bits));
        }
        let body = match bits & 3 {
            0 => BodyType::SevenBit,
            1 => BodyType::EightBitMime,
            2 => BodyType::BinaryMime,
            _ => return Err(DecodeError::Tag(bits)),
        };
        let ret = match bits >> 4 & 3 {
            0 => None,
            1 => Some(Ret::Full),
            2 => Some(Ret::Hdrs),
            _ => return Err(DecodeError::Tag(bits)),
        };
        let reverse_path = if bits & 8 != 0 {
            ReversePath::Null
        } else {
            ReversePath::Address(decode_address(reader)?)
        };
        let envid = match bits & 0x40 {
            0 => None,
            _ => Some(decode_clean(reader)?),
        };
        let count = usize::try_from(reader.varint()?).map_err(|_| DecodeError::OutOfRange)?;
        if count > RECIPIENTS_MAX {
            return Err(DecodeError::OutOfRange);
        }
        let recipients = (0..count)
            .map(|_| decode_recipient(reader))
            .collect::<Result<_, _>>()?;
        let mut envelope = Self {
            recipients,
            body,
            smtputf8: bits & 4 != 0,
            ret,
            envid,
            ..Self::new(reverse_path)
        };
        if version == VERSION_2 {
            envelope.decode_wishes(reader)?;
        }
        Ok(envelope)
    }

    /// The byte that says what there is of version 2.
    fn wishes(&self) -> u8 {
        let tls = match self.tls {
            TlsWish::Usual => 0,
            TlsWish::Required => 1,
            TlsWish::NotNeeded => 2,
        };
        let since = self.recipients.iter().any(|r| r.valid_since.is_some());
        tls | u8::from(self.hold_until_ms.is_some()) << 2
            | u8::from(self.deliver_by.is_some()) << 3
            | u8::from(self.priority.is_some()) << 4
            | u8::from(since) << 5
    }

    fn encode_wishes(&self, writer: &mut Writer, wishes: u8) {
        writer.u8(wishes);
        if let Some(hold_until_ms) = self.hold_until_ms {
            writer.varint(hold_until_ms);
        }
        if let Some(by) = self.deliver_by {
            let mode = u8::from(by.mode == ByMode::Return);
            writer.varint(by.by_ms).u8(mode | u8::from(by.trace) << 1);
        }
        if let Some(priority) = self.priority {
            // At least 0, because a priority is at least −9.
            let value = u8::try_from(priority.get() + Priority::MAX).unwrap_or_default();
            writer.u8(value);
        }
        if wishes & 0x20 == 0 {
            return;
        }
        for recipient in &self.recipients {
            match recipient.valid_since {
                None => writer.u8(0),
                Some(since) => writer
                    .u8(1 + u8::from(since.reject))
                    .u64_be(since.unix_seconds.cast_unsigned()),
            };
        }
    }

    fn decode_wishes(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let wishes = reader.u8()?;
        self.tls = match wishes & 3 {
            0 => TlsWish::Usual,
            1 => TlsWish::Required,
            2 => TlsWish::NotNeeded,
            _ => return Err(DecodeError::Tag(wishes)),
        };
        // What version 1 can hold is not written as version 2.
        if wishes & 0xc0 != 0 || wishes == 0 {
            return Err(DecodeError::Tag(wishes));
        }
        if wishes & 4 != 0 {
            self.hold_until_ms = Some(reader.varint()?);
        }
        if wishes & 8 != 0 {
            let by_ms = reader.varint()?;
            let bits = reader.u8()?;
            if bits & !3 != 0 {
                return Err(DecodeError::Tag(bits));
            }
            self.deliver_by = Some(DeliverBy {
                by_ms,
                mode: if bits & 1 != 0 {
                    ByMode::Return
                } else {
                    ByMode::Notify
                },
                trace: bits & 2 != 0,
            });
        }
        if wishes & 0x10 != 0 {
            let value = i8::try_from(reader.u8()?).map_err(|_| DecodeError::OutOfRange)?;
            let priority = Priority::new(value - Priority::MAX);
            self.priority = Some(priority.ok_or(DecodeError::OutOfRange)?);
        }
        if wishes & 0x20 == 0 {
            return Ok(());
        }
        for recipient in &mut self.recipients {
            recipient.valid_since = match reader.u8()? {
                0 => None,
                kind @ (1 | 2) => Some(ValidSince {
                    unix_seconds: reader.u64_be()?.cast_signed(),
                    reject: kind == 2,
                }),
                other => return Err(DecodeError::Tag(other)),
            };
        }
        if self.recipients.iter().all(|r| r.valid_since.is_none()) {
            return Err(DecodeError::Tag(wishes));
        }
        Ok(())
    }

    fn bits(&self) -> u8 {
        let body = match self.body {
            BodyType::SevenBit => 0,
            BodyType::EightBitMime => 1,
            BodyType::BinaryMime => 2,
        };
        let ret = match self.ret {
            None => 0,
            Some(Ret::Full) => 1,
            Some(Ret::Hdrs) => 2,
        };
        body | u8::from(self.smtputf8) << 2
            | u8::from(self.reverse_path == ReversePath::Null) << 3
            | ret << 4
            | u8::from(self.envid.is_some()) << 6
    }
}

fn encode_recipient(writer: &mut Writer, recipient: &Recipient) {
    let notify = match recipient.notify {
        Notify::Default => 0,
        Notify::Never => 1,
        Notify::On {
            success,
            failure,
            delay,
        } => 1 | u8::from(success) << 1 | u8::from(failure) << 2 | u8::from(delay) << 3,
    };
    writer
        .text(&recipient.address.to_string())
        .u8(notify | u8::from(recipient.orcpt.is_some()) << 4);
    if let Some(orcpt) = &recipient.orcpt {
        writer.text(&orcpt.address_type).text(&orcpt.address);
    }
}

fn decode_recipient(reader: &mut Reader<'_>) -> Result<Recipient, DecodeError> {
    let address = decode_address(reader)?;
    let bits = reader.u8()?;
    if bits & 0xe0 != 0 {
        return Err(DecodeError::Tag(bits));
    }
    let notify = match bits & 0xf {
        0 => Notify::Default,
        1 => Notify::Never,
        set if set & 1 == 1 => Notify::On {
            success: set & 2 != 0,
            failure: set & 4 != 0,
            delay: set & 8 != 0,
        },
        _ => return Err(DecodeError::Tag(bits)),
    };
    let orcpt = match bits & 0x10 {
        0 => None,
        _ => Some(OriginalRecipient {
            address_type: decode_clean(reader)?,
            address: decode_clean(reader)?,
        }),
    };
    Ok(Recipient {
        address,
        notify,
        orcpt,
        valid_since: None,
    })
}

/// A text that can go into a command or a report.
fn decode_clean(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let text = reader.text()?;
    if text.chars().any(char::is_control) {
        return Err(DecodeError::OutOfRange);
    }
    Ok(text.to_owned())
}

fn decode_address(reader: &mut Reader<'_>) -> Result<Address, DecodeError> {
    Address::parse(reader.text()?).map_err(|_| DecodeError::OutOfRange)
}
