//! The contract's tests, written once and run for every backend.

mod batch;
pub(crate) mod contract;

use crate::memory::MemoryEngine;
use std::sync::Arc;

#[test]
fn memory_with_one_shard() {
    contract::run(&|| Arc::new(MemoryEngine::new(1)));
}

#[test]
fn memory_with_three_shards() {
    contract::run(&|| Arc::new(MemoryEngine::new(3)));
}
