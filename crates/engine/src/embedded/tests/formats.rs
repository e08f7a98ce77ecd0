//! Stores of other formats.

use super::collecting::{SHARD, check_rebuilt, collect, next_segment, sealed, write};
use super::*;
use crate::embedded::format::{FORMAT, SegmentHeader};
use std::fs;

/// Sets the version of a segment's header.
fn set_version(folder: &Folder, number: u32, version: u8) {
    let path = folder.segment(number);
    let mut bytes = fs::read(&path).expect("read");
    let header = SegmentHeader::decode(&bytes).expect("header");
    let block = SegmentHeader { version, ..header }.encode();
    let last = bytes.len() - block.len();
    bytes[..block.len()].copy_from_slice(&block);
    bytes[last..].copy_from_slice(&block);
    fs::write(&path, bytes).expect("write");
}

#[test]
fn a_store_of_the_first_format_is_read_and_gets_no_moved_commits() {
    let folder = Folder::new();
    let engine = open(&folder, &small());
    write(&engine, key(1, "a"), "x");
    let old = next_segment(&engine);
    let tail = engine.body_segment(SHARD);
    engine.close();
    drop(engine);
    let segments = fs::read_dir(folder.0.join("journal"))
        .expect("list")
        .count() as u32;
    for number in 1..=segments {
        set_version(&folder, number, 1);
    }
    let engine = open(&folder, &small());
    assert_eq!(engine.findings(), []);
    assert!(engine.body_segment(SHARD) > segments, "in a new segment");
    assert_eq!(sealed(&engine), [old, tail]);
    collect(&engine, old);
    collect(&engine, tail);
    let state = all(&engine);
    assert_eq!(state.len(), 2);
    check_rebuilt(&folder, &state);
}

#[test]
fn a_newer_store_is_refused_with_a_sentence() {
    let folder = Folder::new();
    open(&folder, &small());
    set_version(&folder, 1, FORMAT + 1);
    let error = EmbeddedEngine::open(&folder.0, &small()).expect_err("refused");
    assert!(error.to_string().contains("newer version"), "{error}");
}
