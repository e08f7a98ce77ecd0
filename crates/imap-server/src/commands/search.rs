//! SEARCH and UID SEARCH (RFC 9051 §6.4.4; ESEARCH: RFC 4731; SEARCHRES: RFC 5182;
//! MODSEQ: RFC 7162 §3.1.5; PARTIAL: RFC 9394).

use crate::commands::enable;
use crate::context::{self, Results};
use crate::limits::{INDEX_WORTH, RECORDS_PER_READ};
use crate::reply::{Ended, Executed, Reply, SyncMode};
use crate::search::{Query, query_of};
use crate::selected::Selected;
use crate::session::Session;
use ::search::{batch, decide, look_inside};
use imap_proto::mailbox_name::write_name;
use imap_proto::response::{self, Code, Status};
use imap_proto::sequence::write_numbers;
use imap_proto::{NameForm, ResultRange, ReturnItem, SearchCommand, SearchKey, Tag};
use imbl::Vector;
use mailbox_model::{Entry, Uid, UidSet};
use runtime::Monotonic;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use crate::search::Candidate;

/// From 1 to 100.
pub(crate) type Scores = BTreeMap<Uid, u32>;

/// What a search found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In the order of their numbers.
    pub(crate) messages: Vec<Candidate>,
    /// Of each how well it fits, if FUZZY is asked for (RFC 6203 §4).
    pub(crate) scores: Scores,
    /// Some could not be looked at.
    pub(crate) broken: bool,
    /// The mod-sequence is told too (RFC 7162 §3.1.5).
    pub(crate) asks_modseq: bool,
}

/// How found messages are told.
#[derive(Clone, Copy)]
pub(crate) struct Telling<'a> {
    /// SEARCH or SORT, of the untagged response.
    pub(crate) word: &'static str,
    pub(crate) tag: &'a Tag,
    pub(crate) uid: bool,
}

pub(crate) async fn run(session: &mut Session, tag: &Tag, command: SearchCommand) -> Executed {
    // RFC 9755 §3
    if command.charset && session.enabled.utf8 {
        return Ok(Reply::bad("searches are in UTF-8, without CHARSET"));
    }
    let kept = keeps(command.returns.as_deref()).then(|| command.key.clone());
    if let (Some(_), Err(reply)) = (&kept, context::check_tag(session, tag)) {
        return Ok(reply);
    }
    let mut found = match find(session, tag, command.key).await? {
        Ok(found) => found,
        Err(reply) => return Ok(reply),
    };
    let lowest = limit(session, &mut found, command.returns.as_deref());
    let returns = command.returns.or_else(|| {
        // RFC 9051 §6.4.4: IMAP4rev2 answers with ESEARCH always.
        session.enabled.rev2.then(|| vec![ReturnItem::All])
    });
    let telling = Telling {
        word: "SEARCH",
        tag,
        uid: command.uid,
    };
    let reply = tell(session, &found, telling, returns.as_deref());
    let reply = session.limited(reply, lowest);
    if let Some(key) = kept {
        let uids = found.messages.iter().map(|(_, entry)| entry.uid);
        let results = Results::InOrder(uids.collect());
        context::keep(session, tag, command.uid, key, results);
    }
    Ok(reply)
}

/// RFC 9738 §3: of what is listed the last so many; gives the first of them if that is not all.
fn limit(session: &Session, found: &mut Found, returns: Option<&[ReturnItem]>) -> Option<Uid> {
    if returns.is_some_and(|returns| !returns.contains(&ReturnItem::All)) {
        return None;
    }
    let max = usize::try_from(session.messages_max()?).ok()?;
    let left = found.messages.len().saturating_sub(max);
    found.messages.drain(..left);
    let (_, lowest) = found.messages.first().filter(|_| left > 0)?;
    Some(lowest.uid)
}

/// UPDATE was asked for.
pub(crate) fn keeps(returns: Option<&[ReturnItem]>) -> bool {
    returns.is_some_and(|returns| returns.contains(&ReturnItem::Update))
}

/// The messages of the selected mailbox that satisfy a key.
pub(crate) async fn find(
    session: &mut Session,
    tag: &Tag,
    key: SearchKey,
) -> Result<Result<Found, Reply>, Ended> {
    if key.any(&mut |key| matches!(key, SearchKey::ModSeq(_))) {
        enable::condstore(session);
    }
    let Some(selected) = session.selected.take() else {
        return Ok(Err(Reply::bad("select a mailbox first")));
    };
    let found = find_in(session, tag, &selected, key).await;
    session.selected = Some(selected);
    found.map(Ok)
}

/// The messages of a mailbox that satisfy a key.
pub(crate) async fn find_in(
    session: &mut Session,
    tag: &Tag,
    selected: &Selected,
    key: SearchKey,
) -> Result<Found, Ended> {
    find_among(session, tag, selected, key, None).await
}

/// As `find_in`, among the messages of these ranks.
pub(crate) async fn find_among(
    session: &mut Session,
    tag: &Tag,
    selected: &Selected,
    key: SearchKey,
    among: Option<&[usize]>,
) -> Result<Found, Ended> {
    let asks_modseq = key.any(&mut |key| matches!(key, SearchKey::ModSeq(_)));
    let is_scored = key.is_scored();
    let account = Arc::clone(&selected.account);
    let threads = match key.any(&mut |key| matches!(key, SearchKey::ThreadId(_))) {
        true => account.threads().await.map(Some),
        false => Ok(None),
    };
    let mut broken = threads.is_err();
    let threads = threads.unwrap_or_else(|error| {
        tracing::warn!(session = session.id, %error, "imap: no thread is found");
        None
    });
    let mut query = query_of(
        key,
        selected,
        &account.view(),
        session.ports.runtime.now(),
        session.enabled.comparator,
        threads.as_ref(),
    );
    let entries = selected.entries().clone();
    let count = among.map_or(entries.len(), <[usize]>::len);
    let mut narrowed = None;
    if !query.lookups.is_empty() && count > INDEX_WORTH {
        let index = &session.ports.search;
        query.candidates = index.candidates(&account, query.lookups.clone()).await;
        index.want(&account, query.candidates.covered);
        narrowed = query.narrowed();
    }
    let narrowed = narrowed.and_then(|(emails, from)| selected.ranks_of_emails(&emails, from));
    let query = Arc::new(query);
    let (mut found, undecided) = match among.or(narrowed.as_deref()) {
        None => scan(session, entries, Arc::clone(&query)).await,
        Some(ranks) => {
            let some = ranks
                .iter()
                .filter_map(|&rank| Some((rank, entries.get(rank)?)));
            decide(some, &query)
        }
    };
    // What entries alone decided fits as well as can be.
    let mut scores: Scores = match is_scored {
        true => found.iter().map(|(_, entry)| (entry.uid, 100)).collect(),
        false => Scores::new(),
    };
    let mut progress = Progress::new(session, undecided.len());
    let mut rest = undecided.as_slice();
    // The first are few, so that whoever waits for a quick answer does not wait for many.
    let mut most = 1;
    while !rest.is_empty() {
        progress.tell(session, tag).await?;
        let (one, behind) = rest.split_at(batch(rest, most));
        let (other, behind) = behind.split_at(batch(behind, most));
        let looking = |batch: &[Candidate]| {
            let (query, batch) = (Arc::clone(&query), batch.to_vec());
            account.reading(move |reader| look_inside(reader, &query, is_scored, batch))
        };
        let (one, other) = tokio::join!(looking(one), looking(other));
        for looked in [one, other] {
            found.extend(looked.found);
            scores.extend(looked.scores);
            for (email, why) in looked.broken {
                tracing::error!(session = session.id, %email, why, "imap: SEARCH leaves a message out");
                broken = true;
            }
        }
        progress.done += (rest.len() - behind.len()) as u64;
        rest = behind;
        most = (most * 2).min(RECORDS_PER_READ);
    }
    found.sort_unstable_by_key(|(number, _)| *number);
    Ok(Found {
        messages: found,
        scores,
        broken,
        asks_modseq,
    })
}

/// How far a search is (RFC 9585): told now and then, so that its client waits on.
struct Progress {
    done: u64,
    goal: u64,
    told: Monotonic,
}

impl Progress {
    fn new(session: &Session, goal: usize) -> Self {
        Self {
            done: 0,
            goal: goal as u64,
            told: session.ports.runtime.monotonic(),
        }
    }

    /// There is more to do.
    async fn tell(&mut self, session: &mut Session, tag: &Tag) -> Result<(), Ended> {
        let now = session.ports.runtime.monotonic();
        if now.since(self.told) < session.config.progress_interval || self.done == 0 {
            return Ok(());
        }
        self.told = now;
        let code = Code::InProgress(tag.to_string(), self.done, self.goal);
        response::untagged_status(&mut session.out, Status::Ok, Some(&code), "still searching");
        session.flush().await
    }
}

/// Tells what was found, in its order, and how the command ends.
pub(crate) fn tell(
    session: &mut Session,
    found: &Found,
    telling: Telling<'_>,
    returns: Option<&[ReturnItem]>,
) -> Reply {
    match returns {
        None => write_plain(&mut session.out, found, telling),
        Some(returns) => {
            if returns.contains(&ReturnItem::Save) {
                save(session, &found.messages, returns);
            }
            write_esearch(&mut session.out, found, telling, returns, None);
        }
    }
    end(found.broken, telling.uid)
}

/// The mailbox that results are of: name, UIDVALIDITY, and how names are written.
pub(crate) type Whose<'a> = (&'a str, u32, NameForm);

/// Tells what was found in a mailbox (RFC 7377 §2.1).
pub(crate) fn tell_of(
    session: &mut Session,
    found: &Found,
    telling: Telling<'_>,
    returns: &[ReturnItem],
    whose: Whose<'_>,
) {
    if returns.contains(&ReturnItem::Save) {
        save(session, &found.messages, returns);
    }
    write_esearch(&mut session.out, found, telling, returns, Some(whose));
}

/// The tagged end of a command that searched.
pub(crate) fn end(broken: bool, uid: bool) -> Reply {
    let reply = if broken {
        Reply::ok("searched; some messages cannot be read").with_code(Code::SERVER_BUG)
    } else {
        Reply::ok("searched")
    };
    reply.with_sync(match uid {
        true => SyncMode::Everything,
        false => SyncMode::WithoutExpunge,
    })
}

/// Decides what entries alone decide. Gives the matches and the undecided.
async fn scan(
    session: &Session,
    entries: Vector<Entry>,
    query: Arc<Query>,
) -> (Vec<Candidate>, Vec<Candidate>) {
    /// More than this is not done on an async worker.
    const INLINE: usize = 10_000;
    let large = entries.len() > INLINE;
    let work = move || decide(entries.iter().enumerate(), &query);
    if large {
        session.ports.runtime.blocking(work).await
    } else {
        work()
    }
}

fn numbers(found: &[Candidate], uid: bool) -> impl Iterator<Item = u32> + Clone + '_ {
    found
        .iter()
        .map(move |(number, entry)| if uid { entry.uid.0 } else { *number })
}

/// `* SEARCH 2 84 882`
fn write_plain(out: &mut Vec<u8>, found: &Found, telling: Telling<'_>) {
    out.extend_from_slice(b"* ");
    out.extend_from_slice(telling.word.as_bytes());
    for number in numbers(&found.messages, telling.uid) {
        out.push(b' ');
        response::write_number(out, u64::from(number));
    }
    let highest = found.messages.iter().map(|(_, entry)| entry.modseq.0).max();
    if let (Some(highest), true) = (highest, found.asks_modseq) {
        out.extend_from_slice(b" (MODSEQ ");
        response::write_number(out, highest);
        out.push(b')');
    }
    out.extend_from_slice(b"\r\n");
}

/// `* ESEARCH (TAG "a") UID MIN 2 MAX 9 ALL 2,5:9 COUNT 6`
fn write_esearch(
    out: &mut Vec<u8>,
    found: &Found,
    telling: Telling<'_>,
    returns: &[ReturnItem],
    whose: Option<Whose<'_>>,
) {
    // RFC 5182 §2.1: with SAVE alone nothing is told.
    if returns.iter().all(|item| *item == ReturnItem::Save) {
        return;
    }
    let (messages, uid) = (found.messages.as_slice(), telling.uid);
    out.extend_from_slice(b"* ESEARCH (TAG ");
    response::write_string(out, telling.tag.as_str().as_bytes());
    if let Some((name, validity, form)) = whose {
        out.extend_from_slice(b" MAILBOX ");
        write_name(out, name, form);
        write_pair(out, " UIDVALIDITY ", u64::from(validity));
    }
    out.push(b')');
    if uid {
        out.extend_from_slice(b" UID");
    }
    let has = |item| returns.contains(&item);
    if let (Some(min), true) = (numbers(messages, uid).next(), has(ReturnItem::Min)) {
        write_pair(out, " MIN ", u64::from(min));
    }
    if let (Some(max), true) = (numbers(messages, uid).last(), has(ReturnItem::Max)) {
        write_pair(out, " MAX ", u64::from(max));
    }
    if has(ReturnItem::All) && !messages.is_empty() {
        out.extend_from_slice(b" ALL ");
        write_numbers(out, numbers(messages, uid));
    }
    if let Some(range) = partial(returns) {
        // RFC 9394 §3.1: NIL where the range holds nothing.
        out.extend_from_slice(format!(" PARTIAL ({range} ").as_bytes());
        match &messages[range.of(messages.len())] {
            [] => out.extend_from_slice(b"NIL"),
            some => write_numbers(out, numbers(some, uid)),
        }
        out.push(b')');
    }
    if has(ReturnItem::Relevancy) {
        // RFC 6203 §4: in the order of the results.
        let range = partial(returns).map_or(0..messages.len(), |range| range.of(messages.len()));
        out.extend_from_slice(b" RELEVANCY (");
        for (at, (_, entry)) in messages[range].iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            let score = found.scores.get(&entry.uid).copied().unwrap_or(100);
            response::write_number(out, u64::from(score));
        }
        out.push(b')');
    }
    if has(ReturnItem::Count) {
        write_pair(out, " COUNT ", messages.len() as u64);
    }
    let told = chosen(messages, returns);
    if let (Some(highest), true) = (
        told.iter().map(|(_, e)| e.modseq.0).max(),
        found.asks_modseq,
    ) {
        write_pair(out, " MODSEQ ", highest);
    }
    out.extend_from_slice(b"\r\n");
}

fn partial(returns: &[ReturnItem]) -> Option<ResultRange> {
    returns.iter().find_map(|item| match item {
        ReturnItem::Partial(range) => Some(*range),
        _ => None,
    })
}

fn write_pair(out: &mut Vec<u8>, name: &str, number: u64) {
    out.extend_from_slice(name.as_bytes());
    response::write_number(out, number);
}

/// The messages that the answer is about: RFC 4731 §3.2 for MODSEQ and RFC 5182
/// §2.1 for SAVE agree that MIN and MAX alone mean those messages only; so it is
/// with PARTIAL (RFC 9394 §3.2).
fn chosen<'a>(found: &'a [Candidate], returns: &[ReturnItem]) -> Vec<&'a Candidate> {
    let has = |item| returns.contains(&item);
    let range = partial(returns);
    let some = has(ReturnItem::Min) || has(ReturnItem::Max) || range.is_some();
    if has(ReturnItem::All) || has(ReturnItem::Count) || !some {
        return found.iter().collect();
    }
    let range = range.map_or(0..0, |range| range.of(found.len()));
    let ends = |at: usize| {
        (at == 0 && has(ReturnItem::Min)) || (at + 1 == found.len() && has(ReturnItem::Max))
    };
    let chosen = found.iter().enumerate();
    let chosen = chosen.filter(|(at, _)| range.contains(at) || ends(*at));
    chosen.map(|(_, candidate)| candidate).collect()
}

fn save(session: &mut Session, found: &[Candidate], returns: &[ReturnItem]) {
    let uids = chosen(found, returns).into_iter();
    let mut uids: Vec<Uid> = uids.map(|(_, entry)| entry.uid).collect();
    // What was sorted is in another order.
    uids.sort_unstable();
    let uids: UidSet = uids.into_iter().collect();
    if let Some(selected) = &mut session.selected {
        selected.saved = uids;
    }
}
