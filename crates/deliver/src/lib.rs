//! Hands one queued message to one destination: SMTP client, LMTP, local.
