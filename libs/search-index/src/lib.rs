//! An index of texts by runs of characters, which says where a text may be, never where it is.
//!
//! * [`terms_of`], [`terms_in`] – the runs of a text, and those that a searched text must have
//! * [`Builder`] – texts of documents to a segment's postings, in order of terms
//! * [`BlockWriter`], [`Block`] – postings to blocks of bytes and back
//! * [`Merge`] – several segments to one
//! * [`all_of`], [`either`] – which documents have all of some terms
//!
//! A *document* is a number within its segment. A *term* is a run of characters in the header or in the
//! body of a document. Texts are folded by whoever gives them.
//!
//! Not here: where blocks are stored, what documents are, when anything is built.
//!
//! Invariants: a document that holds a text has all terms that [`terms_in`] gives for it; postings and
//! terms ascend; damaged blocks are errors, never panics, and cost no more than their bytes.

#![forbid(unsafe_code)]

mod block;
mod builder;
pub mod limits;
mod merge;
mod narrowing;
mod postings;
mod terms;

pub use block::{Block, BlockWriter};
pub use builder::Builder;
pub use merge::Merge;
pub use narrowing::{all_of, either};
pub use postings::Postings;
pub use terms::{EVERYWHERE, Term, terms_in, terms_of};
