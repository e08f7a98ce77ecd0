//! The directory's stored records, one file per kind. Each begins with a
//! version byte; each has golden bytes in its tests.

pub mod account;
pub mod address;
pub mod app_passwords;
pub mod credentials;
pub mod domain;
pub mod head;
pub mod key;
pub mod send_as;

use envelope::Address;
use wire::codec::{DecodeError, Reader};

/// A version byte that must be `known`.
fn version(reader: &mut Reader<'_>, known: u8) -> Result<(), DecodeError> {
    match reader.u8()? {
        version if version == known => Ok(()),
        other => Err(DecodeError::Version(other)),
    }
}

fn parse_address(reader: &mut Reader<'_>) -> Result<Address, DecodeError> {
    Address::parse(reader.text()?).map_err(|_| DecodeError::OutOfRange)
}
