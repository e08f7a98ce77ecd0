//! IMAP4rev1/rev2 grammar: framing, commands, responses, sequence sets, mailbox names.
