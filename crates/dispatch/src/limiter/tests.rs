//! Seats, places, and what is forgotten.

use std::time::Duration;

use envelope::Domain;

use super::*;
use crate::NoRoutes;

fn limiter(runtime: &Runtime, connections: u32) -> Limiter {
    let usual = SiteLimits {
        connections,
        ..SiteLimits::default()
    };
    Limiter::new(runtime, Arc::new(NoRoutes), usual)
}

fn party(name: &str) -> Party {
    Party::of_host(name, 25)
}

fn site(n: usize) -> Site {
    Site::Domain(Domain::parse(&format!("d{n}.test")).expect("a domain"))
}

fn busy() -> Reply {
    Reply::enhanced(421, (4, 7, 0), "too many connections")
}

#[test]
fn connections_that_wait_have_their_place() {
    let runtime = Runtime::for_tests();
    let limiter = limiter(&runtime, 2);
    let a = party("a");
    let mut first = limiter.enter(&a).expect("room");
    first.hear(Heard::Ready);
    let second = limiter.enter(&a).expect("room");
    assert!(limiter.enter(&a).is_none() && limiter.enter(&party("b")).is_some());
    drop(second);
    assert!(limiter.enter(&a).is_some());
}

#[test]
fn who_is_turned_away_beside_others_was_one_too_many() {
    let runtime = Runtime::for_tests();
    let limiter = limiter(&runtime, 20);
    let a = party("a");
    let mut alone = limiter.enter(&a).expect("room");
    assert_eq!(alone.hear(Heard::TurnedAway(&busy())), Blame::Them);
    drop(alone);
    let mut first = limiter.enter(&a).expect("room");
    first.hear(Heard::Ready);
    let mut second = limiter.enter(&a).expect("room");
    assert_eq!(second.hear(Heard::Closed), Blame::Us);
    drop(second);
    assert!(limiter.enter(&a).is_none());
    let status = limiter.status_of(&a).expect("known");
    assert_eq!((status.connections, status.allowed), (1, 1));
    assert_eq!(
        (status.turned_away, status.refused.map(|(n, _)| n)),
        (2, Some(2))
    );
    assert!(
        status
            .last
            .is_some_and(|last| last.signal == Signal::NotNow)
    );
}

#[test]
fn a_site_is_full_when_its_party_is() {
    let runtime = Runtime::for_tests();
    let limiter = limiter(&runtime, 1);
    assert_eq!(limiter.room(&site(1)), Room::Unknown);
    for n in [1, 2] {
        limiter.learn(&site(n), &party("a"));
    }
    assert_eq!(limiter.room(&site(1)), Room::Free);
    let seat = limiter.sit(&party("a")).expect("free");
    assert_eq!(limiter.room(&site(2)), Room::Full(party("a"), None));
    assert!(limiter.sit(&party("a")).is_none());
    drop(seat);
    assert_eq!(limiter.room(&site(2)), Room::Free);
    runtime.advance(PARTY_KNOWN);
    assert_eq!(limiter.room(&site(2)), Room::Unknown, "it may have moved");
}

#[test]
fn who_says_too_fast_has_a_rest_and_a_person_ends_it() {
    let runtime = Runtime::for_tests();
    let limiter = limiter(&runtime, 5);
    let a = party("a");
    limiter.learn(&site(1), &a);
    drop(limiter.sit(&a));
    let mut place = limiter.enter(&a).expect("room");
    place.hear(Heard::Ready);
    place.hear(Heard::Said(&Reply::enhanced(450, (4, 7, 1), "slow down")));
    let status = limiter.status_of(&a).expect("known");
    assert!(status.rests_until.is_some() && status.per_minute == Some(1));
    assert!(matches!(limiter.room(&site(1)), Room::Full(_, Some(_))));
    assert!(limiter.sit(&a).is_none());
    runtime.advance(Duration::from_secs(30));
    limiter.forgive(&site(1));
    assert!(
        limiter
            .status_of(&a)
            .is_some_and(|status| status.rests_until.is_none())
    );
}

#[test]
fn what_is_known_is_bounded_and_forgotten() {
    let runtime = Runtime::for_tests();
    let limiter = limiter(&runtime, 5);
    let first = party("first");
    let held = limiter.sit(&first).expect("free");
    for n in 0..PARTIES_MAX + 100 {
        drop(limiter.sit(&party(&format!("p{n}"))));
        runtime.advance(Duration::from_millis(1));
    }
    let status = limiter.status();
    assert_eq!(status.len(), PARTIES_MAX);
    assert_eq!(status[0].party, first, "it is in use");
    drop(held);
    for n in 0..SITES_OF_PARTIES_MAX + 10 {
        limiter.learn(&site(n), &first);
    }
    assert_eq!(limiter.0.state.lock().sites.len(), SITES_OF_PARTIES_MAX);
    limiter.0.state.lock().parties.clear();
    // A limit of last night says little today.
    let mut one = limiter.enter(&first).expect("room");
    one.hear(Heard::Ready);
    let mut two = limiter.enter(&first).expect("room");
    two.hear(Heard::TurnedAway(&busy()));
    drop((one, two));
    assert!(
        limiter
            .status_of(&first)
            .is_some_and(|status| status.allowed == 1)
    );
    runtime.advance(PARTY_KEPT);
    drop(limiter.sit(&first));
    assert!(
        limiter
            .status_of(&first)
            .is_some_and(|status| status.allowed == 5)
    );
}

#[test]
fn a_failure_beside_others_does_not_say_that_a_party_is_away() {
    let runtime = Runtime::for_tests();
    let limiter = limiter(&runtime, 5);
    let a = party("a");
    let (seat, late) = (
        limiter.sit(&a).expect("free"),
        limiter.sit(&a).expect("free"),
    );
    let mut place = limiter.enter(&a).expect("room");
    place.hear(Heard::Ready);
    assert_eq!(seat.nothing_through(), Presence::There, "another is open");
    place.hear(Heard::Taken);
    drop(place);
    runtime.advance(Duration::from_secs(1));
    assert_eq!(seat.nothing_through(), Presence::There, "it was up lately");
    assert_eq!(
        late.nothing_through(),
        Presence::There,
        "of the same cohort"
    );
    runtime.advance(Duration::from_secs(1));
    let next = limiter.sit(&a).expect("free");
    assert_eq!(next.nothing_through(), Presence::Away);
}
