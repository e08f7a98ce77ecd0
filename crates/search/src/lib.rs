//! The texts of messages as searches see them, and the index that says where a text may be.
//!
//! * [`visit_texts`] – the texts of one email; scan and index read the same ones
//! * [`Search`] – the index: [`Search::candidates`] narrows a search, [`Search::want`] has it brought up to
//!   date behind the caller's back, [`Search::build`] at once
//! * [`Query`], [`Test`] – a search of any face, decided by entries, records and messages
//!
//! An index is derived: all of it can be thrown away, and is, where anything of it cannot be read. What
//! it says is a superset: the stored text decides. Emails that came after it was built are not in it
//! ([`Candidates::covered`]); whoever searches looks into them.
//!
//! It is a list of segments, each over a range of emails, newer ones behind older ones; the last eight
//! of about the same size become one ([decision 30](../../../docs/decisions/0030-search-index.md)).
//!
//! | cut short in | what is there | what finishes it |
//! |---|---|---|
//! | the blocks of a new segment | blocks that no head names | the next build of a segment of that number deletes them first |
//! | behind the head that names it | blocks of the segments that were merged | the head names them as dropped; the next build deletes them |
//!
//! Not here: the grammars of searches (the faces), how postings are written (`search-index`).
//!
//! Invariants: an email below the covered number that is there has all its terms in the index; the head is
//! written last, on the condition that it is as it was read; deliveries wait for nothing here.

#![forbid(unsafe_code)]

mod build;
mod candidates;
mod head;
mod keys;
pub mod limits;
mod merging;
mod query;
mod search;
mod texts;

#[cfg(test)]
mod tests;

pub use candidates::{Candidates, Lookup, Within};
pub use query::{
    Asked, Candidate, Comparator, Content, Facts, Fuzzy, Looked, Looker, Query, Relation, Test,
    Texts, batch, decide, look_inside,
};
pub use search::{Options, Search, SearchError};
pub use texts::{TextError, visit_texts};
