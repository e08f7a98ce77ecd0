//! When, where and how many at once: takes due entries from the queue and records outcomes.
