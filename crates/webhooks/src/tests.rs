//! Hooks that take, refuse and come back, over a real queue in memory, in virtual time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use blobs::Blobs;
use bytes::Bytes;
use engine::{Batch, MemoryEngine, ShardId, SharedEngine};
use envelope::{Address, Envelope, Recipient, ReversePath};
use https::{Answer, Failure, Posted, SigningKey};
use parking_lot::Mutex;
use queue::{NewMessage, Origin, Place, Queue, Settlement, Start};
use queue_model::Event;
use runtime::{Runtime, Task};
use serde_json::Value;
use settings::rules::{Rules, Subscriber};

use crate::{BoxFuture, FetchError, Fetched, Poster, Status, Webhooks};

const SHARD: ShardId = ShardId(1);

/// What was posted.
#[derive(Clone)]
struct Post {
    url: String,
    fields: HashMap<String, String>,
    body: Value,
    raw: Bytes,
    status: u16,
}

/// Answers by address; without a word 200, and never where it is 0.
#[derive(Default)]
struct Web {
    answers: Mutex<HashMap<String, (u16, Option<u64>)>>,
    posts: Mutex<Vec<Post>>,
}

impl Web {
    fn says(&self, url: &str, status: u16, retry_after: Option<u64>) {
        let mut answers = self.answers.lock();
        answers.insert(url.to_owned(), (status, retry_after));
    }
}

impl Poster for Web {
    fn post<'a>(
        &'a self,
        posted: &'a Posted<'a>,
        body: &'a Bytes,
    ) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            let answer = self.answers.lock().get(posted.url).copied();
            let (status, retry_after) = answer.unwrap_or((200, None));
            assert_eq!(posted.media_type, "application/json");
            let fields = posted.fields.iter();
            self.posts.lock().push(Post {
                url: posted.url.to_owned(),
                fields: fields
                    .map(|(name, value)| ((*name).to_owned(), value.clone()))
                    .collect(),
                body: serde_json::from_slice(body).expect("JSON"),
                raw: body.clone(),
                status,
            });
            match status {
                0 => std::future::pending().await,
                1 => Err(Failure::Other("nobody is there".into())),
                status => Ok(Answer {
                    status,
                    retry_after: retry_after.map(Duration::from_secs),
                    media_type: "text/plain".into(),
                    body: b"words".to_vec(),
                }),
            }
        })
    }
}

struct World {
    engine: SharedEngine,
    blobs: Arc<Blobs>,
    runtime: Runtime,
    queue: Queue,
    web: Arc<Web>,
    webhooks: Webhooks,
    running: Task<()>,
}

fn rules(text: &str) -> Vec<Subscriber> {
    Rules::parse(text).expect("good rules").subscribers
}

const ONE: &str = "[[webhook]]\nname = \"app\"\nurl = \"https://app.test/\"\n";
const TWO: &str = "[[webhook]]\nname = \"app\"\nurl = \"https://app.test/\"\n\
                   [[webhook]]\nname = \"bad\"\nurl = \"https://bad.test/\"\nevents = \"failed\"\n";

impl World {
    async fn new(text: &str) -> Self {
        let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
        let blobs = Arc::new(Blobs::new(Arc::clone(&engine)));
        Self::over(engine, blobs, Arc::default(), text).await
    }

    async fn over(engine: SharedEngine, blobs: Arc<Blobs>, web: Arc<Web>, text: &str) -> Self {
        let runtime = Runtime::for_tests();
        let queue = Queue::new(Arc::clone(&engine), Arc::clone(&blobs), runtime.clone());
        let webhooks = Webhooks::new(queue.clone(), web.clone(), runtime.clone());
        webhooks.set(&rules(text)).await.expect("works");
        let this = webhooks.clone();
        let running = runtime.spawn("webhooks", async move { this.run().await });
        Self {
            engine,
            blobs,
            runtime,
            queue,
            web,
            webhooks,
            running,
        }
    }

    /// The same store after the process was killed.
    async fn restarted(self, text: &str) -> Self {
        drop(self.running);
        Self::over(self.engine, self.blobs, self.web, text).await
    }

    /// A message for these recipients; the results of one attempt.
    async fn attempt(&self, results: &[(&str, Event)]) {
        let mut batch = Batch::new();
        let mut writer = self.blobs.writer(SHARD);
        writer.push(b"Subject: x\r\n\r\n").expect("written");
        let mut blob = writer.finish().expect("finished");
        self.blobs.stage(&mut batch, &mut blob).expect("staged");
        let address = |text: &str| Address::parse(text).expect("an address");
        let mut envelope = Envelope::new(ReversePath::Address(address("ann@here.test")));
        let to = results.iter().map(|(to, _)| Recipient::new(address(to)));
        envelope.recipients = to.collect();
        let new = NewMessage {
            blob: blob.id,
            blob_size: blob.size,
            body: None,
            prefix: Bytes::new(),
            envelope,
            origin: Origin::default(),
            start: Start::Now,
        };
        self.queue.stage(&mut batch, SHARD, new);
        self.engine.submit(batch).expect("taken").done().await;
        let events = results.iter().enumerate();
        self.settle(events.map(|(place, (_, event))| (place, *event)).collect())
            .await;
    }

    /// Another attempt with what is due.
    async fn settle(&self, results: Vec<(usize, Event)>) {
        let (lines, _) = self.queue.lines(None, 10).await.expect("read");
        let places = lines.into_iter().map(|(line, _)| (line, Place::at(0)));
        let now_ms = self.runtime.now().unix_ms;
        let due = self
            .queue
            .due(places.collect(), now_ms, 10)
            .await
            .expect("read");
        let due = due
            .into_iter()
            .find_map(|page| page.entries.into_iter().next());
        let lease = self.queue.lease(&due.expect("due"), |_, _| true).await;
        let lease = lease.expect("read").expect("free");
        let settled = results.into_iter().map(|(place, event)| Settlement {
            place,
            event,
            counts: true,
            tells_delay: false,
            reason: Some("250 2.0.0 ok".into()),
        });
        let change = lease
            .change(settled.collect(), None)
            .await
            .expect("a change");
        change.commit().await.expect("done");
    }

    /// Time in which everything that can happen does.
    async fn pass(&self, time: Duration) {
        self.runtime.sleep(time).await;
    }

    fn posts(&self, url: &str) -> Vec<Post> {
        let posts = self.web.posts.lock();
        posts
            .iter()
            .filter(|post| post.url == url)
            .cloned()
            .collect()
    }

    /// What an address was told and took: recipients and what became of them, in order.
    fn heard(&self, url: &str) -> Vec<String> {
        let posts = self
            .posts(url)
            .into_iter()
            .filter(|post| post.status == 200);
        posts.flat_map(|post| events(&post)).collect()
    }

    fn status(&self, name: &str) -> Status {
        let mut all = self.webhooks.list().into_iter();
        all.find(|status| status.name == name).expect("there")
    }
}

fn events(post: &Post) -> Vec<String> {
    let events = post.body["events"].as_array().expect("events").iter();
    let line =
        |event: &Value| format!("{} {}", event["recipient"], event["event"]).replace('"', "");
    events.map(line).collect()
}

const SECOND: Duration = Duration::from_secs(1);
const APP: &str = "https://app.test/";
const BAD: &str = "https://bad.test/";

#[tokio::test(start_paused = true)]
async fn outcomes_are_told_in_order_and_once_where_all_goes_well() {
    let world = World::new(ONE).await;
    let begun = observe::rfc3339(world.runtime.now().unix_ms);
    let later = Event::PutOff {
        until_ms: world.runtime.now().unix_ms + 1,
    };
    world
        .attempt(&[("a@there.test", Event::Deliver), ("b@there.test", later)])
        .await;
    world.pass(SECOND).await;
    let posts = world.posts(APP);
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].body["webhook"], "app");
    let first = &posts[0].body["events"][0];
    assert_eq!(first["sender"], "ann@here.test");
    // The clock goes on by itself while nothing else does, and for how long that is nobody knows.
    let time = first["time"].as_str().unwrap_or_default();
    let now = observe::rfc3339(world.runtime.now().unix_ms);
    assert!(*begun <= *time && *time <= *now, "{begun} {time} {now}");
    assert_eq!(
        (&first["attempts"], &first["reason"]),
        (&1.into(), &"250 2.0.0 ok".into())
    );
    assert!(first["again"].is_null() && posts[0].body["events"][1]["again"].is_string());
    let ids = |at: usize| posts[0].body["events"][at]["id"].clone();
    assert_ne!(ids(0), ids(1));
    assert_eq!(posts[0].fields.get("webhook-signature"), None);
    world.settle(vec![(1, Event::GiveUp)]).await;
    world.pass(SECOND).await;
    let heard = [
        "a@there.test delivered",
        "b@there.test deferred",
        "b@there.test failed",
    ];
    assert_eq!(world.heard(APP), heard);
    let status = world.status("app");
    assert_eq!(
        (status.waiting, status.dropped, status.trouble),
        (0, 0, None)
    );
    world.pass(Duration::from_secs(3600)).await;
    assert_eq!(status.told as usize, world.heard(APP).len());
}

#[tokio::test(start_paused = true)]
async fn who_is_away_hears_of_it_later_and_a_restart_loses_nothing() {
    let world = World::new(ONE).await;
    world.web.says(APP, 503, None);
    let begun = world.runtime.monotonic();
    for at in 0..3 {
        let to = format!("r{at}@there.test");
        world.attempt(&[(&to, Event::Deliver)]).await;
    }
    world.pass(Duration::from_secs(2 * 3600)).await;
    let status = world.status("app");
    assert_eq!((status.waiting, status.told), (3, 0));
    assert_eq!(
        status.trouble.map(|trouble| trouble.why).as_deref(),
        Some("it answers 503 words")
    );
    // 5 s, 10 s, … 10 min 40 s, then every 15 min: not a flood. While the store commits, the clock
    // goes on by itself, so that more than two hours may have passed.
    let tries = world.posts(APP).len() as u64;
    let passed = world.runtime.monotonic().since(begun).as_secs();
    let doubling = 5 * ((1 << 8) - 1);
    let at_most = 9 + (passed - doubling) / 900;
    assert!((10..=at_most).contains(&tries), "{tries} in {passed} s");
    // The first is told again as it was, under the same name.
    let names: Vec<_> = world
        .posts(APP)
        .iter()
        .map(|post| post.fields["webhook-id"].clone())
        .collect();
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
    let world = world.restarted(ONE).await;
    world.web.says(APP, 200, None);
    world.pass(SECOND).await;
    let heard = [
        "r0@there.test delivered",
        "r1@there.test delivered",
        "r2@there.test delivered",
    ];
    assert_eq!(world.heard(APP), heard);
    assert_eq!(world.status("app").waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_in_the_moment_of_a_crash_is_told_again_under_its_own_id() {
    let world = World::new(ONE).await;
    world.web.says(APP, 0, None);
    world.attempt(&[("a@there.test", Event::Deliver)]).await;
    world.pass(SECOND).await;
    let world = world.restarted(ONE).await;
    world.web.says(APP, 200, None);
    world.pass(Duration::from_secs(61)).await;
    let ids: Vec<Value> = world
        .posts(APP)
        .iter()
        .map(|post| post.body["events"][0]["id"].clone())
        .collect();
    assert!(
        ids.len() >= 2 && ids.iter().all(|id| *id == ids[0]),
        "{ids:?}"
    );
    assert_eq!(world.heard(APP), ["a@there.test delivered"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_never_answers_holds_up_no_other_and_no_delivery() {
    let world = World::new(TWO).await;
    world.web.says(BAD, 0, None);
    let before = world.engine.stats().commits;
    for at in 0..20 {
        let to = format!("r{at}@there.test");
        world.attempt(&[(&to, Event::GiveUp)]).await;
    }
    let with = world.engine.stats().commits - before;
    world.pass(SECOND).await;
    assert_eq!(world.heard(APP).len(), 20);
    assert_eq!(world.posts(BAD).len(), 1);
    assert_eq!(world.status("bad").waiting, 20);
    // The same without anybody who hears of it: telling is apart from delivering.
    let world = World::new("").await;
    let before = world.engine.stats().commits;
    for at in 0..20 {
        let to = format!("r{at}@there.test");
        world.attempt(&[(&to, Event::GiveUp)]).await;
    }
    let without = world.engine.stats().commits - before;
    assert!(
        with - without <= 20,
        "{with} {without}: at most what was heard"
    );
}

#[tokio::test(start_paused = true)]
async fn only_what_is_asked_for_is_told() {
    let text = "[[webhook]]\nname = \"app\"\nurl = \"https://app.test/\"\nevents = [\"failed\"]\ndomain = \".far.test\"\n\
                [[webhook]]\nname = \"bad\"\nurl = \"https://bad.test/\"\nsender = \"@else.test\"\n";
    let world = World::new(text).await;
    world.attempt(&[("a@x.far.test", Event::GiveUp)]).await;
    world.attempt(&[("b@x.far.test", Event::Deliver)]).await;
    world.attempt(&[("c@there.test", Event::GiveUp)]).await;
    world.pass(SECOND).await;
    assert_eq!(world.heard(APP), ["a@x.far.test failed"]);
    assert!(world.posts(BAD).is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_longer_pause_gets_it_and_other_rules_count_at_once() {
    let world = World::new(ONE).await;
    world.web.says(APP, 429, Some(3600));
    world.attempt(&[("a@there.test", Event::Deliver)]).await;
    world.pass(Duration::from_secs(3500)).await;
    assert_eq!(world.posts(APP).len(), 1);
    let left = world.status("app").again_in.expect("it rests");
    assert!(
        left > Duration::from_secs(60) && left <= Duration::from_secs(110),
        "{left:?}"
    );
    // At another address, under the same name.
    world
        .webhooks
        .set(&rules(&ONE.replace("app.test", "new.test")))
        .await
        .expect("works");
    world.pass(SECOND).await;
    assert_eq!(world.heard("https://new.test/"), ["a@there.test delivered"]);
    world.webhooks.set(&[]).await.expect("works");
    world.attempt(&[("b@there.test", Event::Deliver)]).await;
    world.pass(Duration::from_secs(3600)).await;
    assert_eq!(world.web.posts.lock().len(), 2);
    assert!(world.webhooks.list().is_empty());
}

/// The first one's.
fn secret(hooks: &mut [Subscriber], secret: &str) {
    let hook = hooks[0].hook.as_mut().expect("it is told");
    hook.secret = secret.into();
}

#[tokio::test(start_paused = true)]
async fn it_is_signed_and_a_test_says_what_was_answered() {
    let world = World::new("").await;
    let mut hooks = rules(ONE);
    secret(&mut hooks, "plain secret");
    world.webhooks.set(&hooks).await.expect("works");
    assert_eq!(world.webhooks.test("none").await, None);
    assert_eq!(
        world.webhooks.test("app").await,
        Some(Ok("it answers 200 words".into()))
    );
    let post = world.posts(APP).remove(0);
    assert_eq!(post.body["events"][0]["event"], "test");
    let key = SigningKey::parse("plain secret").expect("a key");
    let seconds = post.fields["webhook-timestamp"].parse().expect("a number");
    let mut signing = key.sign(&post.fields["webhook-id"], seconds);
    signing.update(&post.raw);
    assert_eq!(post.fields["webhook-signature"], signing.finish());
    world.web.says(APP, 1, None);
    assert_eq!(
        world.webhooks.test("app").await,
        Some(Err("nobody is there".into()))
    );
    secret(&mut hooks, "whsec_!");
    world.webhooks.set(&hooks).await.expect("works");
    assert_eq!(
        world.webhooks.test("app").await,
        Some(Err("its secret is none".into()))
    );
}

/// Recipients and what became of them.
fn told(fetched: &Fetched) -> Vec<String> {
    let line = |event: &Value| format!("{} {}", event["recipient"], event["event"]);
    let lines = fetched.events.iter().map(line);
    lines.map(|line| line.replace('"', "")).collect()
}

#[tokio::test(start_paused = true)]
async fn one_that_asks_gets_each_page_until_it_has_heard_it() {
    const MINE: &str = "[[subscription]]\nname = \"mine\"\n";
    let world = World::new(MINE).await;
    let fetch = |heard: Option<String>, wait| {
        let webhooks = world.webhooks.clone();
        async move { webhooks.fetch("mine", heard.as_deref(), (1, wait)).await }
    };
    let begun = world.runtime.monotonic();
    let none = fetch(None, SECOND).await.expect("asked");
    assert_eq!((none.page, none.events.len()), (None, 0));
    assert!(world.runtime.monotonic().since(begun) >= SECOND);
    world.attempt(&[("bea@far.test", Event::Deliver)]).await;
    world.attempt(&[("cid@far.test", Event::GiveUp)]).await;
    let first = fetch(None, SECOND).await.expect("asked");
    assert_eq!(told(&first), ["bea@far.test delivered"]);
    assert_eq!(fetch(None, SECOND).await.expect("asked"), first);
    let strange = fetch(Some("strange".into()), SECOND).await;
    assert!(
        matches!(strange, Err(FetchError::NotInHand(_))),
        "{strange:?}"
    );
    let second = fetch(first.page.clone(), SECOND).await.expect("asked");
    assert_eq!(told(&second), ["cid@far.test failed"]);
    // It says so again when the answer was lost.
    let again = fetch(first.page, SECOND).await.expect("asked");
    assert_eq!(again, second);
    let status = world.status("mine");
    assert_eq!((status.waiting, status.told, status.url), (1, 1, None));
    // After a restart the page has another name, and says the same.
    let world = world.restarted(MINE).await;
    let webhooks = &world.webhooks;
    let lost = webhooks.fetch("mine", second.page.as_deref(), (1, SECOND));
    assert!(matches!(lost.await, Err(FetchError::NotInHand(_))));
    let same = webhooks
        .fetch("mine", None, (9, SECOND))
        .await
        .expect("asked");
    assert_eq!(same.events, second.events);
    let heard = webhooks.fetch("mine", same.page.as_deref(), (9, SECOND));
    assert_eq!(heard.await.expect("asked").page, None);
    assert_eq!(world.status("mine").waiting, 0);
    let nobody = webhooks.fetch("nobody", None, (9, SECOND)).await;
    assert!(matches!(nobody, Err(FetchError::NoSubscription(_))));
}

/// In real time: it is woken, or the time would be over with nothing in hand.
#[tokio::test]
async fn what_comes_while_it_asks_is_given_at_once() {
    let world = World::new("[[subscription]]\nname = \"mine\"\n").await;
    let asking = world.webhooks.fetch("mine", None, (9, 30 * SECOND));
    let coming = world.attempt(&[("bea@far.test", Event::Deliver)]);
    let (fetched, ()) = tokio::join!(asking, coming);
    assert_eq!(told(&fetched.expect("asked")), ["bea@far.test delivered"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_told_cannot_ask_nor_the_other_way_round() {
    let text = format!("{ONE}[[subscription]]\nname = \"mine\"\n");
    let world = World::new(&text).await;
    let asked = world.webhooks.fetch("app", None, (9, SECOND)).await;
    assert!(matches!(asked, Err(FetchError::NoSubscription(_))));
    world.attempt(&[("bea@far.test", Event::Deliver)]).await;
    world.pass(120 * SECOND).await;
    assert_eq!(world.heard(APP), ["bea@far.test delivered"]);
    assert_eq!(
        (world.status("mine").waiting, world.web.posts.lock().len()),
        (1, 1)
    );
    let tested = world.webhooks.test("mine").await.expect("there");
    assert!(tested.is_err_and(|why| why.contains("subscription")));
}
