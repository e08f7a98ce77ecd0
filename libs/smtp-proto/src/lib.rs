//! SMTP and LMTP as sans-IO machines, server and client.
