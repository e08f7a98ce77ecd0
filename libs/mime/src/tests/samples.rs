//! Messages that several tests look at; all our own.

/// RFC 9051 §6.4.5.1's tree: text, bytes, a message with two texts, a
/// multipart with an image and a message with an alternative.
pub(super) const DEEP: &str = "\
From: a@example.org\n\
Subject: deep\n\
MIME-Version: 1.0\n\
Content-Type: multipart/mixed; boundary=\"outer\"\n\
\n\
preamble\n\
--outer\n\
Content-Type: text/plain\n\
\n\
one\n\
--outer\n\
Content-Type: application/octet-stream\n\
\n\
two\n\
--outer\n\
Content-Type: message/rfc822\n\
\n\
From: b@example.org\n\
Subject: third\n\
Content-Type: multipart/mixed; boundary=inner\n\
\n\
--inner\n\
\n\
three one\n\
--inner\n\
Content-Type: application/octet-stream\n\
\n\
three two\n\
--inner--\n\
--outer\n\
Content-Type: multipart/mixed; boundary=four\n\
\n\
--four\n\
Content-Type: image/gif\n\
Content-Transfer-Encoding: base64\n\
\n\
R0lGODlh\n\
--four\n\
Content-Type: message/rfc822\n\
\n\
Subject: four two\n\
Content-Type: multipart/alternative; boundary=alt\n\
\n\
--alt\n\
\n\
plain\n\
--alt\n\
Content-Type: text/html\n\
\n\
<p>rich</p>\n\
--alt--\n\
--four--\n\
--outer--\n\
epilogue\n";

/// A digest without a single content type inside.
pub(super) const DIGEST: &str = "\
Content-Type: multipart/digest; boundary=d\n\
\n\
--d  \n\
\n\
From: m1@example.com\n\
Subject: m1\n\
\n\
body one\n\
\n\
--d\n\
X-Mime: yes\n\
\n\
Subject: m2\n\
\n\
body two\n\
\n\
--d-- \n\
--d\n\
\n\
not a part\n";
