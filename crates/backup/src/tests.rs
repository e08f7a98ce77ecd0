//! Tests over real stores, in memory with three shards and in folders.

mod account;
mod damage;
mod interrupted;
mod living;
mod s3;
mod whole;
mod world;
