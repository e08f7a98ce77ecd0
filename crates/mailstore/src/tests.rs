//! Tests over the memory engine with three shards.

mod checkpoints;
mod contention;
mod disaster;
mod flips;
mod mail;
mod retention;
mod rooms;
mod time_machine;
