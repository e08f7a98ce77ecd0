//! Changes of an object. RFC 8620 §5.3 PatchObject

use crate::error::SetError;
use crate::limits::PATH_STEPS_MAX;
use crate::reference::steps_of;
use serde_json::{Map, Value};

/// Paths with what is to stand there; null takes away.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch(Vec<(Vec<String>, Value)>);

impl Patch {
    /// Reads a patch.
    ///
    /// # Errors
    /// A path is none; one leads through what another sets.
    pub fn parse(object: Map<String, Value>) -> Result<Self, SetError> {
        let mut all = Vec::with_capacity(object.len());
        for (path, value) in object {
            let steps = steps_of(&format!("/{path}")).ok_or_else(|| {
                SetError::invalid_patch(format!("a path has {PATH_STEPS_MAX} steps at most"))
            })?;
            all.push((steps, value));
        }
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        // What begins alike stands side by side.
        let through = |pair: &[(Vec<String>, Value)]| pair[1].0.starts_with(&pair[0].0);
        if all.windows(2).any(through) {
            return Err(SetError::invalid_patch("a path leads through another"));
        }
        Ok(Self(all))
    }

    /// The members at the top that it changes.
    pub fn properties(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter_map(|(steps, _)| steps.first().map(String::as_str))
    }

    /// What is set whole: a member at the top and its new value.
    pub fn whole(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().filter_map(|(steps, value)| match &steps[..] {
            [name] => Some((name.as_str(), value)),
            _ => None,
        })
    }

    /// Changes an object.
    ///
    /// # Errors
    /// A path leads through what is not there, or through a list.
    pub fn apply(&self, object: &mut Map<String, Value>) -> Result<(), SetError> {
        for (steps, value) in &self.0 {
            let Some((last, above)) = steps.split_last() else {
                continue;
            };
            let mut place = &mut *object;
            for step in above {
                place = match place.get_mut(step) {
                    Some(Value::Object(inner)) => inner,
                    // RFC 8620 §5.3: "the pointer MUST NOT reference inside an array", and all
                    // before the last must be there.
                    _ => {
                        let path = steps.join("/");
                        let text = format!("the path {path} leads through what is not there");
                        return Err(SetError::invalid_patch(text));
                    }
                };
            }
            match value {
                Value::Null if !above.is_empty() => {
                    place.remove(last);
                }
                value => {
                    place.insert(last.clone(), value.clone());
                }
            }
        }
        Ok(())
    }
}
