//! Several nodes that share their limits, in virtual time.

use cluster::MemoryBoard;
use cluster::limits::LEASE;

use super::learning::{SeenThere, Sending, connections, pass_a_second};
use super::*;
use crate::SiteLimits;

const THERE: &str = "mx.many.test:25";

/// Nodes with a queue each, and the servers that all of them send to.
struct Nodes {
    runtime: Runtime,
    board: MemoryBoard,
    nodes: Vec<Option<Sending>>,
    seen: Arc<Mutex<SeenThere>>,
}

impl Nodes {
    fn new(count: usize, allowed: SiteLimits) -> Self {
        let runtime = Runtime::for_tests();
        let board = MemoryBoard::new(&runtime);
        let seen: Arc<Mutex<SeenThere>> = Arc::default();
        let node = |n: usize| {
            let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
            let world = World::over(engine, runtime.clone());
            let routes = Arc::clone(&world.routes) as Arc<dyn Routes>;
            let board = Some(board.node(&format!("node{n}")));
            let limiter = Limiter::sharing(board, &runtime, routes, allowed);
            // They take what the operator says they take: whoever opens more is refused.
            let takes = [(0, allowed.connections as usize)];
            Some(Sending::with(world, &takes, limiter, Arc::clone(&seen)))
        };
        Self {
            nodes: (0..count).map(node).collect(),
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
    assert_eq!(nodes.seen().taken - before, 30, "half until then");
    nodes.seconds(LEASE.as_secs() as usize).await;
    let before = nodes.seen().taken;
    nodes.seconds(10).await;
    assert_eq!(nodes.seen().taken - before, 60, "the whole from then on");
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
    assert_eq!(nodes.seen().taken - before, 30);
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
    assert_eq!(nodes.seen().taken - before, 60);
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
        assert!(now - before <= 31, "{} in a minute", now - before);
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
    place.hear(deliver::Heard::Said(&reply));
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

#[tokio::test]
async fn what_is_over_is_given_back() {
    let mut nodes = Nodes::new(1, connections(5));
    nodes.put(0, 400, "a.many.test").await;
    nodes.all(200).await;
    nodes.seconds(2).await;
    assert_eq!(nodes.board.held(THERE), 0);
    let node = nodes.live().next().expect("one");
    assert!(!node.limiter().exchange().await, "nothing is shared");
}
