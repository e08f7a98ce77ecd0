//! Domains, accounts, aliases, passwords, the login cache and login limits.
