//! Collection: blobs that nobody uses any more go, and their space returns.
//!
//! A blob goes in two steps ([`dying`]): a commit marks it *dying*, from then
//! on no delivery links it as it is; after a grace time its links are looked at
//! again, and only then its record is deleted.
//!
//! | state | record | key in `U` | next |
//! |---|---|---|---|
//! | in use | there | none, or new | a link is removed: the key is written |
//! | unlinked | there | new | dying; or in use, when a link is found |
//! | dying | there, marked | when it was marked | deleted; in use, when a link is found or a delivery writes it again |
//! | deleted | none | none | its bytes are dead: the segment they lie in is freed sooner or later |
//!
//! Every change here is conditional on what was looked at, and nothing is held
//! while looking: a delivery that comes between wins.

pub mod dying;
