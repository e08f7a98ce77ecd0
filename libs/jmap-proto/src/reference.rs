//! Arguments that are results of earlier calls. RFC 8620 §3.7

use crate::error::MethodError;
use crate::limits::PATH_STEPS_MAX;
use crate::request::Invocation;
use serde_json::{Map, Value};

/// Puts results in the place of the arguments that begin with `#`. `left` is how many values may
/// be brought in by references, and counts down.
///
/// # Errors
/// A reference that leads nowhere; an argument that is there in both forms.
pub fn resolve(
    arguments: Map<String, Value>,
    answers: &[Invocation],
    left: &mut usize,
) -> Result<Map<String, Value>, MethodError> {
    let mut resolved = Map::new();
    for (name, value) in arguments {
        let (name, value) = match name.strip_prefix('#') {
            Some(plain) => (plain.to_owned(), look_up(&value, answers, left)?),
            None => (name, value),
        };
        if resolved.insert(name, value).is_some() {
            // RFC 8620 §3.7: "it MUST return an invalidArguments error".
            return Err(MethodError::invalid(
                "an argument is given both as it is and as a reference",
            ));
        }
    }
    Ok(resolved)
}

fn broken(text: &str) -> MethodError {
    MethodError::InvalidResultReference(text.to_owned())
}

fn look_up(
    reference: &Value,
    answers: &[Invocation],
    left: &mut usize,
) -> Result<Value, MethodError> {
    let member = |name| reference.get(name).and_then(Value::as_str);
    let (Some(of), Some(name), Some(path)) = (member("resultOf"), member("name"), member("path"))
    else {
        return Err(broken("a reference has resultOf, name and path"));
    };
    let answer = answers
        .iter()
        .find(|answer| answer.call_id == of)
        .ok_or_else(|| broken("no call before has that id"))?;
    if answer.name != name {
        return Err(broken("that call was answered with something else"));
    }
    let steps = steps_of(path).ok_or_else(|| broken("the path is no JSON pointer"))?;
    let Some((first, rest)) = steps.split_first() else {
        return Err(broken("the path names no member"));
    };
    let root = answer
        .arguments
        .get(first)
        .ok_or_else(|| broken("the path leads nowhere"))?;
    follow(root, rest, left)
}

/// RFC 6901 §3; none for what is no pointer.
pub(crate) fn steps_of(path: &str) -> Option<Vec<String>> {
    if path.is_empty() {
        return Some(Vec::new());
    }
    let steps: Vec<String> = path
        .strip_prefix('/')?
        .split('/')
        .map(|step| step.replace("~1", "/").replace("~0", "~"))
        .collect();
    (steps.len() <= PATH_STEPS_MAX).then_some(steps)
}

fn follow(value: &Value, steps: &[String], left: &mut usize) -> Result<Value, MethodError> {
    let Some((step, rest)) = steps.split_first() else {
        *left = left
            .checked_sub(count(value))
            .ok_or_else(|| broken("that is too much to be brought in"))?;
        return Ok(value.clone());
    };
    match value {
        Value::Object(object) => {
            let member = object
                .get(step)
                .ok_or_else(|| broken("the path leads nowhere"))?;
            follow(member, rest, left)
        }
        // RFC 8620 §3.7: `*` maps over a list, and lists in it become one.
        Value::Array(list) if step == "*" => {
            let mut all = Vec::new();
            for item in list {
                match follow(item, rest, left)? {
                    Value::Array(items) => all.extend(items),
                    item => all.push(item),
                }
            }
            Ok(Value::Array(all))
        }
        Value::Array(list) => {
            let plain = step == "0" || !step.starts_with('0');
            let at = step.parse::<usize>().ok().filter(|_| plain);
            let item = at.and_then(|at| list.get(at));
            follow(
                item.ok_or_else(|| broken("the path leads nowhere"))?,
                rest,
                left,
            )
        }
        _ => Err(broken("the path leads nowhere")),
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(count).sum::<usize>(),
        Value::Object(object) => 1 + object.values().map(count).sum::<usize>(),
        Value::String(text) => 1 + text.len() / 64,
        _ => 1,
    }
}
