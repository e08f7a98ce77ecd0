//! The few lines of SMTP that a message needs, over the local socket.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use envelope::{Address, ReversePath};
use smtp_proto::data::{DataEncoder, Framing};
use smtp_proto::limits::{REPLY_LINE_BYTES_MAX, REPLY_LINES_MAX};

use super::message::Prepared;
use super::{Failure, Status};

struct Session {
    stream: BufReader<UnixStream>,
}

/// The code and the words of a reply.
type Reply = (u16, String);

pub(super) fn send(stream: UnixStream, message: &Prepared) -> Result<(), Failure> {
    let sender = ReversePath::parse(&message.sender)
        .map_err(|error| Failure::new(Status::Usage, format!("{:?}: {error}", message.sender)))?;
    let recipients: Vec<Address> = message
        .recipients
        .iter()
        .map(|text| {
            Address::parse(text)
                .map_err(|error| Failure::new(Status::NoUser, format!("{text:?}: {error}")))
        })
        .collect::<Result<_, _>>()?;
    let mut session = Session {
        stream: BufReader::new(stream),
    };
    session.expect_greeting()?;
    session.must("EHLO localhost", Status::Unavailable)?;
    let letters = sender.address().is_some_and(Address::needs_smtputf8)
        || recipients.iter().any(Address::needs_smtputf8);
    let path = |address: &Address| match address.to_ascii() {
        Some(ascii) if !letters => ascii,
        _ => address.to_string(),
    };
    let from = sender.address().map(path).unwrap_or_default();
    let utf8 = if letters { " SMTPUTF8" } else { "" };
    let parameters = &message.mail_parameters;
    let size = message.text.len();
    let mail = format!("MAIL FROM:<{from}> SIZE={size} BODY=8BITMIME{utf8}{parameters}");
    session.must(&mail, Status::NoPerm)?;
    // The others get it all the same.
    let mut refused = None;
    let mut accepted = 0;
    for recipient in &recipients {
        let rcpt = format!("RCPT TO:<{}>{}", path(recipient), message.rcpt_parameters);
        match session.must(&rcpt, Status::NoUser) {
            Ok(()) => accepted += 1,
            Err(failure) => {
                refused.get_or_insert(failure);
            }
        }
    }
    if accepted > 0 {
        session.must("DATA", Status::Unavailable)?;
        let mut out = Vec::new();
        let mut encoder = DataEncoder::new(Framing::Dot);
        encoder.encode(&message.text, &mut out);
        encoder.finish(&mut out);
        session.write(&out)?;
        let reply = session.read()?;
        judge(&reply, Status::Unavailable)?;
    }
    // It has what it was given; how the goodbye goes is of no interest.
    let _ = session.write(b"QUIT\r\n");
    refused.map_or(Ok(()), Err)
}

impl Session {
    fn expect_greeting(&mut self) -> Result<(), Failure> {
        let reply = self.read()?;
        judge(&reply, Status::TempFail)
    }

    /// Says a line; what is refused for good is `refused`.
    fn must(&mut self, line: &str, refused: Status) -> Result<(), Failure> {
        // Addresses and parameters hold no control characters: their parsers see to it.
        self.write(format!("{line}\r\n").as_bytes())?;
        let reply = self.read()?;
        judge(&reply, refused)
    }

    fn write(&mut self, octets: &[u8]) -> Result<(), Failure> {
        self.stream.get_mut().write_all(octets).map_err(lost)
    }

    fn read(&mut self) -> Result<Reply, Failure> {
        let mut text = String::new();
        for _ in 0..REPLY_LINES_MAX {
            let mut line = String::new();
            let mut limited = self.stream.by_ref().take(REPLY_LINE_BYTES_MAX as u64);
            limited.read_line(&mut line).map_err(lost)?;
            let (Some(code), Some(words)) = (line.get(..3), line.get(4..)) else {
                break;
            };
            text.push_str(words.trim_end());
            if line.as_bytes()[3] == b'-' {
                text.push(' ');
                continue;
            }
            let code = code.parse().map_err(|_| out_of_step())?;
            return Ok((code, text));
        }
        Err(out_of_step())
    }
}

fn judge((code, text): &Reply, refused: Status) -> Result<(), Failure> {
    match code / 100 {
        2 | 3 => Ok(()),
        5 => Err(Failure::new(refused, text.clone())),
        _ => Err(Failure::new(Status::TempFail, text.clone())),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "given to `map_err`")]
fn lost(error: std::io::Error) -> Failure {
    Failure::new(
        Status::TempFail,
        format!("the connection to the server broke: {error}"),
    )
}

fn out_of_step() -> Failure {
    Failure::new(Status::TempFail, "the server is out of step")
}
