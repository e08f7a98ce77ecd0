//! Workers that come, that stay away, and that go away with a message; in virtual time.

use super::*;
use crate::{Said, Settled, Transports, Verdict, Work, WorkError, Workers};
use parking_lot::Mutex;
use std::sync::Arc;

/// `tickets` is the one transport there is; it counts the knocks.
#[derive(Default)]
struct Rules(Mutex<usize>);

impl Transports for Rules {
    fn has(&self, name: &str) -> bool {
        name == "tickets"
    }

    fn knock(&self, name: &str) {
        assert_eq!(name, "tickets");
        *self.0.lock() += 1;
    }
}

struct Desk {
    runtime: Runtime,
    workers: Workers,
    gateways: Gateways,
    rules: Arc<Rules>,
}

const LEASE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(1);

impl Desk {
    fn new() -> Self {
        let runtime = Runtime::for_tests();
        let rules = Arc::new(Rules::default());
        let workers = Workers::new(runtime.clone(), rules.clone());
        let gateways = Gateways::new(runtime.clone(), "mail.here.test");
        Self {
            gateways: gateways.with_workers(workers.clone()),
            runtime,
            workers,
            rules,
        }
    }

    async fn offer(&self, recipients: &[&str]) -> deliver::Report {
        let message = MessageBytes(Bytes::from_static(TEXT));
        let to = envelope(recipients);
        let gateway = Gateway::Worker;
        self.gateways
            .deliver("tickets", &gateway, &to, &message)
            .await
    }

    async fn claim(&self) -> Result<Option<Work>, WorkError> {
        self.workers.claim("tickets", "one", (SOON, LEASE)).await
    }

    async fn claimed(&self) -> Work {
        self.claim().await.expect("asked").expect("a message")
    }

    /// Time goes on until the future is done.
    async fn in_time<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                biased;
                done = &mut future => return done,
                () = a_turn() => self.runtime.advance(SOON),
            }
        }
    }
}

/// Others have their turn.
async fn a_turn() {
    let mut is_over = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut is_over, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

fn all(verdict: Verdict, text: &str) -> Settled {
    Settled {
        others: Some(said(verdict, text)),
        ..Settled::default()
    }
}

fn said(verdict: Verdict, text: &str) -> Said {
    Said {
        verdict,
        text: text.to_owned(),
    }
}

#[tokio::test]
async fn a_worker_reads_a_message_and_says_what_became_of_it() {
    let desk = Desk::new();
    let working = async {
        let work = desk.claimed().await;
        assert_eq!(work.sender, "ann@here.test");
        assert_eq!(work.recipients, ["a@x.test", "b@x.test", "c@x.test"]);
        assert_eq!((work.size, work.lease), (TEXT.len() as u64, LEASE));
        let mut octets = Vec::new();
        while octets.len() < TEXT.len() {
            let part = desk.workers.read(&work.claim, octets.len() as u64).await;
            octets.extend_from_slice(&part.expect("its octets"));
        }
        assert_eq!(octets, TEXT);
        let hour = Some(Duration::from_secs(3600));
        let mut settled = all(Verdict::Delivered, "\r\nticket 17\r\nmore");
        let no = said(Verdict::Failed((1, 1)), "no such project");
        settled.each.insert("b@x.test".into(), no);
        let later = said(Verdict::Deferred(hour), "");
        settled.each.insert("c@x.test".into(), later);
        let settling = desk.workers.settle(&work.claim, settled.clone());
        settling.await.expect("heard");
        (work.claim, settled)
    };
    let (report, (claim, settled)) =
        tokio::join!(desk.offer(&["a@x.test", "b@x.test", "c@x.test"]), working);
    let replies = report.outcomes.iter().map(|one| one.reply().to_line());
    assert_eq!(
        replies.collect::<Vec<_>>(),
        [
            "250 2.0.0 worker one: ticket 17",
            "550 5.1.1 worker one: no such project",
            "451 4.3.0 worker one",
        ]
    );
    assert_eq!(report.retry_after, Some(Duration::from_secs(3600)));
    assert_eq!(report.host.as_deref(), Some("tickets"));
    let again = desk.workers.settle(&claim, settled).await;
    assert_eq!(again, Err(WorkError::Over));
}

#[tokio::test]
async fn what_is_said_must_be_of_its_recipients_and_of_all() {
    let desk = Desk::new();
    let working = async {
        let claim = desk.claimed().await.claim;
        let mut settled = Settled::default();
        let yes = said(Verdict::Delivered, "");
        settled.each.insert("a@x.test".into(), yes.clone());
        let forgotten = desk.workers.settle(&claim, settled.clone()).await;
        assert_eq!(forgotten, Err(WorkError::Forgotten("b@x.test".into())));
        settled.each.insert("eve@x.test".into(), yes);
        let stranger = desk.workers.settle(&claim, settled).await;
        assert_eq!(stranger, Err(WorkError::Stranger("eve@x.test".into())));
        let settling = desk.workers.settle(&claim, all(Verdict::Delivered, ""));
        settling.await.expect("heard");
    };
    let (report, ()) = tokio::join!(desk.offer(&["a@x.test", "b@x.test"]), working);
    assert!(report.outcomes.iter().all(Outcome::is_delivered));
}

#[tokio::test]
async fn what_nobody_comes_for_is_tried_later_and_the_next_worker_knocks_once() {
    let desk = Desk::new();
    // The first one that asks after a start knocks.
    assert_eq!(desk.in_time(desk.claim()).await, Ok(None));
    assert_eq!(desk.in_time(desk.claim()).await, Ok(None));
    assert_eq!(*desk.rules.0.lock(), 1);
    let report = desk.in_time(desk.offer(&["a@x.test"])).await;
    let line = report.outcomes[0].reply().to_line();
    assert_eq!(line, "451 4.4.1 no worker has asked for it within 10 s");
    assert!(!report.no_room);
    for _ in 0..3 {
        assert_eq!(desk.in_time(desk.claim()).await, Ok(None));
    }
    assert_eq!(*desk.rules.0.lock(), 2);
    let nowhere = desk.workers.claim("nowhere", "one", (SOON, LEASE)).await;
    assert_eq!(nowhere, Err(WorkError::NoTransport("nowhere".into())));
}

#[tokio::test]
async fn a_worker_that_goes_away_has_it_for_its_lease() {
    let desk = Desk::new();
    let begun = desk.runtime.monotonic();
    let working = async {
        let claim = desk.claimed().await.claim;
        let longer = desk.workers.extend(&claim, 2 * LEASE).await;
        assert_eq!(longer, Ok(2 * LEASE));
        claim
    };
    let both = async { tokio::join!(desk.offer(&["a@x.test"]), working) };
    let (report, claim) = desk.in_time(both).await;
    let line = report.outcomes[0].reply().to_line();
    let silent = "451 4.3.0 worker one has not said in time what became of it";
    assert_eq!(line, silent);
    let lasted = desk.runtime.monotonic().since(begun);
    assert!(lasted >= 2 * LEASE && lasted < 3 * LEASE, "{lasted:?}");
    assert_eq!(desk.workers.read(&claim, 0).await, Err(WorkError::Over));
}

#[tokio::test]
async fn an_attempt_that_is_cut_off_ends_its_claim_and_its_offer() {
    let desk = Desk::new();
    let work = tokio::select! {
        _ = desk.offer(&["a@x.test"]) => panic!("nobody has settled it"),
        work = desk.claimed() => work,
    };
    let late = desk.workers.extend(&work.claim, LEASE).await;
    assert_eq!(late, Err(WorkError::Over));
    // Nor is anything left of what was only offered.
    tokio::select! {
        _ = desk.offer(&["a@x.test"]) => panic!("nobody has asked"),
        () = a_turn() => {}
    }
    assert_eq!(desk.in_time(desk.claim()).await, Ok(None));
}

#[tokio::test]
async fn each_message_is_with_one_worker_and_there_are_so_many_at_once() {
    let desk = Desk::new();
    let working = async {
        let (one, two) = (desk.claimed().await, desk.claimed().await);
        assert_ne!(one.claim, two.claim);
        assert_ne!(one.recipients, two.recipients);
        assert_eq!(desk.in_time(desk.claim()).await, Ok(None));
        for work in [one, two] {
            let settling = desk
                .workers
                .settle(&work.claim, all(Verdict::Delivered, ""));
            settling.await.expect("heard");
        }
    };
    tokio::join!(
        desk.offer(&["a@x.test"]),
        desk.offer(&["b@x.test"]),
        working
    );
    // More than there is room for say so, and nothing of their messages.
    let many = async {
        let mut reports = Vec::new();
        let mut offers = Vec::new();
        for _ in 0..crate::limits::OFFERS_MAX {
            offers.push(Box::pin(desk.offer(&["a@x.test"])));
        }
        for offer in &mut offers {
            tokio::select! {
                biased;
                _ = offer => panic!("nobody has asked"),
                () = a_turn() => {}
            }
        }
        reports.push(desk.in_time(desk.offer(&["b@x.test"])).await);
        reports
    };
    assert!(many.await[0].no_room);
}
