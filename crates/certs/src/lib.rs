//! Certificates: made on first start, loaded, reloaded.
