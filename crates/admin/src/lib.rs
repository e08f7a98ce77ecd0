//! The control socket and the small HTTP service: health and metrics.
