//! A file of batch SMTP (RFC 2442): the client's half of a session, for a system
//! that fetches it and plays it to its own server.

use std::path::Path;

use envelope::{BodyType, ReversePath};
use smtp_proto::data::{DataEncoder, Framing};

use crate::dress::Form;
use crate::{Handing, Refused};

impl Handing<'_> {
    pub(crate) async fn bsmtp(&self, path: &Path) -> Result<String, Refused> {
        let file = self.append(path.to_owned()).await?;
        let mut head = String::new();
        if file.is_empty() {
            head.push_str(&format!("EHLO {}\r\n", self.hostname));
        }
        let envelope = self.envelope;
        let sender = match &envelope.reverse_path {
            ReversePath::Null => String::new(),
            ReversePath::Address(address) => address.to_string(),
        };
        let body = match envelope.body {
            BodyType::SevenBit => "",
            // There is no BDAT here: lines are lines.
            _ => " BODY=8BITMIME",
        };
        let utf8 = if envelope.smtputf8 { " SMTPUTF8" } else { "" };
        head.push_str(&format!("MAIL FROM:<{sender}>{body}{utf8}\r\n"));
        for recipient in &envelope.recipients {
            head.push_str(&format!("RCPT TO:<{}>\r\n", recipient.address));
        }
        head.push_str("DATA\r\n");
        let form = Form::Smtp(DataEncoder::new(Framing::Dot));
        let file = self.write(file, head.as_bytes(), form).await?;
        let path = self.runtime.blocking(move || file.finish()).await?;
        Ok(format!("appended to {}", path.display()))
    }
}
