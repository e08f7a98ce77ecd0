//! The payload of a commit frame.
//!
//! | field | form |
//! |---|---|
//! | version | 1 byte, 1 |
//! | writes | varint: how many follow |
//! | each: what | 1 byte: 0 delete, 1 put |
//! | each: key | bytes behind their length |
//! | each put: value | bytes behind their length |
//!
//! The commit's number is in the frame's header.

use crate::contract::VisibleFn;
use bytes::Bytes;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;
const DELETE: u8 = 0;
const PUT: u8 = 1;

/// Keys with their new values; `None` deletes.
pub(crate) type Writes = Vec<(Vec<u8>, Option<Bytes>)>;

/// A numbered commit on its way to the index.
pub(crate) struct Commit {
    pub(crate) number: u64,
    pub(crate) writes: Writes,
    pub(crate) on_visible: Vec<VisibleFn>,
}

pub(crate) fn encode(writes: &Writes) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(VERSION).varint(writes.len() as u64);
    for (key, value) in writes {
        match value {
            None => out.u8(DELETE).bytes(key),
            Some(value) => out.u8(PUT).bytes(key).bytes(value),
        };
    }
    out.finish()
}

pub(crate) fn decode(payload: &[u8]) -> Result<Writes, DecodeError> {
    let mut reader = Reader::new(payload);
    match reader.u8()? {
        VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    let count = reader.varint()?;
    let mut writes = Vec::new();
    for _ in 0..count {
        let put = match reader.u8()? {
            DELETE => false,
            PUT => true,
            other => return Err(DecodeError::Tag(other)),
        };
        let key = reader.bytes()?.to_vec();
        let value = if put {
            Some(Bytes::copy_from_slice(reader.bytes()?))
        } else {
            None
        };
        writes.push((key, value));
    }
    reader.finish()?;
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let writes = vec![
            (b"Akey".to_vec(), Some(Bytes::from_static(b"value"))),
            (b"Bgone".to_vec(), None),
        ];
        let golden = b"\x01\x02\x01\x04Akey\x05value\x00\x05Bgone";
        assert_eq!(encode(&writes), golden);
        assert_eq!(decode(golden), Ok(writes));
        for end in 0..golden.len() {
            assert!(decode(&golden[..end]).is_err());
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
