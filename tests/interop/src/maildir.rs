//! Maildirs that peers deliver into.

use crate::posthouse::contains;
use anyhow::Result;
use std::path::Path;

/// A new message with `needle` in it, as it is stored.
pub fn find(folder: &Path, needle: &[u8]) -> Result<Option<Vec<u8>>> {
    let Ok(entries) = std::fs::read_dir(folder.join("new")) else {
        return Ok(None);
    };
    for entry in entries {
        let message = std::fs::read(entry?.path())?;
        if contains(&message, needle) {
            return Ok(Some(message));
        }
    }
    Ok(None)
}
