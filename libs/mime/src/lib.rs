//! Reads messages: a streaming part index, header fields, IMAP ENVELOPE and BODYSTRUCTURE in wire form.
