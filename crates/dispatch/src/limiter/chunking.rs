//! Whether a party that offers CHUNKING takes it.
//!
//! Some servers, and boxes before servers, let CHUNKING through and do not know BDAT. One
//! word to that effect is enough. A connection that breaks at BDAT is as good a sign where
//! nothing has ever gone through by it, and two temporary failures may be one; where it
//! has worked before, they are about something else, unless they go on. It costs little to be wrong:
//! a round trip for each message of a day.
//!
//! Pure: times come in.

use crate::limits::BY_DATA_FOR;

/// Doubts that are enough where nothing has gone through.
const DOUBTS: u8 = 2;
/// And where something has.
const DOUBTS_AFTER_ALL: u8 = 6;

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Chunking {
    works: bool,
    doubts: u8,
    in_vain: Option<(String, u64)>,
}

impl Chunking {
    /// Why it is not to be used, and until when.
    pub(super) fn in_vain(&self, now_ms: u64) -> Option<(&str, u64)> {
        let (why, until_ms) = self.in_vain.as_ref()?;
        (*until_ms > now_ms).then_some((why.as_str(), *until_ms))
    }

    pub(super) fn taken(&mut self) {
        *self = Self {
            works: true,
            ..Self::default()
        };
    }

    pub(super) fn unknown(&mut self, words: &str, now_ms: u64) {
        self.give_up(&format!("it does not know BDAT: {words}"), now_ms);
    }

    pub(super) fn lost(&mut self, now_ms: u64) {
        self.doubt(2, "the connection breaks at BDAT", now_ms);
    }

    pub(super) fn deferred(&mut self, now_ms: u64) {
        self.doubt(1, "only temporary failures follow BDAT", now_ms);
    }

    fn doubt(&mut self, weight: u8, why: &str, now_ms: u64) {
        self.doubts = self.doubts.saturating_add(weight);
        let enough = match self.works {
            true => DOUBTS_AFTER_ALL,
            false => DOUBTS,
        };
        if self.doubts >= enough {
            self.give_up(why, now_ms);
        }
    }

    /// When that time is over it is tried as with a party that is new.
    fn give_up(&mut self, why: &str, now_ms: u64) {
        let for_ms = u64::try_from(BY_DATA_FOR.as_millis()).unwrap_or(u64::MAX);
        *self = Self {
            in_vain: Some((why.to_owned(), now_ms.saturating_add(for_ms))),
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_or_one_break_is_enough_where_nothing_went_through() {
        let mut chunking = Chunking::default();
        assert_eq!(chunking.in_vain(5), None);
        chunking.unknown("500 what", 5);
        let (why, until) = chunking.in_vain(5).expect("in vain");
        assert!(why.contains("500 what"));
        assert_eq!(chunking.in_vain(until), None);
        let mut chunking = Chunking::default();
        chunking.lost(5);
        assert!(chunking.in_vain(5).is_some());
        let mut chunking = Chunking::default();
        chunking.deferred(5);
        assert!(chunking.in_vain(5).is_none());
        chunking.deferred(5);
        assert!(chunking.in_vain(5).is_some());
    }

    #[test]
    fn where_it_has_worked_a_break_is_about_something_else_unless_it_goes_on() {
        let mut chunking = Chunking::default();
        chunking.taken();
        for _ in 0..2 {
            chunking.lost(5);
            chunking.lost(5);
            assert!(chunking.in_vain(5).is_none());
            chunking.taken();
        }
        for _ in 0..3 {
            assert!(chunking.in_vain(5).is_none());
            chunking.lost(5);
        }
        assert!(chunking.in_vain(5).is_some());
    }
}
