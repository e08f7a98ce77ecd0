//! Accounts as logs: lanes, views, staging of changes, email records, checkpoints.
