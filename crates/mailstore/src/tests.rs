//! Tests over the memory engine with three shards.

mod checkpoints;
mod contention;
mod mail;
mod rooms;
