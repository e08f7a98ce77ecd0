//! Requests as RFC 8620 shows them, and as nobody should send them.

use crate::arguments::{Get, Query, Set};
use crate::limits::{CALLS_MAX, FILTER_DEPTH_MAX, FILTER_PARTS_MAX, REFERENCED_VALUES_MAX};
use crate::{Arguments, Filter, Invocation, MethodError, Patch, Request, RequestError, resolve};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const CORE: &str = "urn:ietf:params:jmap:core";

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

fn arguments(value: Value) -> Arguments {
    Arguments::new(object(value))
}

#[test]
fn a_request_is_read_and_what_is_none_is_told_so() {
    let parse = |value: Value| Request::parse(value.to_string().as_bytes(), &[CORE]);
    let good = json!({
        "using": [CORE],
        "methodCalls": [["Core/echo", {"a": 1}, "c1"]],
        "createdIds": {"k1": "E7"},
    });
    let request = parse(good).expect("a request");
    assert_eq!(request.calls[0].name, "Core/echo");
    assert_eq!(request.created_ids.expect("there")["k1"], "E7");
    let kind = |error: RequestError| {
        let (status, problem) = error.problem();
        assert_eq!((status, &problem["status"]), (400, &json!(400)));
        let kind = problem["type"].as_str().expect("a type").to_owned();
        kind.rsplit(':').next().expect("a name").to_owned()
    };
    for (bad, why) in [
        (json!([]), "notRequest"),
        (json!({"using": [CORE]}), "notRequest"),
        (json!({"methodCalls": []}), "notRequest"),
        (json!({"using": CORE, "methodCalls": []}), "notRequest"),
        (
            json!({"using": [CORE], "methodCalls": [["a", {}]]}),
            "notRequest",
        ),
        (
            json!({"using": [CORE], "methodCalls": [["a", [], "b"]]}),
            "notRequest",
        ),
        (
            json!({"using": [CORE], "methodCalls": [["a", {}, 1]]}),
            "notRequest",
        ),
        (
            json!({"using": [CORE], "methodCalls": [], "createdIds": {"a b": "c"}}),
            "notRequest",
        ),
        (
            json!({"using": ["x"], "methodCalls": []}),
            "unknownCapability",
        ),
        (
            json!({"using": [CORE], "methodCalls": vec![json!(["a", {}, "b"]); CALLS_MAX + 1]}),
            "limit",
        ),
    ] {
        assert_eq!(kind(parse(bad.clone()).expect_err("bad")), why, "{bad}");
    }
    let twice = br#"{"using":[],"using":[],"methodCalls":[]}"#;
    assert_eq!(
        kind(Request::parse(twice, &[]).expect_err("bad")),
        "notJSON"
    );
}

/// RFC 8620 §3.7, the example with Thread/get.
#[test]
fn references_bring_in_results() {
    let answers = [
        Invocation {
            name: "Foo/changes".into(),
            arguments: object(json!({"created": ["f1", "f4"]})),
            call_id: "t0".into(),
        },
        Invocation {
            name: "Thread/get".into(),
            arguments: object(json!({"list": [
                {"id": "t1", "emailIds": ["a", "b"]},
                {"id": "t2", "emailIds": ["c"], "a/b~": [7]},
            ]})),
            call_id: "t1".into(),
        },
    ];
    let look = |of: &str, name: &str, path: &str| {
        let reference = json!({"#ids": {"resultOf": of, "name": name, "path": path}});
        let mut left = REFERENCED_VALUES_MAX;
        resolve(object(reference), &answers, &mut left).map(|found| found["ids"].clone())
    };
    assert_eq!(
        look("t0", "Foo/changes", "/created"),
        Ok(json!(["f1", "f4"]))
    );
    let all = look("t1", "Thread/get", "/list/*/emailIds");
    assert_eq!(all, Ok(json!(["a", "b", "c"])));
    assert_eq!(look("t1", "Thread/get", "/list/1/a~1b~0/0"), Ok(json!(7)));
    for (of, name, path) in [
        ("t9", "Foo/changes", "/created"),
        ("t0", "Foo/get", "/created"),
        ("t0", "Foo/changes", "/destroyed"),
        ("t0", "Foo/changes", "created"),
        ("t0", "Foo/changes", ""),
        ("t0", "Foo/changes", "/created/01"),
        ("t0", "Foo/changes", "/created/2"),
        ("t0", "Foo/changes", "/created/0/x"),
        ("t1", "Thread/get", "/list/*/nothing"),
    ] {
        let kind = look(of, name, path).expect_err("nowhere").kind();
        assert_eq!(kind, "invalidResultReference", "{of} {name} {path}");
    }
    let both =
        json!({"ids": [], "#ids": {"resultOf": "t0", "name": "Foo/changes", "path": "/created"}});
    let error = resolve(object(both), &answers, &mut 100).expect_err("both");
    assert_eq!(error.kind(), "invalidArguments");
}

/// THREATS 27: one small request must not make the server copy results without end.
#[test]
fn references_bring_in_only_so_much() {
    let answers = [Invocation {
        name: "a".into(),
        arguments: object(json!({"list": vec![json!({"ids": vec!["x"; 100]}); 100]})),
        call_id: "c".into(),
    }];
    let mut left = REFERENCED_VALUES_MAX;
    let mut taken = 0;
    loop {
        let reference = json!({"#x": {"resultOf": "c", "name": "a", "path": "/list/*/ids"}});
        match resolve(object(reference), &answers, &mut left) {
            Ok(_) => taken += 1,
            Err(error) => {
                assert_eq!(error.kind(), "invalidResultReference");
                break;
            }
        }
    }
    assert!(taken < 25, "{taken}");
}

#[test]
fn arguments_are_of_their_types_and_all_are_known() {
    let get = |value: Value| {
        let mut arguments = arguments(value);
        let get = Get::take(&mut arguments)?;
        arguments.finish()?;
        Ok::<_, MethodError>(get)
    };
    let found = get(json!({"accountId": "A1", "ids": ["a", "b", "a"]})).expect("good");
    assert_eq!(found.ids, Some(vec!["a".into(), "b".into()]));
    for bad in [
        json!({}),
        json!({"accountId": "a b"}),
        json!({"accountId": "A1", "ids": "a"}),
        json!({"accountId": "A1", "ids": [1]}),
        json!({"accountId": "A1", "other": 1}),
        json!({"accountId": "A1", "properties": {}}),
    ] {
        let error = get(bad.clone()).expect_err("bad");
        assert_eq!(error.kind(), "invalidArguments", "{bad}");
    }
    let many = json!({"accountId": "A1", "ids": vec!["a"; 100_000]});
    assert_eq!(get(many), Err(MethodError::RequestTooLarge));
    let many: Map<_, _> = (0..2000).map(|n| (format!("k{n}"), json!({}))).collect();
    let set = Set::take(&mut arguments(json!({"accountId": "A1", "create": many})));
    assert_eq!(set, Err(MethodError::RequestTooLarge));
    let set = Set::take(&mut arguments(
        json!({"accountId": "A1", "create": {"a b": {}}}),
    ));
    assert_eq!(set.expect_err("bad").kind(), "invalidArguments");
}

#[test]
fn a_part_of_results_is_found_by_place_or_anchor() {
    let results: Vec<u32> = (0..10).collect();
    let part = |value: Value| {
        let query = Query::take(&mut arguments(value)).expect("good");
        query.part(&results, 100, |one, anchor| one.to_string() == anchor)
    };
    let of = |more: Value| {
        let mut value = json!({"accountId": "A1"});
        value.as_object_mut().expect("one").extend(object(more));
        part(value)
    };
    assert_eq!(of(json!({})), Ok(0..10));
    assert_eq!(of(json!({"position": 8, "limit": 5})), Ok(8..10));
    assert_eq!(of(json!({"position": -3})), Ok(7..10));
    assert_eq!(of(json!({"position": -30, "limit": 2})), Ok(0..2));
    assert_eq!(of(json!({"position": 30})), Ok(10..10));
    assert_eq!(
        of(json!({"anchor": "4", "anchorOffset": -2, "limit": 3})),
        Ok(2..5)
    );
    assert_eq!(
        of(json!({"anchor": "0", "anchorOffset": -2, "limit": 3})),
        Ok(0..3)
    );
    assert_eq!(of(json!({"anchor": "x"})), Err(MethodError::AnchorNotFound));
    assert_eq!(of(json!({"limit": 0})), Ok(0..0));
}

#[test]
fn filters_are_bounded() {
    let nested = |depth: usize| {
        let wrap = |inner: Value| json!({"operator": "NOT", "conditions": [inner]});
        (1..depth).fold(json!({"a": 1}), |inner, _| wrap(inner))
    };
    assert!(Filter::parse(nested(FILTER_DEPTH_MAX)).is_ok());
    let kind = |value| Filter::parse(value).expect_err("bad").kind();
    assert_eq!(kind(nested(FILTER_DEPTH_MAX + 1)), "unsupportedFilter");
    let wide = json!({"operator": "OR", "conditions": vec![json!({}); FILTER_PARTS_MAX]});
    assert_eq!(kind(wide), "unsupportedFilter");
    assert_eq!(kind(json!([])), "invalidArguments");
    assert_eq!(
        kind(json!({"operator": "XOR", "conditions": []})),
        "invalidArguments"
    );
    assert_eq!(kind(json!({"operator": "OR"})), "invalidArguments");
    assert_eq!(Filter::parse(Value::Null), Ok(None));
}

#[test]
fn a_patch_changes_what_it_names() {
    let patch = |value: Value| Patch::parse(object(value));
    let mut email =
        object(json!({"keywords": {"$seen": true}, "mailboxIds": {"M1": true}, "list": [1]}));
    let good = json!({"keywords/$seen": null, "keywords/a~1b": true, "mailboxIds": {"M2": true}, "x": null});
    patch(good)
        .expect("good")
        .apply(&mut email)
        .expect("applied");
    let wanted =
        json!({"keywords": {"a/b": true}, "mailboxIds": {"M2": true}, "list": [1], "x": null});
    assert_eq!(Value::Object(email.clone()), wanted);
    assert!(patch(json!({"a": 1, "a/b": 2})).is_err());
    assert!(patch(json!({"a": 1, "ab": 2})).is_ok());
    for bad in [
        json!({"nothing/x": 1}),
        json!({"list/0": 1}),
        json!({"x/y/z": 1}),
    ] {
        let bad = patch(bad).expect("a patch");
        assert_eq!(
            bad.apply(&mut email).expect_err("bad").kind(),
            "invalidPatch"
        );
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z/*~01#]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z#/]{0,5}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn garbage_never_panics(value in any_json(), other in any_json()) {
        let _ = Request::parse(value.to_string().as_bytes(), &["a"]);
        let _ = Filter::parse(value.clone());
        if let (Value::Object(patch), Value::Object(mut object)) = (value.clone(), other.clone()) {
            if let Ok(patch) = Patch::parse(patch.clone()) {
                let _ = patch.apply(&mut object);
            }
            let answers = [Invocation { name: "a".into(), arguments: object, call_id: "b".into() }];
            let reference = serde_json::json!({"resultOf": "b", "name": "a", "path": format!("/{}", patch.keys().next().map_or("", String::as_str))});
            let mut arguments = patch;
            arguments.insert("#q".into(), reference);
            let _ = resolve(arguments, &answers, &mut 10);
        }
    }
}
