//! JMAP requests: references, filters, patches and arguments of whatever is said.
#![no_main]

use jmap_proto::limits::REFERENCED_VALUES_MAX;
use jmap_proto::{Arguments, Comparator, Filter, HeaderProperty, Patch, Request, arguments, date, resolve};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        if let Some((seconds, zone)) = date::parse(text) {
            assert_eq!(date::parse(&date::write(seconds, zone)), Some((seconds, zone)));
        }
        let _ = HeaderProperty::parse(text);
    }
    let Ok(request) = Request::parse(input, &["a"]) else {
        return;
    };
    let mut left = REFERENCED_VALUES_MAX;
    let mut answers = Vec::new();
    for call in request.calls {
        let Ok(resolved) = resolve(call.arguments.clone(), &answers, &mut left) else {
            continue;
        };
        let mut taken = Arguments::new(resolved.clone());
        let _ = arguments::Query::take(&mut taken);
        let _ = arguments::Set::take(&mut Arguments::new(resolved.clone()));
        for value in resolved.values() {
            let _ = Filter::parse(value.clone());
            let _ = Comparator::parse_all(value.clone());
        }
        if let Ok(patch) = Patch::parse(resolved.clone()) {
            let mut object = resolved;
            if patch.apply(&mut object).is_ok() {
                let again = Value::Object(object.clone());
                assert!(again.is_object());
            }
        }
        answers.push(call);
    }
});
