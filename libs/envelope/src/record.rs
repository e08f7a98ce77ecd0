//! The stored envelope, version 1.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | bits | byte: 0-1 body (0 7bit, 1 8bitmime, 2 binarymime), 2 smtputf8, 3 sender is null, 4-5 ret (0 none, 1 full, 2 hdrs), 6 envid present |
//! | sender | text, unless null |
//! | envid | text, if present |
//! | recipients | varint count, then each: address text, byte bits |
//! | … bits | 0 notify given, 1 success, 2 failure, 3 delay (none of 1-3: never), 4 orcpt present |
//! | … orcpt | type text, address text, if present |

use wire::codec::{DecodeError, Reader, Writer};

use crate::dsn::{Notify, OriginalRecipient, Ret};
use crate::limits::RECIPIENTS_MAX;
use crate::{Address, ReversePath};

const VERSION: u8 = 1;

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
}

impl Recipient {
    /// A recipient without parameters.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            notify: Notify::Default,
            orcpt: None,
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
        }
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(VERSION).u8(self.bits());
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
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
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
        Ok(Self {
            reverse_path,
            recipients,
            body,
            smtputf8: bits & 4 != 0,
            ret,
            envid,
        })
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
