//! Tests over the memory engine: the index against a scan, cut short, damaged, beside deliveries.

use crate::head::Head;
use crate::keys;
use crate::{Candidates, Lookup, Options, Search, Within, visit_texts};
use blobs::Blobs;
use bytes::Bytes;
use engine::{
    Batch, Engine, Extent, MemoryEngine, ReadError, ShardId, SharedEngine, Snapshot, Stats,
    SubmitError, Ticket,
};
use envelope::AccountId;
use fastrand::Rng;
use mailbox_model::stage::Expunging;
use mailbox_model::{EmailId, UidSet};
use mailstore::{Account, InternalDate, Mailstore, NewEmail, QuotaLimits};
use mime::{Place, TextReader, casemap, casemap_into};
use runtime::Runtime;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

const ALICE: AccountId = AccountId(1);
const BOB: AccountId = AccountId(2);

/// A memory engine that counts commits and can be told to be full.
#[derive(Debug)]
struct Counting {
    inner: MemoryEngine,
    commits: AtomicU64,
    /// Commits until it is full; negative is never.
    left: AtomicI64,
}

impl Engine for Counting {
    fn shards(&self) -> u16 {
        self.inner.shards()
    }

    fn shard_of_account(&self, account: u64) -> ShardId {
        self.inner.shard_of_account(account)
    }

    fn put_body(&self, shard: ShardId, frame: &[u8]) -> Result<Extent, SubmitError> {
        self.inner.put_body(shard, frame)
    }

    fn read_body(&self, extent: &Extent) -> Result<Bytes, ReadError> {
        self.inner.read_body(extent)
    }

    fn submit(&self, batch: Batch) -> Result<Ticket, SubmitError> {
        if self.left.load(Ordering::SeqCst) == 0 {
            return Err(SubmitError::Full);
        }
        self.left.fetch_sub(1, Ordering::SeqCst);
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.inner.submit(batch)
    }

    fn snapshot(&self, shard: ShardId) -> Box<dyn Snapshot> {
        self.inner.snapshot(shard)
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        self.inner.has_room_for(bytes)
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

struct Room {
    engine: Arc<Counting>,
    blobs: Arc<Blobs>,
    store: Mailstore,
    search: Search,
}

impl Room {
    /// Segments of a few emails, so that there are many.
    async fn new() -> Self {
        let engine = Arc::new(Counting {
            inner: MemoryEngine::new(3),
            commits: AtomicU64::new(0),
            left: AtomicI64::new(-1),
        });
        let shared = Arc::clone(&engine) as SharedEngine;
        let runtime = Runtime::for_tests();
        let blobs = Arc::new(Blobs::new(Arc::clone(&shared)));
        let store = Mailstore::new(
            Arc::clone(&shared),
            Arc::clone(&blobs),
            runtime.clone(),
            mailstore::Options::default(),
        );
        let options = Options {
            emails_per_segment: 7,
            segments_merged: 3,
            ..Options::default()
        };
        let search = Search::new(shared, runtime, options);
        let room = Self {
            engine,
            blobs,
            store,
            search,
        };
        for id in [ALICE, BOB] {
            let mut batch = Batch::new();
            let made = room
                .store
                .create_account(&mut batch, id, QuotaLimits::default());
            made.expect("the names are valid");
            room.engine.submit(batch).expect("new").done().await;
        }
        room
    }

    async fn account(&self, id: AccountId) -> Arc<Account> {
        self.store.account(id).await.expect("the account is there")
    }

    async fn append(&self, id: AccountId, message: &[u8]) -> EmailId {
        let digest = mime::digest(message).encode();
        self.append_with(id, message, digest).await
    }

    async fn append_with(&self, id: AccountId, message: &[u8], digest: Vec<u8>) -> EmailId {
        let account = self.account(id).await;
        let mut writer = self.blobs.writer(self.store.shard(id));
        writer.push(message).expect("room");
        let blob = writer.finish().expect("room");
        let email = NewEmail {
            blob: blob.id,
            blob_size: blob.size,
            prefix: Bytes::from_static(b"Delivered-To: me@demo.test\r\n"),
            digest: digest.into(),
            received_at: InternalDate::default(),
            flags: Vec::new(),
        };
        let inbox = account.view().inbox().expect("an inbox").id();
        let appended = account.append(inbox, vec![blob], &[email]).await;
        appended.expect("appended").emails[0].0
    }

    async fn build(&self, id: AccountId) {
        let account = self.account(id).await;
        self.search.build(&account).await.expect("built");
    }

    async fn candidates(&self, id: AccountId, text: &str, within: Within) -> Candidates {
        let lookup = Lookup {
            text: casemap(text),
            within,
        };
        let account = self.account(id).await;
        self.search.candidates(&account, vec![lookup]).await
    }

    /// The emails below `end` that hold a text, as a scan finds them.
    async fn scan(&self, id: AccountId, end: EmailId, text: &str, within: Within) -> Vec<EmailId> {
        let needle = casemap(text);
        let account = self.account(id).await;
        let work = move |emails: &mailstore::EmailReader| {
            let records = emails
                .records_between(EmailId(1), end, usize::MAX)
                .expect("read");
            let mut found = Vec::new();
            for (email, record) in records {
                let record = record.expect("whole");
                let mut has = false;
                let mut visit = |place, text: &str| {
                    let there = match within {
                        Within::Header => place == Place::Header,
                        Within::Body => place == Place::Body,
                        Within::Text => true,
                    };
                    has |= there && text.contains(&needle);
                    ControlFlow::Continue(())
                };
                let mut header = Vec::new();
                visit_texts(
                    &mut TextReader::default(),
                    (emails, &record, None),
                    (&casemap_into, needle.len()),
                    &mut header,
                    Some(&mut visit),
                )
                .expect("read");
                if has {
                    found.push(email);
                }
            }
            found
        };
        account.reading(work).await
    }

    fn keys(&self, (start, end): (Vec<u8>, Vec<u8>), id: AccountId) -> usize {
        let snapshot = self.engine.snapshot(self.engine.shard_of_account(id.0));
        let mut count = 0;
        snapshot
            .visit(&start, &end, &mut |_, _| {
                count += 1;
                ControlFlow::Continue(())
            })
            .expect("read");
        count
    }

    fn head(&self, id: AccountId) -> Head {
        let snapshot = self.engine.snapshot(self.engine.shard_of_account(id.0));
        let head = snapshot.get(&keys::head(id)).expect("read");
        head.map_or_else(Head::default, |head| {
            Head::decode(&head.value).expect("whole")
        })
    }

    /// In order, up to date, and without a block that no segment has.
    async fn is_whole(&self, id: AccountId) {
        assert_eq!(self.search.check(id).await.expect("read"), [""; 0]);
        let head = self.head(id);
        let of_segments: usize = head
            .segments
            .iter()
            .map(|segment| self.keys(keys::blocks(id, segment.number), id))
            .sum();
        let heads = usize::from(head != Head::default());
        assert_eq!(self.keys(keys::all(id), id), of_segments + heads);
        assert_eq!(head.covered(), self.account(id).await.view().next_email());
    }
}

fn words(rng: &mut Rng, count: usize) -> String {
    const LETTERS: [&str; 5] = ["abcdeABC", "你好中文的了一", "がカ가각한", "éßﬁσ", "0 1,"];
    let mut out = String::new();
    for _ in 0..count {
        let letters: Vec<char> = LETTERS[rng.usize(..LETTERS.len())].chars().collect();
        for _ in 0..rng.usize(1..6) {
            out.push(letters[rng.usize(..letters.len())]);
        }
        if rng.bool() {
            out.push(' ');
        }
    }
    out
}

fn message(rng: &mut Rng) -> Vec<u8> {
    let subject = mime::encoded_word::encode(&words(rng, 2));
    let text = words(rng, 12);
    let (encoding, body) = match rng.u8(..3) {
        0 => ("8bit", text),
        1 => ("base64", mime::transfer::base64_lines(text.as_bytes())),
        _ => (
            "quoted-printable",
            mime::transfer::quoted_printable(text.as_bytes()),
        ),
    };
    let kind = ["plain", "html"][rng.usize(..2)];
    format!(
        "Subject: {subject}\r\nFrom: {} (x) <a@b.test>\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}",
        mime::encoded_word::encode("é你")
    )
    .into_bytes()
}

/// A part of what was written, or something else.
fn needle(rng: &mut Rng, texts: &[String]) -> String {
    let text = match rng.u8(..4) {
        0 => words(rng, 1),
        _ => texts[rng.usize(..texts.len())].clone(),
    };
    let chars: Vec<char> = text.trim().chars().collect();
    let len = rng.usize(1..5).min(chars.len());
    let from = rng.usize(..=chars.len() - len);
    chars[from..from + len].iter().collect()
}

#[tokio::test]
async fn what_a_scan_finds_is_never_left_out() {
    for seed in 0..6 {
        let mut rng = Rng::with_seed(seed);
        let room = Room::new().await;
        let mut texts = Vec::new();
        let mut told = 0;
        for round in 0..6 {
            for _ in 0..rng.usize(1..24) {
                let message = message(&mut rng);
                let digest = mime::digest(&message);
                let body = &message[digest.header_len as usize..];
                texts.extend(mime::text::text_for_search(digest.parts.root(), body));
                room.append(ALICE, &message).await;
            }
            if round % 2 == 1 {
                room.build(ALICE).await;
                room.is_whole(ALICE).await;
            }
            for _ in 0..12 {
                let text = needle(&mut rng, &texts);
                for within in [Within::Header, Within::Body, Within::Text] {
                    let said = room.candidates(ALICE, &text, within).await;
                    let Some(found) = &said.found[0] else {
                        continue;
                    };
                    told += 1;
                    let scanned = room.scan(ALICE, said.covered, &text, within).await;
                    let found: BTreeSet<EmailId> = found.iter().copied().collect();
                    let left_out = scanned.iter().filter(|email| !found.contains(email));
                    assert_eq!(left_out.count(), 0, "{text:?} {within:?} seed {seed}");
                    if within == Within::Body && casemap(&text).chars().count() == 3 {
                        // A run is looked up as it is.
                        assert_eq!(found.len(), scanned.len(), "{text:?} seed {seed}");
                    }
                }
            }
        }
        assert!(told > 50, "{told}");
    }
}

#[tokio::test]
async fn two_characters_of_han_are_looked_up_and_one_is_not() {
    let room = Room::new().await;
    for text in ["关于明天会议", "会", "议会", "meeting"] {
        let message = format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{text}");
        room.append(ALICE, message.as_bytes()).await;
    }
    room.build(ALICE).await;
    for (text, found) in [
        ("会议", Some(vec![EmailId(1)])),
        ("明天会", Some(vec![EmailId(1)])),
        ("议会", Some(vec![EmailId(3)])),
        ("会", None),
        ("ee", None),
        ("EET", Some(vec![EmailId(4)])),
        ("tem", Some(vec![])),
    ] {
        let said = room.candidates(ALICE, text, Within::Body).await;
        assert_eq!(
            (said.covered, &said.found[0]),
            (EmailId(5), &found),
            "{text}"
        );
    }
    // Addresses as the ENVELOPE has them.
    room.append(ALICE, b"From: <a (c)@ (c) far.test>\r\n\r\n")
        .await;
    room.build(ALICE).await;
    let said = room.candidates(ALICE, "a@far", Within::Header).await;
    assert_eq!(said.found[0], Some(vec![EmailId(5)]));
}

#[tokio::test]
async fn accounts_have_their_own_and_leave_nothing() {
    let room = Room::new().await;
    for n in 0..30 {
        room.append(ALICE, format!("Subject: x\r\n\r\nalice {n}").as_bytes())
            .await;
        room.append(BOB, format!("Subject: x\r\n\r\nbob {n}").as_bytes())
            .await;
    }
    room.build(ALICE).await;
    let said = room.candidates(BOB, "bob", Within::Body).await;
    assert_eq!(said, Candidates::nothing(1));
    room.build(BOB).await;
    let said = room.candidates(BOB, "alice", Within::Body).await;
    assert_eq!(said.found[0], Some(Vec::new()));
    let said = room.candidates(BOB, "bob 2", Within::Body).await;
    assert_eq!(said.found[0].as_ref().map(Vec::len), Some(11));

    // A copy and what is expunged change nothing of what is there.
    let bob = room.account(BOB).await;
    let inbox = bob.view().inbox().expect("an inbox").id();
    let which = Expunging::Exactly(&UidSet::all());
    bob.expunge(inbox, which).await.expect("expunged");
    let said = room.candidates(BOB, "bob 2", Within::Body).await;
    assert_eq!(said.found[0].as_ref().map(Vec::len), Some(11));

    // A build that outlives its account takes all of it away again.
    room.append(BOB, b"Subject: x\r\n\r\none more").await;
    room.store.drop_account(BOB).await.expect("dropped");
    room.search
        .build(&bob)
        .await
        .expect_err("there is no account");
    assert_eq!(room.keys(keys::all(BOB), BOB), 0);
    room.is_whole(ALICE).await;
}

#[tokio::test]
async fn a_build_that_is_cut_short_is_finished_by_the_next() {
    let mut cut = 0;
    for commits in 0.. {
        let room = Room::new().await;
        let alice = room.account(ALICE).await;
        for n in 0..50 {
            room.append(ALICE, format!("Subject: s{n}\r\n\r\nletter {n}").as_bytes())
                .await;
        }
        room.engine.left.store(commits, Ordering::SeqCst);
        let built = room.search.build(&alice).await;
        room.engine.left.store(-1, Ordering::SeqCst);
        // Whatever is there is right.
        let said = room.candidates(ALICE, "letter 4", Within::Body).await;
        let there = room
            .scan(ALICE, said.covered, "letter 4", Within::Body)
            .await;
        assert_eq!(said.found[0].clone().unwrap_or_default(), there);
        let done = built.is_ok();
        cut += i64::from(!done);
        room.build(ALICE).await;
        room.is_whole(ALICE).await;
        let said = room.candidates(ALICE, "letter 4", Within::Body).await;
        assert_eq!(said.found[0].as_ref().map(Vec::len), Some(11));
        if done {
            break;
        }
    }
    assert!(cut > 10, "{cut}");
}

#[tokio::test]
async fn what_is_damaged_is_thrown_away_and_built_again() {
    let room = Room::new().await;
    for n in 0..14 {
        room.append(ALICE, format!("Subject: s{n}\r\n\r\nletter {n}").as_bytes())
            .await;
    }
    let mut damaged = 0;
    loop {
        room.build(ALICE).await;
        room.is_whole(ALICE).await;
        let (start, end) = keys::all(ALICE);
        let snapshot = room.engine.snapshot(room.engine.shard_of_account(ALICE.0));
        let all = snapshot
            .scan(&start, &end, engine::Order::Ascending, 1_000)
            .expect("read");
        let Some((key, stored)) = all.get(damaged) else {
            break;
        };
        damaged += 1;
        for bad in [&stored.value[..stored.value.len() - 1], b"", b"\x02"] {
            let mut batch = Batch::new();
            batch.put(key.clone(), bad.to_vec());
            room.engine.submit(batch).expect("room").done().await;
            assert_ne!(room.search.check(ALICE).await.expect("read"), [""; 0]);
            // Of one text after another: one of them meets it, or none has to.
            for text in ["letter 1", "s12", "delivered-to", "xyz", "sub"] {
                let said = room.candidates(ALICE, text, Within::Text).await;
                if let Some(found) = &said.found[0] {
                    let there = room.scan(ALICE, said.covered, text, Within::Text).await;
                    assert!(there.iter().all(|email| found.contains(email)), "{text}");
                }
            }
            room.search.forget(ALICE).await;
            assert_eq!(room.keys(keys::all(ALICE), ALICE), 0);
            room.build(ALICE).await;
        }
    }
    // The head, and two segments.
    assert_eq!(damaged, 3);
}

#[tokio::test]
async fn an_email_that_cannot_be_read_may_hold_anything() {
    let room = Room::new().await;
    room.append(ALICE, b"Subject: x\r\n\r\nwhole").await;
    let bad = room
        .append_with(ALICE, b"Subject: y\r\n\r\nwhole", b"no digest".to_vec())
        .await;
    room.build(ALICE).await;
    for text in ["whole", "other"] {
        let said = room.candidates(ALICE, text, Within::Body).await;
        let found = said.found[0].clone().expect("told");
        assert!(found.contains(&bad));
        assert_eq!(found.len(), if text == "whole" { 2 } else { 1 });
    }
}

/// Deliveries write no more for an index, and nothing is built until somebody searches.
#[tokio::test]
async fn deliveries_cost_the_same_with_an_index() {
    let room = Room::new().await;
    let mut commits = Vec::new();
    for indexed in [false, true] {
        if indexed {
            room.build(ALICE).await;
        }
        let before = room.engine.commits.load(Ordering::SeqCst);
        for n in 0..100 {
            room.append(ALICE, format!("Subject: s{n}\r\n\r\nletter {n}").as_bytes())
                .await;
        }
        commits.push(room.engine.commits.load(Ordering::SeqCst) - before);
    }
    assert_eq!(commits[0], commits[1]);
    let alice = room.account(ALICE).await;
    let before = room.search.segments_written();
    let said = room.candidates(ALICE, "letter", Within::Body).await;
    assert_eq!(said.covered, EmailId(101));
    room.search.want(&alice, said.covered);
    room.search.want(&alice, said.covered);
    room.search.settle().await;
    assert!(room.search.segments_written() > before);
    room.is_whole(ALICE).await;
    // A few more are not worth it.
    room.append(ALICE, b"Subject: s\r\n\r\nmore").await;
    let before = room.search.segments_written();
    let said = room.candidates(ALICE, "letter", Within::Body).await;
    room.search.want(&alice, said.covered);
    room.search.settle().await;
    assert_eq!(room.search.segments_written(), before);
}
