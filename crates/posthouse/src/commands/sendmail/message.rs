//! From what a script wrote to a message with an envelope: recipients of the header, a From that is missing, line ends.

use mime::{
    HeaderReader, encoded_word, find_field, mailboxes, normalise_line_ends, parse_addresses,
};

use super::args::Args;
use super::{Failure, Status};

/// Ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    /// Empty is null.
    pub(super) sender: String,
    pub(super) recipients: Vec<String>,
    /// Parameters of MAIL and of each RCPT, each with a blank in front.
    pub(super) mail_parameters: String,
    pub(super) rcpt_parameters: String,
    /// With CRLF line ends.
    pub(super) text: Vec<u8>,
}

/// Cuts the text at a line that is nothing but a dot.
pub(super) fn cut_at_dot(text: &mut Vec<u8>) {
    let mut at = 0;
    for line in text.split_inclusive(|&b| b == b'\n') {
        if matches!(line, b".\n" | b".\r\n") {
            break;
        }
        at += line.len();
    }
    text.truncate(at);
}

/// `user` runs the command; names without a domain are of `domain`.
pub(super) fn prepare(
    text: &[u8],
    args: &Args,
    user: &str,
    domain: &str,
) -> Result<Prepared, Failure> {
    let text = normalise_line_ends(without_mbox_line(text)).into_owned();
    let header = header_of(&text);
    let full = |address: &str| match address.trim_matches(['<', '>']) {
        "" => String::new(),
        address if address.contains('@') => address.to_owned(),
        name => format!("{name}@{domain}"),
    };
    let mut recipients: Vec<String> = args
        .recipients
        .iter()
        .flat_map(|word| word.split(','))
        .map(|word| full(word.trim()))
        .collect();
    if args.from_header {
        recipients.extend(recipients_of(header).iter().map(|address| full(address)));
    }
    recipients.retain(|recipient| !recipient.is_empty());
    let mut seen = std::collections::HashSet::new();
    recipients.retain(|recipient| seen.insert(recipient.clone()));
    if recipients.is_empty() {
        return Err(Failure::new(Status::Usage, "there is no recipient"));
    }
    let sender = full(args.sender.as_deref().unwrap_or(user));
    let mut whole = Vec::with_capacity(text.len() + 100);
    if find_field(header, "From").is_none() {
        let address = if sender.is_empty() {
            full(user)
        } else {
            sender.clone()
        };
        whole.extend_from_slice(from_field(args.name.as_deref(), &address).as_bytes());
    }
    if header.is_empty() && !text.starts_with(b"\r\n") {
        whole.extend_from_slice(b"\r\n");
    }
    whole.extend_from_slice(&text);
    let (mail_parameters, rcpt_parameters) = parameters(args)?;
    Ok(Prepared {
        sender,
        recipients,
        mail_parameters,
        rcpt_parameters,
        text: whole,
    })
}

/// `From ` in front is a mailbox file's, not the message's.
fn without_mbox_line(text: &[u8]) -> &[u8] {
    match text.strip_prefix(b"From ") {
        Some(rest) => {
            let end = rest
                .iter()
                .position(|&b| b == b'\n')
                .map_or(rest.len(), |at| at + 1);
            &rest[end..]
        }
        None => text,
    }
}

/// The header, empty when the text begins with something else.
fn header_of(text: &[u8]) -> &[u8] {
    let first = text.split(|&b| b == b'\n').next().unwrap_or_default();
    let name = first.split(|&b| b == b':').next().unwrap_or_default();
    let named =
        first.contains(&b':') && !name.is_empty() && name.iter().all(|b| b.is_ascii_graphic());
    if !named {
        return b"";
    }
    let end = text.windows(4).position(|four| four == b"\r\n\r\n");
    &text[..end.map_or(text.len(), |at| at + 2)]
}

/// To, Cc and Bcc; of Resent- ones only those, if there are any (RFC 5322 §3.6.6).
fn recipients_of(header: &[u8]) -> Vec<String> {
    let resent = ["Resent-To", "Resent-Cc", "Resent-Bcc"];
    let usual = ["To", "Cc", "Bcc"];
    let names = if resent.iter().any(|name| find_field(header, name).is_some()) {
        resent
    } else {
        usual
    };
    let fields = HeaderReader::new(header).filter(|field| names.iter().any(|name| field.is(name)));
    let mut found = Vec::new();
    for field in fields {
        let items = parse_addresses(&field.unfolded());
        for mailbox in mailboxes(&items) {
            let Ok(local) =
                envelope::LocalPart::from_content(&String::from_utf8_lossy(&mailbox.local))
            else {
                continue;
            };
            let domain = String::from_utf8_lossy(&mailbox.domain);
            found.push(match &domain[..] {
                "" => local.to_string(),
                domain => format!("{local}@{domain}"),
            });
        }
    }
    found
}

fn from_field(name: Option<&str>, address: &str) -> String {
    let name: String = name
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    match name.trim() {
        "" => format!("From: {address}\r\n"),
        name if name.is_ascii() => {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            format!("From: \"{quoted}\" <{address}>\r\n")
        }
        name => format!("From: {} <{address}>\r\n", encoded_word::encode(name)),
    }
}

/// DSN's parameters, checked so that nothing else gets into the command.
fn parameters(args: &Args) -> Result<(String, String), Failure> {
    let bad = |what: &str| Failure::new(Status::Usage, format!("{what} is malformed"));
    let (mut mail, mut rcpt) = (String::new(), String::new());
    if let Some(ret) = &args.ret {
        match ret.to_ascii_uppercase().as_str() {
            word @ ("FULL" | "HDRS") => mail.push_str(&format!(" RET={word}")),
            _ => return Err(bad("-R")),
        }
    }
    if let Some(envid) = &args.envid {
        mail.push_str(&format!(" ENVID={}", envelope::dsn::xtext_encode(envid)));
    }
    if let Some(notify) = &args.notify {
        let notify = envelope::Notify::parse(notify).ok_or_else(|| bad("-N"))?;
        rcpt.push_str(&format!(" NOTIFY={notify}"));
    }
    Ok((mail, rcpt))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn prepared(line: &str, text: &str) -> Prepared {
        let words: Vec<_> = line.split_whitespace().map(Into::into).collect();
        let args = super::super::args::parse(&words).unwrap();
        prepare(text.as_bytes(), &args, "root", "demo.test").unwrap()
    }

    #[test]
    fn the_header_names_recipients_and_lacks_a_sender() {
        let text = "To: Bob <bob@demo.test>, carol\nCc: \"D, E\" <d@e.test>,\n bob@demo.test\nBcc: f@g.test\nSubject: x\n\nhi\n";
        let message = prepared("-t -F Cron x@y.test", text);
        assert_eq!(message.sender, "root@demo.test");
        let want = [
            "x@y.test",
            "bob@demo.test",
            "carol@demo.test",
            "d@e.test",
            "f@g.test",
        ];
        assert_eq!(message.recipients, want);
        let text = String::from_utf8(message.text).unwrap();
        assert!(
            text.starts_with("From: \"Cron\" <root@demo.test>\r\nTo: Bob"),
            "{text}"
        );
        assert!(text.ends_with("\r\nSubject: x\r\n\r\nhi\r\n"));
    }

    #[test]
    fn a_text_without_header_gets_one_and_a_mailbox_line_goes() {
        let message = prepared("-f a@b.test bob", "just text: yes\n");
        assert_eq!(message.text, b"From: a@b.test\r\n\r\njust text: yes\r\n");
        let message = prepared("bob", "From root Thu Nov 26\nFrom: me@demo.test\n\nx");
        assert_eq!(message.text, b"From: me@demo.test\r\n\r\nx");
        let message = prepared("-f <> bob", "Subject: x\n\ny\n");
        assert_eq!(
            (message.sender.as_str(), &message.text[..23]),
            ("", &b"From: root@demo.test\r\nS"[..])
        );
    }

    #[test]
    fn a_lone_dot_ends_it_and_nothing_else_gets_into_commands() {
        let mut text = b"a\n..\n.\nb\n".to_vec();
        cut_at_dot(&mut text);
        assert_eq!(text, b"a\n..\n");
        let message = prepared("-N failure,delay -R hdrs -V a=b bob", "x\n");
        assert_eq!(message.mail_parameters, " RET=HDRS ENVID=a+3Db");
        assert_eq!(message.rcpt_parameters, " NOTIFY=FAILURE,DELAY");
        let words = ["-N", "never ORCPT=x", "bob"].map(Into::into);
        let args = super::super::args::parse(&words).unwrap();
        assert_eq!(
            prepare(b"x", &args, "root", "demo.test")
                .unwrap_err()
                .status,
            Status::Usage
        );
        assert!(!from_field(Some("a\r\nBcc: x"), "a@b.test").contains("\r\nBcc"));
    }
}
