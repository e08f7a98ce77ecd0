//! SORT and THREAD: their own words, and then a search.

use crate::command::Command;
use crate::cursor::{Cursor, Parsed, syntax};
use crate::parse::{ErrorKind, search};
use crate::sort::{SortCommand, SortCriterion, SortKey, ThreadAlgorithm, ThreadCommand};

/// ```abnf
/// sort            = "SORT" [search-return-opts] SP sort-criteria SP search-criteria
/// sort-criteria   = "(" sort-criterion *(SP sort-criterion) ")"
/// search-criteria = charset 1*(SP search-key)
/// ```
pub(crate) fn sort(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    cursor.space()?;
    let returns = search::returns(cursor)?;
    let mut criteria: Vec<SortCriterion> = Vec::new();
    for one in cursor.list(false, criterion)? {
        // What comes again decides nothing, and would make each message's key longer.
        if criteria.iter().all(|before| before.key != one.key) {
            criteria.push(one);
        }
    }
    cursor.space()?;
    let key = search::with_charset(cursor, search::saves(returns.as_deref()))?;
    search::check_relevancy(returns.as_deref(), &key)?;
    let by_score = |criterion: &SortCriterion| criterion.key == SortKey::Relevancy;
    if criteria.iter().any(by_score) && !key.is_scored() {
        // RFC 6203 §6
        return syntax("RELEVANCY is for searches with FUZZY");
    }
    Ok(Command::Sort(SortCommand {
        uid,
        returns,
        criteria,
        key,
    }))
}

fn criterion(cursor: &mut Cursor<'_>) -> Parsed<SortCriterion> {
    let mut word = cursor.word()?;
    let reverse = word == "REVERSE";
    if reverse {
        cursor.space()?;
        word = cursor.word()?;
    }
    let mut known = SortKey::ALL.into_iter();
    let found = known.find(|(name, _)| *name == word);
    let (_, key) = found.ok_or(ErrorKind::Syntax("an unknown sort key"))?;
    Ok(SortCriterion { reverse, key })
}

/// `thread = "THREAD" SP thread-alg SP search-criteria`
pub(crate) fn thread(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    cursor.space()?;
    let algorithm = match cursor.word()?.as_str() {
        "ORDEREDSUBJECT" => ThreadAlgorithm::OrderedSubject,
        "REFERENCES" => ThreadAlgorithm::References,
        "REFS" => ThreadAlgorithm::Refs,
        _ => return syntax("an unknown threading algorithm"),
    };
    cursor.space()?;
    let key = search::with_charset(cursor, false)?;
    Ok(Command::Thread(ThreadCommand {
        uid,
        algorithm,
        key,
    }))
}
