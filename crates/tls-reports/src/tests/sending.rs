//! Reports on their way: receivers that come and go, restarts, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, MemoryEngine};
use parking_lot::Mutex;
use report_format::reading::{Received, read};
use resolver::TemporaryError;
use runtime::Runtime;
use tls_policy::reporting::Applied;

use super::domain;
use crate::sending::due_ms;
use crate::{BoxFuture, Identity, Packed, Receivers, Sender, Sent, Stage, TlsReports};

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);
const BOTH: &str = "v=TLSRPTv1; rua=mailto:r@far.test,https://r.far.test/v1,https://s.far.test/v1";

#[derive(Default)]
struct World {
    /// What is published; none is a name server that does not answer.
    record: Mutex<Option<String>>,
    /// The receivers that take reports.
    takes: Mutex<Vec<&'static str>>,
    asked: Mutex<usize>,
    posts: Mutex<Vec<(String, Packed)>>,
}

impl Receivers for World {
    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Vec<u8>>, TemporaryError>> {
        assert!(name.starts_with("_smtp._tls."), "{name}");
        *self.asked.lock() += 1;
        let record = self.record.lock().clone();
        let found = match record {
            Some(text) => Ok(vec![text.into_bytes()]),
            None => Err(TemporaryError {
                name: name.to_owned(),
                reason: "silence".into(),
            }),
        };
        Box::pin(std::future::ready(found))
    }

    fn post<'a>(&'a self, url: &'a str, report: &'a Packed) -> BoxFuture<'a, Result<(), String>> {
        self.posts.lock().push((url.to_owned(), report.clone()));
        let taken = self.takes.lock().contains(&url);
        let answer = if taken {
            Ok(())
        } else {
            Err("it answers 503".to_owned())
        };
        Box::pin(std::future::ready(answer))
    }
}

struct Scene {
    runtime: Runtime,
    world: Arc<World>,
    engine: Arc<MemoryEngine>,
    reports: TlsReports,
    sender: Sender,
}

impl Scene {
    /// With what is published, and a session with far.test on the first day of 2026.
    async fn new(record: &str, takes: &[&'static str]) -> Self {
        let runtime = Runtime::for_tests();
        let engine = Arc::new(MemoryEngine::new(1));
        let world = Arc::new(World::default());
        *world.record.lock() = Some(record.to_owned());
        *world.takes.lock() = takes.to_vec();
        let mut scene = Self {
            reports: TlsReports::new(engine.clone(), runtime.clone()),
            sender: Sender::new(
                TlsReports::new(engine.clone(), runtime.clone()),
                world.clone(),
                Identity {
                    organisation: "Near".into(),
                    contact: "post@near.test".into(),
                    hostname: "mx.near.test".into(),
                },
            ),
            runtime,
            world,
            engine,
        };
        scene.count("far.test").await;
        scene.restart();
        scene
    }

    async fn count(&self, name: &str) {
        self.reports.count(&domain(name), &Applied::none(), Ok(()));
        self.reports.flush().await.expect("written");
    }

    fn restart(&mut self) {
        self.reports = TlsReports::new(self.engine.clone(), self.runtime.clone());
        let identity = Identity {
            organisation: "Near".into(),
            contact: "post@near.test".into(),
            hostname: "mx.near.test".into(),
        };
        self.sender = Sender::new(self.reports.clone(), self.world.clone(), identity);
    }

    /// A round each minute for so long.
    async fn pass(&self, time: Duration) {
        let minutes = time.as_secs() / 60;
        for _ in 0..minutes {
            self.runtime.advance(MINUTE);
            self.sender.round().await.expect("works");
        }
    }

    async fn state(&self) -> Sent {
        let sent = self.reports.sent(None, 10).await.expect("readable");
        let mut states = sent.into_iter().filter(|((_, name), _)| name == "far.test");
        states.next().expect("there").1
    }

    fn posts(&self) -> usize {
        self.world.posts.lock().len()
    }

    fn report(&self, at: usize) -> (String, String, Received) {
        let (url, packed) = self.world.posts.lock()[at].clone();
        (
            url,
            packed.file_name,
            read(&packed.octets).expect("a report"),
        )
    }
}

#[tokio::test]
async fn rfc_8460_4_1_a_day_that_is_over_is_reported_once_some_time_behind_midnight() {
    let mut scene = Scene::new(BOTH, &["https://r.far.test/v1"]).await;
    scene.pass(DAY - MINUTE).await;
    assert_eq!((scene.posts(), *scene.world.asked.lock()), (0, 0));
    scene.pass(Duration::from_secs(5 * 3600)).await;
    assert_eq!(scene.posts(), 1);
    let state = scene.state().await;
    assert_eq!((state.stage, state.tries), (Stage::Sent, 1));
    assert_eq!(state.to, "https://r.far.test/v1");
    let day = due_ms(20_454, "far.test");
    assert!(state.at_ms >= day && state.at_ms < day + 61_000);
    let (url, file, report) = scene.report(0);
    assert_eq!(url, "https://r.far.test/v1");
    assert_eq!(
        file,
        "mx.near.test!far.test!1767225600!1767311999!20260101.json.gz"
    );
    assert_eq!(report.organisation.0, "Near");
    assert_eq!(report.contact.0, "post@near.test");
    assert_eq!(report.id.0, "2026-01-01.far.test@mx.near.test");
    assert_eq!(report.dates.start.0, "2026-01-01T00:00:00Z");
    assert_eq!(report.dates.end.0, "2026-01-01T23:59:59Z");
    assert_eq!(report.policies.items[0].summary.successful.0, 1);
    // Neither time nor a restart sends it again.
    scene.pass(DAY).await;
    scene.restart();
    scene.pass(DAY).await;
    assert_eq!((scene.posts(), *scene.world.asked.lock()), (1, 1));
}

#[tokio::test]
async fn rfc_8460_5_6_a_receiver_that_is_away_is_tried_for_a_day() {
    let mut scene = Scene::new(BOTH, &[]).await;
    scene.pass(DAY + Duration::from_secs(6 * 3600)).await;
    let state = scene.state().await;
    assert_eq!(
        (state.stage, state.reason.as_str()),
        (Stage::Waits, "it answers 503")
    );
    assert!(state.tries >= 3, "{state:?}");
    // Both that take it by HTTPS, in their order, each time; and across a restart.
    assert_eq!(scene.posts(), 2 * state.tries as usize);
    assert_eq!(
        (scene.report(0).0, scene.report(1).0),
        (
            "https://r.far.test/v1".into(),
            "https://s.far.test/v1".into()
        )
    );
    assert_eq!(scene.report(0).2.id, scene.report(3).2.id);
    scene.restart();
    scene.pass(Duration::from_secs(3 * 3600)).await;
    let later = scene.state().await;
    assert!(later.tries > state.tries && later.first_ms == state.first_ms);
    scene.pass(DAY).await;
    let state = scene.state().await;
    assert_eq!(state.stage, Stage::GivenUp);
    assert!((8..=14).contains(&state.tries), "{state:?}");
    assert!(state.at_ms - state.first_ms <= DAY.as_millis() as u64);
    let posts = scene.posts();
    *scene.world.takes.lock() = vec!["https://r.far.test/v1"];
    scene.pass(DAY).await;
    assert_eq!(scene.posts(), posts);
}

#[tokio::test]
async fn it_goes_when_the_second_takes_it_or_names_are_found_again() {
    let scene = Scene::new(BOTH, &["https://s.far.test/v1"]).await;
    *scene.world.record.lock() = None;
    scene.pass(DAY + Duration::from_secs(5 * 3600)).await;
    let state = scene.state().await;
    assert_eq!(
        (state.stage, state.to.as_str(), scene.posts()),
        (Stage::Waits, "", 0)
    );
    assert!(state.reason.contains("no answer"), "{state:?}");
    *scene.world.record.lock() = Some(BOTH.to_owned());
    scene.pass(Duration::from_secs(4 * 3600)).await;
    let state = scene.state().await;
    assert_eq!(
        (state.stage, state.to.as_str()),
        (Stage::Sent, "https://s.far.test/v1")
    );
    assert_eq!((state.reason.as_str(), scene.posts()), ("", 2));
}

#[tokio::test]
async fn nobody_asks_or_only_by_mail() {
    for (record, stage, to) in [
        ("v=spf1 -all", Stage::NotWanted, ""),
        (
            "v=TLSRPTv1; rua=mailto:r@far.test",
            Stage::ByMail,
            "mailto:r@far.test",
        ),
    ] {
        let scene = Scene::new(record, &[]).await;
        scene.pass(2 * DAY).await;
        let state = scene.state().await;
        assert_eq!(
            (state.stage, state.to.as_str(), state.tries),
            (stage, to, 1)
        );
        assert_eq!((scene.posts(), *scene.world.asked.lock()), (0, 1));
    }
}

#[tokio::test]
async fn many_domains_are_spread_and_each_is_sent_once() {
    let scene = Scene::new(BOTH, &["https://r.far.test/v1"]).await;
    for at in 0..300 {
        let name = format!("d{at}.test");
        scene
            .reports
            .count(&domain(&name), &Applied::none(), Ok(()));
    }
    scene.reports.flush().await.expect("written");
    scene.pass(DAY + Duration::from_secs(2 * 3600)).await;
    // Half of the time, about half of them.
    assert!((100..200).contains(&scene.posts()), "{}", scene.posts());
    scene.pass(Duration::from_secs(3 * 3600)).await;
    assert_eq!(scene.posts(), 301);
    let mut names: Vec<_> = (0..301).map(|at| scene.report(at).1).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 301);
    // While nothing is due nothing is read or written.
    let commits = scene.engine.stats().commits;
    scene.pass(Duration::from_secs(10 * 3600)).await;
    assert_eq!(scene.engine.stats().commits, commits);
    // What was sent goes with the counts.
    scene.runtime.advance(crate::limits::KEPT_FOR + DAY);
    assert_eq!(scene.reports.expire().await.expect("works"), 602);
}

#[tokio::test]
async fn a_person_may_send_at_once_and_a_day_that_is_not_over_is_still_reported() {
    let scene = Scene::new(BOTH, &["https://r.far.test/v1"]).await;
    scene.runtime.advance(Duration::from_secs(3600));
    let became = scene
        .sender
        .send_now(20_454, Some("far.test"), 10)
        .await
        .expect("works");
    assert_eq!((became.len(), became[0].1.stage), (1, Stage::Sent));
    let (_, file, report) = scene.report(0);
    assert!(report.id.0.starts_with("2026-01-01.17672292"), "{report:?}");
    assert!(
        report.dates.end.0.starts_with("2026-01-01T01:0"),
        "{report:?}"
    );
    assert!(
        file.ends_with(".json.gz") && file.contains("!2026010117672292"),
        "{file}"
    );
    scene.pass(DAY + Duration::from_secs(4 * 3600)).await;
    assert_eq!(scene.posts(), 2);
    // Once more, though it was sent.
    let became = scene
        .sender
        .send_now(20_454, None, 10)
        .await
        .expect("works");
    assert_eq!((became.len(), scene.posts()), (1, 3));
    assert_eq!(scene.report(1).2.id, scene.report(2).2.id);
    let none = scene
        .sender
        .send_now(20_453, None, 10)
        .await
        .expect("works");
    assert!(none.is_empty());
}
