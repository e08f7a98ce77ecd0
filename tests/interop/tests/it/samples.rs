//! Messages that the tests send.

/// A word that is only in [`attachment_with_chinese_subject`].
pub const MARK: &str = "mark-4711-attachment";

/// A message as a mail program writes it: a Chinese subject as an encoded
/// word, text in base64, an attachment of 50 kB, CRLF line ends. No line begins
/// with a dot, so it can be sent without stuffing.
pub fn attachment_with_chinese_subject() -> Vec<u8> {
    let mut text = String::from(
        "Date: Wed, 25 Nov 2026 10:00:00 +0800\r\n\
         From: =?UTF-8?B?5byg5LiJ?= <alice@demo.test>\r\n\
         To: bea@far.test\r\n\
         Subject: =?UTF-8?B?5rWL6K+V6YKu5Lu277ya6ZmE5Lu2?=\r\n\
         Message-ID: <mark-4711-attachment@demo.test>\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"=-b1\"\r\n\r\n\
         --=-b1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         5L2g5aW977yM5LiW55WM\r\n\
         --=-b1\r\nContent-Type: application/octet-stream; name=\"data.bin\"\r\n\
         Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"data.bin\"\r\n\r\n",
    );
    let mut state = 4711u32;
    for _ in 0..700 {
        for _ in 0..76 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            text.push(char::from(alphabet[(state >> 26) as usize]));
        }
        text.push_str("\r\n");
    }
    text.push_str("--=-b1--\r\n");
    text.into_bytes()
}
