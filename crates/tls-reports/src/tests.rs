//! Days that come and go, over the memory engine.

mod sending;

use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, MemoryEngine};
use envelope::Domain;
use runtime::Runtime;
use tls_policy::reporting::{Applied, Failed, ResultType};

use crate::limits::{KEPT_FOR, PENDING_MAX};
use crate::{Day, TlsReports};

fn domain(name: &str) -> Domain {
    Domain::parse(name).expect("a domain")
}

fn failed(reason: &str) -> Failed {
    Failed {
        result: ResultType::ValidationFailure,
        host: "mx.far.test".into(),
        address: None,
        reason: reason.into(),
    }
}

fn totals(days: &[Day]) -> Vec<(&str, u64, u64)> {
    let of = |day: &'_ Day| {
        let counted = day.counted.policies.values();
        counted.fold((0, 0), |(good, bad), c| {
            (good + c.successful, bad + c.failed())
        })
    };
    days.iter()
        .map(|day| (day.domain.as_str(), of(day).0, of(day).1))
        .collect()
}

#[tokio::test]
async fn what_was_counted_outlives_a_restart_and_adds_up() {
    let engine = Arc::new(MemoryEngine::new(2));
    let runtime = Runtime::for_tests();
    let reports = TlsReports::new(engine.clone(), runtime.clone());
    let none = Applied::none();
    reports.count(&domain("Far.test"), &none, Ok(()));
    reports.count(&domain("far.test"), &none, Err(failed("a\r\nb")));
    reports.flush().await.expect("written");
    let again = TlsReports::new(engine.clone(), runtime.clone());
    again.count(&domain("far.test"), &none, Ok(()));
    again.count(&domain("else.test"), &none, Ok(()));
    let days = again.show(None, 10).await.expect("readable");
    assert_eq!(totals(&days), [("else.test", 1, 0), ("far.test", 2, 1)]);
    let reason = days[1].counted.policies[&none].failures.keys().next();
    assert_eq!(reason.map(|failed| failed.reason.as_str()), Some("ab"));
    let only = again.show(Some("far.test"), 10).await.expect("readable");
    assert_eq!(only.len(), 1);
    assert_eq!(again.show(None, 1).await.expect("readable").len(), 1);
}

#[tokio::test]
async fn each_day_is_by_itself_and_goes_in_its_time() {
    let runtime = Runtime::for_tests();
    let reports = TlsReports::new(Arc::new(MemoryEngine::new(1)), runtime.clone());
    reports.count(&domain("far.test"), &Applied::none(), Ok(()));
    runtime.advance(Duration::from_secs(86_400));
    reports.count(&domain("far.test"), &Applied::none(), Ok(()));
    let days = reports.show(None, 10).await.expect("readable");
    assert_eq!(days.len(), 2);
    assert_eq!(days[0].day + 1, days[1].day);
    runtime.advance(KEPT_FOR);
    assert_eq!(reports.expire().await.expect("works"), 1);
    runtime.advance(Duration::from_secs(86_400));
    assert_eq!(reports.expire().await.expect("works"), 1);
    assert!(reports.show(None, 10).await.expect("readable").is_empty());
}

#[tokio::test]
async fn a_flood_of_domains_is_bounded() {
    let engine = Arc::new(MemoryEngine::new(1));
    let reports = TlsReports::new(engine.clone(), Runtime::for_tests());
    for at in 0..PENDING_MAX + 100 {
        let name = format!("d{at}.test");
        reports.count(&domain(&name), &Applied::none(), Ok(()));
    }
    let commits = engine.stats().commits;
    reports.flush().await.expect("written");
    let pages = PENDING_MAX.div_ceil(crate::limits::FLUSH_PAGE) as u64;
    assert_eq!(engine.stats().commits - commits, pages);
    let days = reports.show(None, usize::MAX).await.expect("readable");
    assert_eq!(days.len(), PENDING_MAX);
}
