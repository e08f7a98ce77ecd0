//! Names things: addresses, paths, domains, enhanced status codes, replies, account ids.
