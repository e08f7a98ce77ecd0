//! DNS: MX, addresses, reverse names.
