//! The POP3 face.
