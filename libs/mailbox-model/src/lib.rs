//! What an account is: a view, and the one function that applies a log entry to it.
