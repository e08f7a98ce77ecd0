//! The SMTP, submission and LMTP face.
