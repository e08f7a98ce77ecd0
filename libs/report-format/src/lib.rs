//! Writes and reads delivery status notifications (RFC 3461-3464).
