//! The IMAP face.
