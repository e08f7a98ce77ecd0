//! From end of data to the one durable commit.
