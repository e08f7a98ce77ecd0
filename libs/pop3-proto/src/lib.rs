//! POP3 as a sans-IO machine.
