//! Bans begin, end, are lifted, and outlive a restart.

use std::sync::Arc;
use std::time::Duration;

use engine::{MemoryEngine, SharedEngine};
use runtime::{Runtime, Timestamp};
use settings::Network;

use super::super::testing::ip;
use super::{Ban, Bans, By, canonical, check_ban, encode, key, name, prefix_of};

const HOUR: Duration = Duration::from_secs(3600);

fn network(text: &str) -> Network {
    Network::parse(text).expect("a network")
}

fn ban(text: &str, runtime: &Runtime, lasts: Duration) -> Ban {
    Ban {
        network: network(text),
        from: runtime.now(),
        until: runtime.now().after(lasts),
        by: By::Operator,
        reason: format!("{text} misbehaves"),
    }
}

async fn bans(engine: &SharedEngine, runtime: &Runtime) -> Bans {
    let opened = Bans::open(engine.clone(), runtime.clone()).await;
    opened.expect("readable")
}

#[tokio::test]
async fn a_ban_holds_its_network_for_its_time_and_over_a_restart() {
    let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
    let runtime = Runtime::for_tests();
    let all = bans(&engine, &runtime).await;
    assert_eq!(all.find(ip("203.0.113.9")), None);
    for (text, lasts) in [
        ("203.0.113.77/24", HOUR),
        ("203.0.113.9", 2 * HOUR),
        ("2001:db8:1::/48", HOUR),
        ("::ffff:198.51.100.1", HOUR),
    ] {
        let added = all.add(ban(text, &runtime, lasts)).await;
        added.expect("added");
    }
    let again = bans(&engine, &runtime).await;
    for all in [&all, &again] {
        let held = |text| all.find(ip(text)).map(|ban| ban.network.to_string());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(held("203.0.113.1"), some("203.0.113.0/24"));
        assert_eq!(held("::ffff:203.0.113.1"), some("203.0.113.0/24"));
        assert_eq!(held("203.0.113.9"), some("203.0.113.9/32"), "the narrower");
        assert_eq!(held("203.0.114.1"), None);
        assert_eq!(held("2001:db8:1:ffff::1"), some("2001:db8:1::/48"));
        assert_eq!(held("2001:db8:2::1"), None);
        assert_eq!(held("198.51.100.1"), some("198.51.100.1/32"));
        assert_eq!(all.list().len(), 4);
    }
    runtime.advance(HOUR);
    assert_eq!(again.find(ip("203.0.113.1")), None);
    assert!(again.find(ip("203.0.113.9")).is_some());
    assert_eq!(again.list().len(), 1);
    // What is over goes with the next that is written.
    again
        .add(ban("192.0.2.1", &runtime, HOUR))
        .await
        .expect("added");
    assert_eq!(bans(&engine, &runtime).await.held.read().bans.len(), 2);
}

#[tokio::test]
async fn what_is_lifted_is_gone_for_good() {
    let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
    let runtime = Runtime::for_tests();
    let all = bans(&engine, &runtime).await;
    for text in ["203.0.113.0/24", "203.0.113.9", "2001:db8::/32"] {
        all.add(ban(text, &runtime, HOUR)).await.expect("added");
    }
    let lift = async |text| {
        let lifted = all.lift(network(text)).await.expect("written");
        lifted.map(|ban| ban.network.to_string())
    };
    assert_eq!(lift("203.0.113.0/25").await, None, "not exactly that one");
    assert_eq!(lift("203.0.113.9").await.as_deref(), Some("203.0.113.9/32"));
    // An address whose own ban is not there: that which holds it.
    assert_eq!(lift("203.0.113.9").await.as_deref(), Some("203.0.113.0/24"));
    assert_eq!(lift("203.0.113.9").await, None);
    assert_eq!(all.list().len(), 1);
    assert_eq!(bans(&engine, &runtime).await.list().len(), 1);
}

#[test]
fn golden_bytes() {
    let ban = Ban {
        network: network("192.0.2.0/24"),
        from: Timestamp { unix_ms: 0x0102 },
        until: Timestamp { unix_ms: 0x0304 },
        by: By::Door,
        reason: "why".into(),
    };
    let key = key(&name(ban.network.address, prefix_of(ban.network)));
    assert_eq!(key, b"SB\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\0\x78");
    let record = encode(&ban);
    assert_eq!(
        record,
        b"\x01\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\x03\x04\x02why"
    );
    assert_eq!(super::decode(&key, &record).map(|(_, ban)| ban), Ok(ban));
    for end in 0..18 {
        assert!(check_ban(&key, &record[..end]).is_some(), "{end}");
    }
    assert!(check_ban(&key[..18], &record).is_some());
    let everybody = canonical(network("::/0"));
    assert_eq!(everybody.to_string(), "::/0");
}
