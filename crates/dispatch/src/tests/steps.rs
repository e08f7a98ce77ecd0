//! The power fails before each commit in turn. What may happen twice, and when, is
//! said here; everything else happens once.

use super::*;
use engine::{Engine, Extent, ReadError, Snapshot, Stats, SubmitError, Ticket};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Takes so many commits, and nothing behind them.
#[derive(Debug)]
struct Failing {
    inner: MemoryEngine,
    left: AtomicUsize,
}

impl Engine for Failing {
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
        let order = Ordering::SeqCst;
        let next = |left: usize| left.checked_sub(1);
        match self.left.fetch_update(order, order, next) {
            Ok(_) => self.inner.submit(batch),
            Err(_) => Err(SubmitError::Closed),
        }
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

/// What other servers were given, and what mailboxes here: how often each.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Given(BTreeMap<String, usize>);

impl Given {
    fn take(&mut self, world: &World) {
        let there = world.script.take_seen().into_iter().map(|(site, _)| site);
        let here = world.mail().into_iter().map(|(to, text)| {
            let kind = match text.contains("Action: ") {
                true => "a report",
                false => "a copy",
            };
            format!("{to}: {kind}")
        });
        for name in there.chain(here) {
            *self.0.entry(name).or_default() += 1;
        }
    }

    fn of(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or(0)
    }
}

fn world(left: usize) -> (World, Arc<Failing>) {
    let engine = Arc::new(Failing {
        inner: MemoryEngine::new(3),
        left: AtomicUsize::new(left),
    });
    let shared: SharedEngine = engine.clone();
    (World::over(shared, Runtime::for_tests()), engine)
}

fn answers(world: &World) {
    world.script.says("eve@else.test", &[never()]);
}

/// What had an end on the disk when the power came back.
async fn ended(world: &World, id: QueueId) -> Vec<String> {
    match world.queue.show(id).await {
        Ok(shown) => shown
            .recipients()
            .filter(|(_, state, _)| state.is_final())
            .map(|(recipient, ..)| recipient.address.domain().to_string())
            .collect(),
        // The last end takes the message with it.
        Err(_) => ["there.test", "else.test", "here.test"]
            .map(str::to_owned)
            .into(),
    }
}

/// Everything that there is to do, with time passing, until nothing is left.
async fn go_on(world: &World) {
    world.queue.recover().await.expect("recovered");
    let mut dispatcher = world.dispatcher();
    for _ in 0..20 {
        dispatcher.work().await;
        if world.queue_keys() == 0 {
            return;
        }
        world.runtime.advance(minutes(61));
    }
    panic!("{} keys are left", world.queue_keys());
}

/// One recipient elsewhere, one who is refused there, one here: three attempts, a
/// report, and its way into the sender's mailbox. The one window in which
/// something happens twice is: *the other server has said yes, and the power fails
/// before that is on the disk.*
#[tokio::test]
async fn the_power_fails_before_each_commit_in_turn() {
    const TO: [&str; 3] = ["bob@there.test", "eve@else.test", "joe@here.test"];
    let mut windows: BTreeMap<String, usize> = BTreeMap::new();
    let mut cut = 0;
    loop {
        let (before, engine) = world(usize::MAX);
        answers(&before);
        let id = before.put("ann@here.test", &TO).await;
        engine.left.store(cut, Ordering::SeqCst);
        before.dispatcher().work().await;
        let was_cut = engine.left.load(Ordering::SeqCst) == 0;
        let mut given = Given::default();
        given.take(&before);
        let first = given.clone();
        drop(before);

        engine.left.store(usize::MAX, Ordering::SeqCst);
        let shared: SharedEngine = engine.clone();
        let after = World::over(shared, Runtime::for_tests());
        answers(&after);
        let known = ended(&after, id).await;
        go_on(&after).await;
        given.take(&after);

        // Its commit is the copy's own: never twice, whatever happens.
        assert_eq!(given.of("joe@here.test: a copy"), 1, "cut {cut}: {given:?}");
        // A refusal, its report and the report's delivery: told once.
        assert_eq!(
            given.of("ann@here.test: a report"),
            1,
            "cut {cut}: {given:?}"
        );
        for site in ["there.test", "else.test"] {
            let was_told = known.iter().any(|known| known == site);
            let expected = match (first.of(site), was_told) {
                (1, false) => 2,
                _ => 1,
            };
            assert_eq!(
                given.of(site),
                expected,
                "cut {cut}, {site}: {first:?} then {given:?}"
            );
            *windows.entry(site.to_owned()).or_default() += expected - 1;
        }
        if !was_cut {
            break;
        }
        cut += 1;
    }
    // Ends, the local copy, the report and its copy: each was cut. What is over at once
    // has no intent.
    assert!(cut >= 4, "{cut} commits");
    assert!(windows.values().all(|times| *times >= 1), "{windows:?}");
}
