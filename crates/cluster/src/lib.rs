//! What several nodes share: today the limits that other people's servers set them all.
//!
//! * [`Board`] – the port: where a node says what it uses and is told what it may use
//! * [`Use`], [`Share`] – what is said, and the answer
//! * [`PostgresBoard`] – a board in a PostgreSQL database
//! * [`MemoryBoard`] – one for tests and the simulation
//!
//! One exchange is for up to [`limits::PARTIES_PER_EXCHANGE`] parties and is one transaction;
//! nothing is asked for a message.
//! Who says nothing for [`limits::LEASE`] has lost what it held: a node that is gone gives
//! its share back that way.
//!
//! Not here: how parts are found (`queue_model::share`), what a share is used for and what is
//! done while the board is away (`dispatch`).
//!
//! Invariants: of each party, what the nodes hold together is within the limit at every moment,
//! as far as they all know the same limit and time; a node uses no more than it holds there,
//! whether an answer comes or not; whoever wants something gets some of it in the end.

#![forbid(unsafe_code)]

mod board;
pub mod limits;
mod memory;
mod postgres;
mod row;
#[cfg(test)]
mod tests;

pub use board::{Answer, Board, BoardError, BoxFuture, Share, Use};
pub use memory::MemoryBoard;
pub use postgres::{Config, PostgresBoard, SetupError};
