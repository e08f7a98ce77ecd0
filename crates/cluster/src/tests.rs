//! Nodes at one board, and where a database is.

use std::time::Duration;

use runtime::Runtime;

use crate::limits::{LEASE, LEVEL_TIME};
use crate::{Board, BoardError, Config, MemoryBoard, SetupError, Share, Use};

fn asked(keeps: u32, wanted: u32) -> Use {
    Use {
        party: "mx.far.test".to_owned(),
        limit: 6,
        keeps,
        wanted,
        paced: keeps + wanted > 0,
        keeps_part: 0,
        refused: false,
        rest: Duration::ZERO,
    }
}

async fn told(node: &dyn Board, one: Use) -> Share {
    let answer = node.exchange(&[one]).await.expect("it is there");
    answer.shares.into_iter().next().expect("one for each")
}

#[tokio::test]
async fn a_share_is_given_back_by_saying_so_by_leaving_or_by_silence() {
    let runtime = Runtime::for_tests();
    let board = MemoryBoard::new(&runtime);
    let (one, other) = (board.node("one"), board.node("other"));
    let share = told(&*one, asked(0, 9)).await;
    assert_eq!((share.connections, share.part), (6, 1000));
    assert_eq!(told(&*other, asked(0, 9)).await.connections, 0);

    // It has four open, and wants no more than these.
    let share = told(&*one, asked(4, 4)).await;
    assert_eq!((share.connections, share.part), (3, 500));
    let share = told(&*other, asked(0, 9)).await;
    assert_eq!((share.connections, share.part), (2, 500));
    assert_eq!(board.held("mx.far.test"), 6);
    told(&*one, asked(0, 0)).await;
    assert_eq!(told(&*other, asked(2, 9)).await.connections, 6);

    other.leave().await;
    assert_eq!(told(&*one, asked(0, 9)).await.connections, 6);
    runtime.advance(LEASE + Duration::from_millis(1));
    assert_eq!(told(&*other, asked(0, 9)).await.connections, 6);
}

#[tokio::test]
async fn everybody_hears_of_a_rest_and_of_how_many_there_are() {
    let runtime = Runtime::for_tests();
    let board = MemoryBoard::new(&runtime);
    let (one, other) = (board.node("one"), board.node("other"));
    let rest = Duration::from_secs(10);
    let tired = Use {
        rest,
        ..asked(1, 1)
    };
    told(&*one, tired).await;
    runtime.advance(Duration::from_secs(4));
    // The clock goes on by itself too.
    let left = told(&*other, asked(0, 1)).await.rest;
    assert!((5..=6).contains(&left.as_secs()), "{left:?}");
    assert_eq!(other.exchange(&[]).await.map(|answer| answer.nodes), Ok(2));
    board.set_away(true);
    assert!(matches!(one.exchange(&[]).await, Err(BoardError::Away(_))));
}

#[tokio::test]
async fn what_was_refused_is_a_limit_for_all_for_a_while() {
    let runtime = Runtime::for_tests();
    let board = MemoryBoard::new(&runtime);
    let (one, other) = (board.node("one"), board.node("other"));
    assert_eq!(told(&*one, asked(3, 3)).await.connections, 3);
    assert_eq!(told(&*other, asked(0, 9)).await.connections, 3);
    // It has none open yet, and the first was one too many.
    let refused = Use {
        refused: true,
        ..asked(0, 9)
    };
    let share = told(&*other, refused).await;
    assert_eq!((share.connections, share.others), (0, 3));
    assert_eq!(told(&*one, asked(3, 9)).await.connections, 2);
    assert_eq!(told(&*one, asked(2, 9)).await.connections, 2);
    assert_eq!(told(&*other, asked(0, 9)).await.connections, 1);
    runtime.advance(LEVEL_TIME);
    told(&*one, asked(0, 0)).await;
    assert_eq!(told(&*other, asked(1, 9)).await.connections, 6);
}

#[test]
fn a_database_is_where_its_address_says_and_its_password_is_not_shown() {
    let address = "postgresql://me@one.test,two.test:5433/mail";
    let config = Config::parse(address, Some("verysecret")).expect("an address");
    let shown = format!("{config:?}");
    assert!(
        shown.contains("one.test") && shown.contains("5433"),
        "{shown}"
    );
    assert!(!shown.contains("verysecret"), "{shown}");
    assert!(Config::parse("host=/run/postgresql user=me", Some("x")).is_ok());
    assert!(matches!(
        Config::parse("postgresql:///mail", None),
        Err(SetupError::NoHost)
    ));
    assert!(matches!(
        Config::parse("postgresql://me:verysecret@one.test/mail", None),
        Err(SetupError::Password)
    ));
    assert!(matches!(
        Config::parse("host=one.test hostaddr=127.0.0.1", None),
        Err(SetupError::TooMuch)
    ));
    for wrong in [
        "mysql://one.test/mail",
        "one.test",
        "postgresql://one.test:x/",
    ] {
        let error = Config::parse(wrong, None).expect_err(wrong);
        assert!(matches!(error, SetupError::Address(_)), "{wrong}: {error}");
    }
}
