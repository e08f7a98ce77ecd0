//! Message bodies: content-addressed, chunked, shared; links and their keys.
