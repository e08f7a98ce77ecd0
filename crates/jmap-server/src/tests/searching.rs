//! Email/query and SearchSnippet/get.

use super::*;

async fn world() -> (World, Vec<String>) {
    let world = World::new().await;
    let mut ids = Vec::new();
    for (flags, message) in [
        (
            &["\\Seen"][..],
            "From: Ann <ann@a.test>\nTo: bob@demo.test\nSubject: Re: Lunch\nDate: Thu, 1 Jan 2015 00:00:00 +0000\n\nshall we eat noodles\n",
        ),
        (
            &[],
            "From: Zoe <zoe@z.test>\nCc: carl@c.test\nSubject: Apple pie\nDate: Wed, 1 Jan 2014 00:00:00 +0000\nX-Tag: red\n\n<b>not html</b> noodle\n",
        ),
        (
            &["\\Flagged", "work"],
            "From: mia@m.test\nSubject: =?utf-8?b?5Lya6K6u6YCa55+l?=\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ncaf\u{e9} au lait\n--b\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=x.pdf\n\nx\n--b--\n",
        ),
    ] {
        ids.push(world.append(flags, message).await);
    }
    (world, ids)
}

#[tokio::test]
async fn filters_find_what_they_say() {
    let (world, ids) = world().await;
    let inbox = world.inbox().await;
    for (filter, found) in [
        (json!(null), &[0, 1, 2][..]),
        (json!({}), &[0, 1, 2]),
        (json!({"inMailbox": inbox}), &[0, 1, 2]),
        (json!({"inMailbox": "M99"}), &[]),
        (json!({"inMailboxOtherThan": [inbox]}), &[]),
        (json!({"inMailboxOtherThan": []}), &[0, 1, 2]),
        (json!({"hasKeyword": "$seen"}), &[0]),
        (json!({"notKeyword": "$Seen"}), &[1, 2]),
        (json!({"hasKeyword": "nobody"}), &[]),
        (json!({"allInThreadHaveKeyword": "work"}), &[2]),
        (json!({"someInThreadHaveKeyword": "work"}), &[2]),
        (json!({"noneInThreadHaveKeyword": "work"}), &[0, 1]),
        (json!({"before": "2026-01-01T00:00:02Z"}), &[0]),
        (json!({"after": "2026-01-01T00:00:02Z"}), &[1, 2]),
        (json!({"minSize": 200}), &[2]),
        (json!({"maxSize": 200}), &[0, 1]),
        (json!({"hasAttachment": true}), &[2]),
        (json!({"hasAttachment": false}), &[0, 1]),
        (json!({"text": "noodle"}), &[0, 1]),
        (json!({"text": "noodle ann"}), &[0]),
        (json!({"text": "\"eat noodles\""}), &[0]),
        (json!({"text": "\"noodles eat\""}), &[]),
        (json!({"text": "CAFE\u{301}"}), &[2]),
        (json!({"from": "ZOE@"}), &[1]),
        (json!({"to": "bob"}), &[0]),
        (json!({"cc": "carl"}), &[1]),
        (json!({"bcc": "carl"}), &[]),
        (json!({"subject": "会议"}), &[2]),
        (json!({"body": "lunch"}), &[]),
        (json!({"header": ["X-Tag"]}), &[1]),
        (json!({"header": ["x-tag", "RED"]}), &[1]),
        (json!({"header": ["x-tag", "blue"]}), &[]),
        (json!({"from": "ann", "hasKeyword": "$seen"}), &[0]),
        (
            json!({"operator": "OR", "conditions": [{"from": "ann"}, {"from": "mia"}]}),
            &[0, 2],
        ),
        (
            json!({"operator": "NOT", "conditions": [{"from": "ann"}, {"from": "mia"}]}),
            &[1],
        ),
        (
            json!({"operator": "AND", "conditions": [{"inMailbox": inbox}, {"text": "noodle"}]}),
            &[0, 1],
        ),
    ] {
        let asked =
            json!({"filter": filter, "sort": [{"property": "receivedAt"}], "calculateTotal": true});
        let answer = world.call("Email/query", asked).await;
        let wanted: Vec<&str> = found.iter().map(|at| ids[*at].as_str()).collect();
        assert_eq!(texts(&answer["ids"]), wanted, "{filter}");
        assert_eq!(answer["total"], wanted.len());
    }
    for (filter, kind) in [
        (json!({"nothing": 1}), "unsupportedFilter"),
        (json!({"before": "yesterday"}), "invalidArguments"),
        (json!({"minSize": -1}), "invalidArguments"),
        (json!({"header": []}), "invalidArguments"),
        (json!({"text": 1}), "invalidArguments"),
    ] {
        assert_eq!(
            world.error("Email/query", json!({"filter": filter})).await,
            kind,
            "{filter}"
        );
    }
}

#[tokio::test]
async fn results_come_in_the_order_asked_for_and_in_parts() {
    let (world, ids) = world().await;
    for (sort, order) in [
        (json!(null), [2, 1, 0]),
        (json!([{"property": "receivedAt"}]), [0, 1, 2]),
        (json!([{"property": "sentAt"}]), [1, 0, 2]),
        (json!([{"property": "subject"}]), [1, 0, 2]),
        (json!([{"property": "from"}]), [0, 2, 1]),
        (
            json!([{"property": "from", "isAscending": false}]),
            [1, 2, 0],
        ),
        (json!([{"property": "size"}]), [0, 1, 2]),
        (
            json!([{"property": "hasKeyword", "keyword": "work", "isAscending": false}, {"property": "receivedAt", "isAscending": false}]),
            [2, 1, 0],
        ),
        (
            json!([{"property": "someInThreadHaveKeyword", "keyword": "$seen", "isAscending": false}, {"property": "receivedAt", "isAscending": false}]),
            [0, 2, 1],
        ),
    ] {
        let answer = world.call("Email/query", json!({ "sort": sort })).await;
        let wanted: Vec<&str> = order.iter().map(|at| ids[*at].as_str()).collect();
        if sort[0]["property"] != "size" {
            assert_eq!(texts(&answer["ids"]), wanted, "{sort}");
        }
    }
    for sort in [
        json!([{"property": "x"}]),
        json!([{"property": "subject", "collation": "i;none"}]),
        json!([{"property": "size", "x": 1}]),
    ] {
        assert_eq!(
            world.error("Email/query", json!({ "sort": sort })).await,
            "unsupportedSort",
            "{sort}"
        );
    }
    assert_eq!(
        world
            .error("Email/query", json!({"sort": [{"property": "hasKeyword"}]}))
            .await,
        "invalidArguments"
    );
    let part = async |asked: Value| {
        let answer = world.call("Email/query", asked).await;
        (answer["position"].clone(), answer["ids"].clone())
    };
    assert_eq!(
        part(json!({"position": 1, "limit": 1})).await,
        (json!(1), json!([ids[1]]))
    );
    assert_eq!(
        part(json!({"position": -1})).await,
        (json!(2), json!([ids[0]]))
    );
    assert_eq!(
        part(json!({"anchor": ids[1], "anchorOffset": -1, "limit": 1})).await,
        (json!(0), json!([ids[2]]))
    );
    assert_eq!(part(json!({"position": 9})).await, (json!(3), json!([])));
    assert_eq!(
        world.error("Email/query", json!({"anchor": "E99"})).await,
        "anchorNotFound"
    );
}

/// More emails than searches without an index look through.
#[tokio::test]
async fn the_index_changes_no_answer() {
    let world = World::new().await;
    let mut wanted = Vec::new();
    for n in 0..80 {
        let word = if n % 9 == 0 { "needle" } else { "straw" };
        let id = world
            .append(&[], &format!("Subject: {n}\n\nthe {word} lies here\n"))
            .await;
        wanted.extend((n % 9 == 0).then_some(id));
    }
    let asked = json!({"filter": {"body": "NEEDLE"}, "sort": [{"property": "receivedAt"}]});
    let before = world.call("Email/query", asked.clone()).await;
    assert_eq!(texts(&before["ids"]), wanted);
    let bob = world.bob().await;
    world
        .jmap
        .shared
        .ports
        .search
        .build(&bob)
        .await
        .expect("built");
    world.append(&[], "Subject: new\n\nanother needle\n").await;
    let after = world.call("Email/query", asked).await;
    assert_eq!(texts(&after["ids"])[..wanted.len()], wanted);
    assert_eq!(texts(&after["ids"]).len(), wanted.len() + 1);
}

#[tokio::test]
async fn snippets_show_where_the_words_stand() {
    let (world, ids) = world().await;
    let filter =
        json!({"operator": "OR", "conditions": [{"text": "noodle"}, {"subject": "apple"}]});
    let got = world
        .call(
            "SearchSnippet/get",
            json!({"filter": filter, "emailIds": [ids[0], ids[1], "E99"]}),
        )
        .await;
    assert_eq!(got["notFound"], json!(["E99"]));
    assert_eq!(
        got["list"],
        json!([
            {"emailId": ids[0], "subject": null, "preview": "shall we eat <mark>noodle</mark>s"},
            {"emailId": ids[1], "subject": "<mark>Apple</mark> pie", "preview": "&lt;b&gt;not html&lt;/b&gt; <mark>noodle</mark>"},
        ])
    );
}
