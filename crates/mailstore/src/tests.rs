//! Tests over the memory engine with three shards.

mod bells;
mod checkpoints;
mod contention;
mod disaster;
mod domain_quota;
mod flips;
mod lists;
mod mail;
mod quota;
mod retention;
mod rooms;
mod threads;
mod time_machine;
