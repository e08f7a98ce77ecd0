//! The message's own bytes on the wire: dot-stuffing, line ends, smuggling.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{DataDecoder, DataFault, Decoded, Framing};
pub use encode::DataEncoder;
