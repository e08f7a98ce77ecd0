//! Where a report on TLS lies in the message that brings it: RFC 8460 §5.3.
//!
//! Not here: what it says (`tls-policy`), and who may have sent it.

use mime::{Part, PartKind};

/// The octets of the report in a whole message, as they were attached, compressed or not; none
/// where there is none. No more than the message has.
#[must_use]
pub fn find_tls_report(message: &[u8]) -> Option<Vec<u8>> {
    let digest = mime::digest(message);
    let parts = digest.parts.parts();
    let leaves = || parts.iter().filter(|part| part.kind == PartKind::Leaf);
    let typed = |part: &&Part| part.media_type.starts_with("application/tlsrpt");
    // Quirk: some senders call it by another type and give it the name of RFC 8460 §5.1.
    let named = |part: &&Part| {
        let name = part
            .name
            .as_deref()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let other = part.media_type.starts_with("application/");
        other && (name.ends_with(".json.gz") || name.ends_with(".json"))
    };
    let part = leaves().find(typed).or_else(|| leaves().find(named))?;
    let start = usize::try_from(part.body.start).ok()?;
    let end = usize::try_from(part.body.end).ok()?;
    let body = message.get(start..end)?;
    Some(mime::transfer::decode(part.encoding, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(part: &str) -> String {
        format!(
            "From: noreply@far.test\r\nSubject: Report Domain: near.test Submitter: far.test Report-ID: <1>\r\n\
             TLS-Report-Domain: near.test\r\nTLS-Report-Submitter: far.test\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=\"b\"\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nA report.\r\n--b\r\n{part}\r\n--b--\r\n"
        )
    }

    #[test]
    fn rfc_8460_5_3_the_attachment_is_found() {
        for part in [
            "Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\r\nH4sI\r\nAAAA",
            "Content-Type: application/octet-stream; name=\"a!b!1!2!3.json.gz\"\r\nContent-Transfer-Encoding: base64\r\n\r\nH4sIAAAA",
            "Content-Type: application/gzip\r\nContent-Disposition: attachment; filename=\"x.JSON.GZ\"\r\nContent-Transfer-Encoding: base64\r\n\r\nH4sIAAAA",
        ] {
            let found = find_tls_report(message(part).as_bytes());
            assert_eq!(found.as_deref(), Some(&b"\x1f\x8b\x08\0\0\0"[..]), "{part}");
        }
        let plain = "Content-Type: application/tlsrpt+json\r\n\r\n{\"policies\":[]}";
        let found = find_tls_report(message(plain).as_bytes());
        assert_eq!(found.as_deref(), Some(&b"{\"policies\":[]}"[..]));
        // The report may be all of the message.
        let alone = format!("Subject: x\r\n{plain}");
        assert_eq!(find_tls_report(alone.as_bytes()), found);
    }

    #[test]
    fn a_message_without_one_has_none() {
        for other in [
            message("Content-Type: text/plain; name=\"x.json\"\r\n\r\n{}"),
            message("Content-Type: application/pdf; name=\"x.pdf\"\r\n\r\nx"),
            "Subject: x\r\n\r\n{}".to_owned(),
            String::new(),
        ] {
            assert_eq!(find_tls_report(other.as_bytes()), None, "{other}");
        }
    }
}
