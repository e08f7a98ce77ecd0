//! A load generator for SMTP, IMAP and POP3 servers, ours and others alike.

fn main() {}
