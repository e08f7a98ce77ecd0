//! Sieve (RFC 5228): scripts that say what becomes of a message.
//!
//! * [`compile`] – a script's text to a [`Script`], or all that is wrong with it, each with its place
//! * [`run`] – a script over a message to an [`Outcome`]: actions, flags, why it failed, which line did what
//! * [`Message`] – the message, of which only the header need be at hand; [`WholeMessage`] is one in memory
//! * [`World`] – what a script may ask of the world: mailboxes, other scripts, duplicates; commands of the caller's own
//! * [`Extension`], [`Extensions`], [`Offer`] – what scripts may require
//!
//! A text becomes tokens (`lexer`), commands of any names (`syntax`), typed statements (`compile` to `script`); `run`
//! walks those. What a script may take is in [`limits`]; each step costs fuel.
//!
//! Not here: doing what is asked for, where scripts are kept, when they run, clocks.
//!
//! Invariants: no text and no message makes it panic; any run ends, in a time that its fuel bounds; a failure is the
//! implicit keep and says where it happened and why.

#![forbid(unsafe_code)]

mod compare;
mod compile;
mod complaint;
mod extension;
mod flags;
mod glob;
mod lexer;
pub mod limits;
mod message;
mod outcome;
mod run;
mod script;
mod syntax;
#[cfg(test)]
mod tests;
mod text;
mod world;

pub use compare::Matcher;
pub use compile::{HostWord, Offer, compile, is_script_name};
pub use complaint::{Complaint, Complaints, Position};
pub use extension::{Extension, Extensions};
pub use flags::listed as shown_flags;
pub use limits::Limits;
pub use message::{Message, WholeMessage};
pub use outcome::{
    Action, Failure, Filing, NotifyAction, Outcome, Performed, RunError, TraceLine, VacationAction,
    Version,
};
pub use run::{State, run};
pub use script::{Location, Script};
pub use world::{
    DuplicateKey, HostCall, HostFlow, HostValue, Input, Moment, SieveEnvelope, World, WorldError,
};
