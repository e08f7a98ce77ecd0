//! A domain whose names and servers come and go, over the memory engine.

use crate::limits::{FRESH, RETRY_PAUSE};
use crate::source::{BoxFuture, Source, Trouble};
use crate::{Known, Sts};
use engine::{MemoryEngine, SharedEngine};
use envelope::Domain;
use parking_lot::Mutex;
use resolver::TemporaryError;
use runtime::Runtime;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tls_policy::Mode;

struct Site {
    id: Mutex<Option<&'static str>>,
    document: Mutex<Result<String, Trouble>>,
    fetched: AtomicUsize,
}

impl Source for Site {
    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Vec<u8>>, TemporaryError>> {
        assert_eq!(name, "_mta-sts.far.test");
        let id = *self.id.lock();
        let records = id.map(|id| format!("v=STSv1; id={id}").into_bytes());
        Box::pin(async move { Ok(records.into_iter().collect()) })
    }

    fn document<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<u8>, Trouble>> {
        assert_eq!(host, "mta-sts.far.test");
        self.fetched.fetch_add(1, Ordering::Relaxed);
        let document = self.document.lock().clone();
        Box::pin(async move { document.map(String::into_bytes) })
    }
}

struct World {
    engine: SharedEngine,
    runtime: Runtime,
    site: Arc<Site>,
    sts: Sts,
}

fn text(mode: &str, max_age: u64) -> String {
    format!("version: STSv1\nmode: {mode}\nmx: mx.far.test\nmax_age: {max_age}\n")
}

impl World {
    fn new() -> Self {
        let engine: SharedEngine = Arc::new(MemoryEngine::new(1));
        let runtime = Runtime::for_tests();
        let site = Arc::new(Site {
            id: Mutex::new(Some("1")),
            document: Mutex::new(Ok(text("enforce", 604_800))),
            fetched: AtomicUsize::new(0),
        });
        let sts = Sts::new(engine.clone(), runtime.clone(), site.clone());
        Self {
            engine,
            runtime,
            site,
            sts,
        }
    }

    async fn restart(&mut self) {
        // What was submitted before is there once this is.
        let mut batch = engine::Batch::new();
        batch.delete(engine::keys::system());
        self.engine.submit(batch).expect("submitted").done().await;
        self.sts = Sts::new(self.engine.clone(), self.runtime.clone(), self.site.clone());
    }

    async fn ask(&self) -> Known {
        self.sts
            .policy(&Domain::parse("far.test").expect("valid"))
            .await
    }

    async fn mode(&self) -> Option<Mode> {
        self.ask().await.policy.map(|policy| policy.mode)
    }

    fn fetched(&self) -> usize {
        self.site.fetched.load(Ordering::Relaxed)
    }

    fn pass(&self, time: Duration) {
        self.runtime.advance(time);
    }
}

#[tokio::test]
async fn a_policy_is_fetched_once_and_again_when_its_id_changes() {
    let world = World::new();
    for _ in 0..3 {
        assert_eq!(world.mode().await, Some(Mode::Enforce));
    }
    assert_eq!(world.fetched(), 1);
    *world.site.id.lock() = Some("2");
    *world.site.document.lock() = Ok(text("testing", 604_800));
    assert_eq!(world.mode().await, Some(Mode::Testing));
    assert_eq!((world.fetched(), world.ask().await.id), (2, "2".into()));
    // `none` is none, and takes the place of what was.
    *world.site.id.lock() = Some("3");
    *world.site.document.lock() = Ok(text("none", 604_800));
    assert_eq!(world.mode().await, None);
}

#[tokio::test]
async fn what_was_had_holds_without_its_domain_and_across_a_restart() {
    let mut world = World::new();
    assert_eq!(world.mode().await, Some(Mode::Enforce));
    *world.site.id.lock() = None;
    *world.site.document.lock() = Err(Trouble::Fetch("away".into()));
    world.restart().await;
    assert_eq!(world.mode().await, Some(Mode::Enforce));
    assert_eq!(world.fetched(), 1);
    world.pass(Duration::from_secs(604_799));
    assert_eq!(world.mode().await, Some(Mode::Enforce));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.mode().await, None);
}

#[tokio::test]
async fn an_attack_on_its_server_or_a_bad_policy_changes_nothing_until_it_is_over() {
    let world = World::new();
    assert_eq!(world.mode().await, Some(Mode::Enforce));
    *world.site.id.lock() = Some("2");
    for bad in [
        Err(Trouble::Certificate("expired".into())),
        Ok("version: STSv2\n".to_owned()),
    ] {
        *world.site.document.lock() = bad;
        world.pass(RETRY_PAUSE);
        let known = world.ask().await;
        assert_eq!(known.policy.map(|policy| policy.mode), Some(Mode::Enforce));
        assert!(known.trouble.is_some());
    }
    assert_eq!(world.fetched(), 3);
}

#[tokio::test]
async fn after_a_failure_the_server_is_left_alone_for_a_while() {
    let world = World::new();
    *world.site.document.lock() = Err(Trouble::Fetch("away".into()));
    for _ in 0..5 {
        assert_eq!(world.mode().await, None);
    }
    assert_eq!(world.fetched(), 1);
    assert_eq!(
        world.ask().await.trouble,
        Some(Trouble::Fetch("away".into()))
    );
    world.pass(RETRY_PAUSE);
    *world.site.document.lock() = Ok(text("enforce", 60));
    assert_eq!(world.mode().await, Some(Mode::Enforce));
    assert_eq!(world.ask().await.trouble, None);
}

#[tokio::test]
async fn a_policy_in_use_is_fetched_anew_each_day() {
    let world = World::new();
    for day in 1..=3 {
        assert_eq!(world.mode().await, Some(Mode::Enforce));
        assert_eq!(world.fetched(), day);
        world.pass(FRESH);
    }
}

#[tokio::test]
async fn those_who_ask_at_once_fetch_once() {
    let world = World::new();
    let asking = (0..10).map(|_| world.mode());
    for mode in futures_of(asking).await {
        assert_eq!(mode, Some(Mode::Enforce));
    }
    assert_eq!(world.fetched(), 1);
}

async fn futures_of<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut done = Vec::new();
    let mut waiting: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        waiting.retain_mut(|one| match one.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                done.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if waiting.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done
}
