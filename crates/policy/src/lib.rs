//! May this sender send this to that recipient, and where does it go.
