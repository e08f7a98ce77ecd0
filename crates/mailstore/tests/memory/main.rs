//! What accounts take in memory and what a change of them costs, counted by the
//! allocator and by the engine. A binary of its own, because the allocator is the
//! whole process's.

mod change;
mod room;
mod views;
mod weights;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Held by each test: what the others allocate is not to be counted.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
