//! I-JSON (RFC 7493), as RFC 8620 §1.5 asks for it: UTF-8, and no name twice in an object.
//!
//! How deep values may be nested is bounded by the parser (128).

use crate::limits::VALUES_MAX;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;
use thiserror::Error as ThisError;

/// Octets that are no I-JSON.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("{0}")]
pub struct NotJson(String);

/// Reads octets.
///
/// # Errors
/// They are no UTF-8, no JSON, name something twice, or hold more than [`VALUES_MAX`] values.
pub fn parse(octets: &[u8]) -> Result<Value, NotJson> {
    let wrong = |error: &dyn fmt::Display| NotJson(error.to_string());
    let text = std::str::from_utf8(octets).map_err(|error| wrong(&error))?;
    let left = Cell::new(VALUES_MAX);
    let mut input = serde_json::Deserializer::from_str(text);
    let value = Strict(&left).deserialize(&mut input);
    let value = value.map_err(|error| wrong(&error))?;
    input.end().map_err(|error| wrong(&error))?;
    Ok(value)
}

/// Builds a value, counting.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        let left = self.0.get().checked_sub(1);
        self.0
            .set(left.ok_or_else(|| D::Error::custom("too many values"))?);
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut input: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = input.next_element_seed(self)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut input: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = input.next_key::<String>()? {
            let value = input.next_value_seed(self)?;
            if object.contains_key(&name) {
                return Err(A::Error::custom("a name stands twice in an object"));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_is_no_i_json_is_refused() {
        assert_eq!(
            parse(br#"{"a":[1,-2,2.5,"x",null,true,{}]}"#),
            Ok(json!({"a": [1, -2, 2.5, "x", null, true, {}]}))
        );
        for bad in [
            &b""[..],
            b"{\"a\":1,\"a\":1}",
            b"[{\"b\":{\"c\":1,\"\\u0063\":2}}]",
            b"[1] x",
            b"\"\xff\"",
            b"\xef\xbb\xbf[]",
            b"[\"\\ud800\"]",
            b"[1e999]",
            b"{",
        ] {
            assert!(parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        let deep = "[".repeat(10_000);
        assert!(parse(deep.as_bytes()).is_err());
        let many = format!("[{}1]", "1,".repeat(VALUES_MAX));
        assert!(parse(many.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(octets: Vec<u8>, text in "[\\[\\]{}\":,0-9eE.\\\\ua-]{0,40}") {
            let _ = parse(&octets);
            let _ = parse(text.as_bytes());
        }
    }
}
