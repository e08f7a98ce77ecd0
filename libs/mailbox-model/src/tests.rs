//! Tests of the model as a whole: any history keeps the invariants.

mod bring_back;
mod codec;
mod history;
mod scenes;
mod world;
