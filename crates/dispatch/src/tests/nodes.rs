//! Several nodes that share their limits, in virtual time.

use cluster::limits::LEASE;
use cluster::{Answer, Board, BoardError, MemoryBoard, Use};

use deliver::Heard;

use super::learning::{SeenThere, Sending, connections, pass_a_second};
use super::*;
use crate::SiteLimits;

const THERE: &str = "mx.many.test:25";

/// Nodes with a queue each, and the servers that all of them send to.
struct Nodes {
    runtime: Runtime,
    board: MemoryBoard,
    nodes: Vec<Option<Sending>>,
    lates: Vec<Arc<Late>>,
    seen: Arc<Mutex<SeenThere>>,
}

/// Seconds end in the middle of messages.
fn about(expected: usize, seen: usize) -> bool {
    seen.abs_diff(expected) * 10 <= expected
}

/// A board that has decided when it answers late, or never.
struct Late {
    board: Arc<dyn Board>,
    how: Mutex<How>,
    answers: Gate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    AtOnce,
    Late,
    Never,
}

impl Board for Late {
    fn exchange<'a>(
        &'a self,
        uses: &'a [Use],
    ) -> cluster::BoxFuture<'a, Result<Answer, BoardError>> {
        Box::pin(async move {
            let answer = self.board.exchange(uses).await;
            let how = *self.how.lock();
            match how {
                How::AtOnce => answer,
                How::Late => {
                    self.answers.notified().await;
                    answer
                }
                How::Never => Err(BoardError::Away("the answer is lost".to_owned())),
            }
        })
    }

    fn leave(&self) -> cluster::BoxFuture<'_, ()> {
        self.board.leave()
    }
}

impl Nodes {
    fn new(count: usize, allowed: SiteLimits) -> Self {
        // They take what the operator says they take: whoever opens more is refused.
        Self::at(count, allowed, allowed.connections as usize)
    }

    /// With servers that take so many connections.
    fn at(count: usize, allowed: SiteLimits, takes: usize) -> Self {
        let runtime = Runtime::for_tests();
        let board = MemoryBoard::new(&runtime);
        let seen: Arc<Mutex<SeenThere>> = Arc::default();
        let mut lates = Vec::new();
        let node = |n: usize| {
            let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
            let world = World::over(engine, runtime.clone());
            let routes = Arc::clone(&world.routes) as Arc<dyn Routes>;
            let board = board.node(&format!("node{n}"));
            let late = Arc::new(Late {
                board,
                how: Mutex::new(How::AtOnce),
                answers: Gate::new(),
            });
            lates.push(Arc::clone(&late));
            let limiter = Limiter::sharing(Some(late), &runtime, routes, allowed);
            let takes = [(0, takes)];
            Some(Sending::with(world, &takes, limiter, Arc::clone(&seen)))
        };
        Self {
            nodes: (0..count).map(node).collect(),
            lates,
            runtime,
            board,
            seen,
        }
    }

    fn live(&mut self) -> impl Iterator<Item = &mut Sending> {
        self.nodes.iter_mut().flatten()
    }

    async fn put(&self, node: usize, count: u64, domain: &str) {
        let to = |n| format!("u{n}@{domain}");
        let node = self.nodes[node].as_ref().expect("it is there");
        node.world.put_many("list@far.test", count, to).await;
    }

    /// What a second brings: all talk, and send what they may.
    async fn second(&mut self) {
        for _ in 0..3 {
            for node in self.live() {
                node.settle().await;
                node.limiter().exchange().await;
                node.settle().await;
            }
        }
        pass_a_second(&self.runtime).await;
    }

    async fn seconds(&mut self, count: usize) {
        for _ in 0..count {
            self.second().await;
        }
    }

    /// Until nothing waits; how many seconds it took.
    async fn all(&mut self, most: usize) -> usize {
        for second in 0..most {
            if self.live().all(|node| node.world.queue.count() == 0) {
                return second;
            }
            self.second().await;
        }
        panic!("mail still waits after {most} s: {:?}", self.seen());
    }

    fn seen(&self) -> SeenThere {
        *self.seen.lock()
    }

    fn waiting(&self, node: usize) -> u64 {
        let node = self.nodes[node].as_ref().expect("it is there");
        node.world.queue.count()
    }
}

#[tokio::test]
async fn nodes_together_open_no_more_than_one_would() {
    let mut nodes = Nodes::new(3, connections(5));
    for node in 0..3 {
        nodes.put(node, 200, "a.many.test").await;
    }
    let took = nodes.all(1000).await;
    let seen = nodes.seen();
    assert_eq!(
        (seen.taken, seen.refused, seen.most),
        (600, 0, 5),
        "{seen:?}"
    );
    // And use it: alone it would take 120 seconds.
    assert!(took <= 150, "{took}");
    assert!(nodes.board.held(THERE) <= 5);
}

#[tokio::test]
async fn a_node_with_one_message_does_not_wait_for_another_with_thousands() {
    let mut nodes = Nodes::new(2, connections(5));
    nodes.put(0, 2000, "a.many.test").await;
    nodes.seconds(20).await;
    let before = nodes.seen().taken;
    assert!(before > 80, "one node alone has all of it: {before}");
    nodes.put(1, 1, "b.many.test").await;
    nodes.seconds(3).await;
    assert_eq!(nodes.waiting(1), 0);
    assert_eq!((nodes.seen().refused, nodes.seen().most), (0, 5));
}

#[tokio::test]
async fn fewer_connections_than_nodes_go_round() {
    let mut nodes = Nodes::new(3, connections(1));
    for node in 0..3 {
        nodes.put(node, 40, "a.many.test").await;
    }
    nodes.seconds(60).await;
    for node in 0..3 {
        assert!(nodes.waiting(node) < 35, "node {node} had no turn");
    }
    let took = 60 + nodes.all(200).await;
    let seen = nodes.seen();
    assert_eq!(
        (seen.taken, seen.refused, seen.most),
        (120, 0, 1),
        "{seen:?}"
    );
    assert!(took <= 150, "{took}");
}

#[tokio::test]
async fn a_node_that_is_gone_gives_its_share_back_with_its_lease() {
    let mut nodes = Nodes::new(2, connections(6));
    for node in 0..2 {
        nodes.put(node, 500, "a.many.test").await;
    }
    nodes.seconds(10).await;
    // What it had open ends with it.
    nodes.nodes[0] = None;
    nodes.seconds(2).await;
    let before = nodes.seen().taken;
    nodes.seconds(10).await;
    assert!(about(30, nodes.seen().taken - before), "half until then");
    nodes.seconds(LEASE.as_secs() as usize).await;
    let before = nodes.seen().taken;
    nodes.seconds(10).await;
    assert!(
        about(60, nodes.seen().taken - before),
        "the whole from then on"
    );
    assert_eq!((nodes.seen().refused, nodes.seen().most), (0, 6));
}

#[tokio::test]
async fn a_node_that_stops_gives_its_share_back_at_once() {
    let mut nodes = Nodes::new(2, connections(6));
    for node in 0..2 {
        nodes.put(node, 500, "a.many.test").await;
    }
    nodes.seconds(10).await;
    let stopped = nodes.nodes[0].take().expect("it is there");
    stopped.limiter().leave().await;
    drop(stopped);
    nodes.seconds(2).await;
    let before = nodes.seen().taken;
    nodes.seconds(5).await;
    assert!(about(30, nodes.seen().taken - before));
}

#[tokio::test]
async fn mail_goes_on_while_the_board_is_away_and_within_the_limit() {
    let mut nodes = Nodes::new(2, connections(6));
    for node in 0..2 {
        nodes.put(node, 500, "a.many.test").await;
    }
    nodes.seconds(10).await;
    nodes.board.set_away(true);
    nodes.seconds(10 + LEASE.as_secs() as usize).await;
    let before = nodes.seen().taken;
    nodes.seconds(10).await;
    // An equal part each.
    assert!(about(60, nodes.seen().taken - before));
    for node in nodes.live() {
        let status = node.limiter().nodes().expect("they share");
        assert_eq!(status.nodes, 2);
        assert!(status.away.is_some_and(|why| why.contains("nobody")));
    }
    // Other servers than before too.
    nodes.put(0, 1, "other.test").await;
    nodes.seconds(2).await;
    nodes.board.set_away(false);
    nodes.all(200).await;
    assert_eq!((nodes.seen().refused, nodes.seen().most), (0, 6));
    assert!(
        nodes
            .live()
            .all(|node| node.limiter().nodes().is_some_and(|s| s.away.is_none()))
    );
}

#[tokio::test]
async fn who_has_never_heard_of_others_is_careful() {
    let mut nodes = Nodes::new(2, connections(5));
    nodes.board.set_away(true);
    for node in 0..2 {
        nodes.put(node, 20, "a.many.test").await;
    }
    nodes.all(60).await;
    let seen = nodes.seen();
    assert_eq!(
        (seen.taken, seen.refused, seen.most),
        (40, 0, 2),
        "{seen:?}"
    );
}

#[tokio::test]
async fn messages_in_a_minute_are_of_all_nodes_together() {
    let limits = SiteLimits {
        messages_per_minute: Some(30),
        ..connections(5)
    };
    let mut nodes = Nodes::new(3, limits);
    for node in 0..3 {
        nodes.put(node, 40, "a.many.test").await;
    }
    nodes.seconds(10).await;
    let mut before = nodes.seen().taken;
    while nodes.live().all(|node| node.world.queue.count() > 0) {
        nodes.seconds(60).await;
        let now = nodes.seen().taken;
        assert!(now - before <= 33, "{} in a minute", now - before);
        before = now;
    }
    let took = 60 + nodes.all(1000).await;
    assert_eq!(nodes.seen().taken, 120);
    assert!(took <= 300, "{took}");
}

#[tokio::test]
async fn a_rest_that_one_is_asked_for_is_kept_by_all() {
    let mut nodes = Nodes::new(2, connections(4));
    nodes.put(0, 20, "a.many.test").await;
    nodes.seconds(1).await;
    let party = Party::of_host("mx.many.test", 25);
    let reply = Reply::enhanced(421, (4, 7, 0), "mx: rate limited, slow down");
    let asked = nodes.nodes[0].as_ref().expect("it is there").limiter();
    let mut place = deliver::Gate::enter(asked, &party).expect("there is room");
    place.hear(Heard::Said(&reply));
    drop(place);
    assert!(
        asked
            .status_of(&party)
            .is_some_and(|s| s.rests_until.is_some())
    );
    nodes.second().await;
    nodes.put(1, 5, "b.many.test").await;
    nodes.seconds(5).await;
    assert_eq!(nodes.waiting(1), 5, "it rests too");
    nodes.seconds(60).await;
    assert_eq!(nodes.waiting(1), 0);
}

/// What a node says that it does not need others may have before it hears the answer.
#[tokio::test]
async fn what_was_said_holds_until_there_is_an_answer() {
    for how in [How::Late, How::Never] {
        let mut nodes = Nodes::new(2, connections(5));
        nodes.put(0, 10, "a.many.test").await;
        nodes.all(20).await;
        *nodes.lates[0].how.lock() = how;
        let [Some(one), Some(other)] = &mut nodes.nodes[..] else {
            panic!("two nodes");
        };
        let limiter = one.limiter().clone();
        let work = async move { limiter.exchange().await };
        let exchange = nodes.runtime.spawn("exchange", work);
        tokio::task::yield_now().await;
        // Now it has something again, but others may have taken what it gave back.
        let to = |n| format!("u{n}@a.many.test");
        one.world.put_many("list@far.test", 20, to).await;
        other.world.put_many("list@far.test", 20, to).await;
        for _ in 0..4 {
            one.settle().await;
            other.settle().await;
            other.limiter().exchange().await;
        }
        other.settle().await;
        let open = nodes.seen.lock().open;
        assert_eq!(open, 5, "{how:?}");
        nodes.lates[0].answers.notify_one();
        exchange.join().await.expect("it ends");
        *nodes.lates[0].how.lock() = How::AtOnce;
        nodes.all(60).await;
        assert_eq!((nodes.seen().refused, nodes.seen().most), (0, 5), "{how:?}");
    }
}

#[tokio::test]
async fn who_had_all_gives_way_while_the_board_is_away() {
    let mut nodes = Nodes::new(2, connections(6));
    nodes.seconds(1).await;
    nodes.put(0, 500, "a.many.test").await;
    nodes.seconds(5).await;
    nodes.board.set_away(true);
    nodes.put(1, 100, "a.many.test").await;
    nodes.seconds(7).await;
    let before = (nodes.waiting(0), nodes.waiting(1));
    nodes.seconds(10).await;
    let after = (nodes.waiting(0), nodes.waiting(1));
    let took = (before.0 - after.0, before.1 - after.1);
    // What is open when they part it ends first, and may cost a refusal.
    assert!((25..=35).contains(&took.0), "{took:?}");
    assert!((25..=35).contains(&took.1), "{took:?}");
}

/// The operator allows twenty, the servers take five: that is for all nodes together too.
#[tokio::test]
async fn what_servers_take_is_shared_though_the_operator_allows_more() {
    let mut nodes = Nodes::at(2, connections(20), 5);
    nodes.put(0, 2000, "a.many.test").await;
    nodes.seconds(20).await;
    nodes.put(1, 20, "b.many.test").await;
    nodes.seconds(20).await;
    assert_eq!(nodes.waiting(1), 0, "{:?}", nodes.seen());
    let seen = nodes.seen();
    assert_eq!(seen.most, 5, "{seen:?}");
    nodes.put(1, 300, "b.many.test").await;
    let took = 40 + nodes.all(1000).await;
    let seen = nodes.seen();
    assert_eq!((seen.taken, seen.most), (2320, 5), "{seen:?}");
    assert!(seen.refused * 20 < seen.attempts, "{seen:?}");
    // Who knew the limit would need so long.
    assert!(took * 80 <= (2320 / 5) * 100, "{took}");
}

#[tokio::test]
async fn a_rest_that_was_forgiven_does_not_come_back() {
    let mut nodes = Nodes::new(2, connections(4));
    nodes.put(0, 8, "a.many.test").await;
    nodes.seconds(1).await;
    let party = Party::of_host("mx.many.test", 25);
    let reply = Reply::enhanced(421, (4, 7, 0), "mx: rate limited, slow down");
    let asked = nodes.nodes[0]
        .as_ref()
        .expect("it is there")
        .limiter()
        .clone();
    let mut place = deliver::Gate::enter(&asked, &party).expect("there is room");
    place.hear(Heard::Said(&reply));
    drop(place);
    nodes.seconds(2).await;
    asked.forgive_all();
    nodes.seconds(3).await;
    let status = asked.status_of(&party).expect("it is known");
    assert_eq!(status.rests_until, None);
}

#[tokio::test]
async fn what_is_over_is_given_back() {
    let mut nodes = Nodes::new(1, connections(5));
    nodes.put(0, 400, "a.many.test").await;
    nodes.all(200).await;
    nodes.seconds(2).await;
    assert_eq!(nodes.board.held(THERE), 0);
    let node = nodes.live().next().expect("one");
    let status = node
        .limiter()
        .status_of(&Party::of_host("mx.many.test", 25));
    assert_eq!(status.expect("it is known").share, Some(0));
    assert!(!node.limiter().exchange().await, "nothing is shared");
}
