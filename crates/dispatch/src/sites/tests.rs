//! Turns, closed sites, full lists.

use super::*;
use engine::ShardId;
use envelope::Domain;
use std::time::Duration;

const ROOM: Most<'_> = Most {
    per_site: 2,
    local: 2,
    limiter: None,
};

fn line(domain: &str) -> Line {
    Line {
        shard: ShardId(0),
        domain: Domain::parse(domain).expect("a domain"),
        way: None,
    }
}

fn of(sender: u32, id: u64, domain: &str) -> Due {
    Due {
        line: line(domain),
        due_ms: id,
        id: QueueId(id),
        sender,
    }
}

fn due(id: u64, domain: &str) -> Due {
    of(0, id, domain)
}

fn site(domain: &str) -> Site {
    Site::Domain(Domain::parse(domain).expect("a domain"))
}

fn at(seconds: u64) -> (Monotonic, Timestamp) {
    (
        Monotonic(Duration::from_secs(seconds)),
        Timestamp::from_unix_seconds(seconds),
    )
}

fn finish(sites: &mut Sites, unit: &Unit, seen: Seen, now: u64) -> Finished {
    sites.finish(unit, seen, at(now), (&Schedule::default(), 0))
}

#[test]
fn sites_take_turns_and_none_takes_more_than_its_share() {
    let mut sites = Sites::default();
    for id in 0..50 {
        assert_eq!(
            sites.offer(&site("a.test"), due(id, "a.test")),
            Offered::Taken
        );
    }
    assert_eq!(
        sites.offer(&site("a.test"), due(0, "a.test")),
        Offered::Known
    );
    sites.offer(&site("b.test"), due(99, "b.test"));
    let order: Vec<String> = std::iter::from_fn(|| sites.next(ROOM))
        .map(|unit| unit.site.to_string())
        .collect();
    assert_eq!(order, ["a.test", "b.test", "a.test"]);
}

#[test]
fn a_site_that_is_down_is_closed_then_tried_by_one() {
    let mut sites = Sites::default();
    let a = site("a.test");
    for id in 0..5 {
        sites.offer(&a, due(id, "a.test"));
    }
    let first = sites.next(ROOM).expect("room");
    let second = sites.next(ROOM).expect("room");
    let back = finish(&mut sites, &first, Seen::Down, 0).again;
    assert_eq!(back.len(), 3, "its list goes back to the schedule");
    finish(&mut sites, &second, Seen::Down, 0);
    assert!(sites.next(ROOM).is_none());
    assert!(!sites.has_room(&a, at(149).0) && sites.has_room(&a, at(150).0));
    let part = (line("a.test"), None);
    sites.wait(a.clone(), part.clone());
    assert!(!sites.wants_more(at(1).0) && sites.call_in(at(1).0).is_empty());
    assert_eq!(sites.opens_at(at(1).0), Some(at(150).0), "one failure");
    assert!(sites.wants_more(at(150).0));
    assert_eq!(sites.call_in(at(150).0), [part]);
    assert_eq!(sites.offer(&a, due(2, "a.test")), Offered::Taken);
    assert_eq!(
        sites.offer(&a, due(3, "a.test")),
        Offered::Full,
        "one first"
    );
    let probe = sites.next(ROOM).expect("room");
    assert!(sites.next(ROOM).is_none());
    assert!(finish(&mut sites, &probe, Seen::Up, 152).is_back);
    for id in 3..6 {
        assert_eq!(sites.offer(&a, due(id, "a.test")), Offered::Taken);
    }
    let unit = sites.next(ROOM).expect("room");
    assert!(sites.next(ROOM).is_some());
    assert!(!finish(&mut sites, &unit, Seen::Up, 153).is_back);
}

/// However many there are, only so many are put off at once and in a second.
#[test]
fn a_closed_site_is_swept_at_a_bounded_pace() {
    let mut sites = Sites::default();
    let a = site("a.test");
    sites.offer(&a, due(0, "a.test"));
    let unit = sites.next(ROOM).expect("room");
    finish(&mut sites, &unit, Seen::Down, 0);
    let part = (line("a.test"), None);
    sites.wait(a.clone(), part.clone());
    let mut id = 1;
    let mut sweep = |sites: &mut Sites, seconds: u64| {
        let mut count = 0;
        while let Some((of, found, room)) = sites.next_to_sweep(at(seconds).0) {
            assert_eq!((&of, &found), (&a, &part));
            for _ in 0..room.min(SWEEP_PAGE) {
                sites.put_off(&of, due(id, "a.test"));
                id += 1;
                count += 1;
            }
        }
        for _ in 0..count {
            let unit = sites.next(ROOM).expect("to be put off");
            assert_eq!(unit.closed_until, Some(at(150).1));
            finish(sites, &unit, Seen::Nothing, seconds);
        }
        count
    };
    assert_eq!(sweep(&mut sites, 1), SWEEP_BURST);
    assert_eq!(sweep(&mut sites, 1), 0);
    let later = sweep(&mut sites, 3);
    assert!((1..=2 * SWEEP_PER_SECOND).contains(&later), "{later}");
    assert!(sites.known.is_empty() && sites.swept.is_empty());
}

#[test]
fn a_full_site_leaves_room_for_others_and_calls_its_lines_when_it_has_run_down() {
    let mut sites = Sites::default();
    let a = site("a.test");
    let max = READY_PER_SITE_MAX as u64;
    for id in 0..max + 10 {
        let full = sites.offer(&a, due(id, "a.test")) == Offered::Full;
        assert_eq!(full, id >= max);
    }
    assert_eq!(
        sites.offer(&site("b.test"), due(9, "b.test")),
        Offered::Taken
    );
    let part = (line("a.test"), None);
    sites.wait(a, part.clone());
    assert!(!sites.wants_more(at(0).0) && sites.call_in(at(0).0).is_empty());
    for _ in 0..max {
        let unit = sites.next(ROOM).expect("room");
        finish(&mut sites, &unit, Seen::Up, 0);
    }
    assert!(sites.wants_more(at(0).0));
    assert_eq!(sites.call_in(at(0).0), [part]);
    assert!(!sites.wants_more(at(0).0) && sites.waited_at.is_empty());
}

/// Very many slow sites fill the memory; one more is served all the same.
#[test]
fn a_full_memory_has_room_for_a_site_that_has_nothing_in_it() {
    let mut sites = Sites::default();
    for n in 0..1000 {
        let domain = format!("x{n}.test");
        let mut id = 0;
        while matches!(
            sites.offer(&site(&domain), due(id, &domain)),
            Offered::Taken
        ) {
            id += 1;
        }
        assert!(id > 0, "{n}");
    }
    assert!(sites.ready < 2 * READY_MAX, "{}", sites.ready);
    let offered = sites.offer(&site("new.test"), due(1, "new.test"));
    assert_eq!(offered, Offered::Taken);
}

#[test]
fn senders_take_turns_and_who_has_most_gives_way() {
    let mut sites = Sites::default();
    let a = site("a.test");
    for id in 0..READY_PER_SITE_MAX as u64 {
        sites.offer(&a, of(1, id, "a.test"));
    }
    assert_eq!(sites.offer(&a, of(1, 999, "a.test")), Offered::Full);
    let last = of(1, READY_PER_SITE_MAX as u64 - 1, "a.test");
    assert_eq!(sites.offer(&a, of(2, 1000, "a.test")), Offered::For(last));
    assert_eq!(sites.ready, READY_PER_SITE_MAX);
    let first = sites.next(ROOM).expect("room");
    let second = sites.next(ROOM).expect("room");
    let ids = [first.dues[0].id.0, second.dues[0].id.0];
    assert_eq!(ids, [1000, 0], "not behind all the others");
}

#[test]
fn a_sender_with_few_does_not_wait_behind_one_with_mail_for_many_sites() {
    let mut sites = Sites::default();
    for n in 0..1000 {
        let domain = format!("x{n}.test");
        sites.offer(&site(&domain), of(1, n, &domain));
    }
    sites.offer(&site("new.test"), of(2, 5000, "new.test"));
    let mut units = std::iter::from_fn(|| sites.next(ROOM));
    let place = units.position(|unit| unit.dues[0].sender == 2);
    assert!(place.is_some_and(|place| place < 2), "{place:?}");
}

#[test]
fn what_is_offered_while_it_is_attempted_is_looked_at_again() {
    let mut sites = Sites::default();
    let a = site("a.test");
    sites.offer(&a, due(1, "a.test"));
    let unit = sites.next(ROOM).expect("room");
    assert_eq!(sites.offer(&a, due(1, "a.test")), Offered::Known);
    let again = finish(&mut sites, &unit, Seen::Up, 0).again;
    assert_eq!(again, [due(1, "a.test")]);
}

#[test]
fn domains_of_a_message_that_go_the_same_way_go_together() {
    let mut sites = Sites::default();
    for domain in ["a.test", "b.test"] {
        sites.offer(&Site::SmartHost, due(1, domain));
    }
    sites.offer(&Site::SmartHost, due(2, "a.test"));
    let unit = sites.next(ROOM).expect("room");
    assert_eq!(unit.dues.len(), 2);
    finish(&mut sites, &unit, Seen::Up, 0);
    assert_eq!(sites.next(ROOM).expect("room").dues.len(), 1);
}

#[test]
fn nothing_is_left_of_a_site_without_work() {
    let mut sites = Sites::default();
    sites.offer(&site("a.test"), due(1, "a.test"));
    let unit = sites.next(ROOM).expect("room");
    finish(&mut sites, &unit, Seen::Up, 0);
    assert!(
        sites.next(ROOM).is_none(),
        "what it remembers is looked through"
    );
    assert!(sites.sites.is_empty() && sites.known.is_empty() && sites.turns.is_empty());
    assert!(sites.few.is_empty() && sites.senders.is_empty());
    assert_eq!(sites.ready, 0);
}

/// Whoever was away together does not come back together, however long it was.
#[test]
fn chance_spreads_when_sites_open_again() {
    let mut opens = HashSet::new();
    for seed in 0..100u64 {
        let mut sites = Sites::default();
        let a = site("a.test");
        let mut now = 0;
        for _ in 0..12 {
            sites.call_in(at(now).0);
            sites.wait(a.clone(), (line("a.test"), None));
            sites.call_in(at(now).0);
            sites.offer(&a, due(1, "a.test"));
            let unit = sites.next(ROOM).expect("open");
            sites.finish(
                &unit,
                Seen::Down,
                at(now),
                (&Schedule::default(), seed * 7919 * 1000),
            );
            sites.wait(a.clone(), (line("a.test"), None));
            let until = sites.opens_at(at(now).0).expect("closed");
            let wait = until.since(at(now).0).as_millis();
            assert!(wait <= CLOSED_MAX_MS.into());
            now += 3600;
            opens.insert(wait);
        }
    }
    let long = opens.iter().filter(|wait| **wait > 20 * 60_000);
    assert!(long.count() > 50);
}
