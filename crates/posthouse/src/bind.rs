//! Ports that one crate declares and another fulfils.
