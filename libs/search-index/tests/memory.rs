//! What building a segment takes in memory, counted by the allocator. A binary of its own, because the allocator is
//! the whole process's.

use mime::Place;
use search_index::Builder;
use search_index::limits::{DOCUMENT_PAIRS, PAIR_BYTES};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::fmt::Write as _;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn a_builder_takes_the_room_that_it_was_given() {
    const ROOM: usize = 1 << 20;
    let mut text = String::new();
    let region = Region::new(ALLOCATOR);
    let mut builder = Builder::with_room(ROOM);
    let mut document = 0u32;
    while builder.len() < ROOM {
        text.clear();
        for word in 0..200u32 {
            let number = (document * 200 + word).wrapping_mul(0x9e37_79b9);
            write!(text, "{number:x} ").expect("a text");
        }
        builder.text(Place::Body, &text);
        builder.finish_document(document);
        document += 1;
    }
    // Everything that was ever allocated, so that nothing more was there in between either: the room, and the terms
    // of one document.
    let cost = region.change();
    let most = (ROOM + DOCUMENT_PAIRS) * PAIR_BYTES + (64 << 10);
    assert!(
        cost.bytes_allocated <= most,
        "{} of {most}",
        cost.bytes_allocated
    );
    assert!(builder.len() < ROOM + 2000, "{}", builder.len());
    let mut terms = 0;
    let region = Region::new(ALLOCATOR);
    builder.finish(|_, documents| terms += documents.len());
    let cost = region.change();
    assert!(terms >= ROOM);
    assert!(cost.bytes_allocated < 1 << 20, "{}", cost.bytes_allocated);
}
