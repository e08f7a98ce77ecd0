//! Scripts in scripts (RFC 6609).

use super::{Flow, Frame, Run, RunError};
use crate::extension::Extension;
use crate::limits::{INCLUDE_DEPTH_MAX, INCLUDES_MAX, REGEX_WEIGHT};
use crate::script::Include;
use std::sync::Arc;

impl Run<'_, '_> {
    pub(super) fn include(&mut self, include: &Include) -> Result<Flow, RunError> {
        let state = &mut self.state;
        let key = (include.location, Arc::clone(&include.name));
        // RFC 6609 §3.2: ":once": only if it was not included before.
        if include.once && state.included.contains(&key) {
            return Ok(Flow::Next);
        }
        let runs = state
            .frames
            .iter()
            .any(|frame| frame.location == key.0 && frame.name == key.1);
        if runs {
            return Err(RunError::Circular(include.name.to_string()));
        }
        if state.frames.len() > INCLUDE_DEPTH_MAX {
            return Err(RunError::TooDeep);
        }
        state.includes += 1;
        if state.includes > INCLUDES_MAX {
            return Err(RunError::TooManyIncludes);
        }
        state.burn(4_096)?;
        let Some(script) = self.world.script(include.location, &include.name)? else {
            if include.optional {
                return Ok(Flow::Next);
            }
            return Err(RunError::NoScript(include.name.to_string()));
        };
        // Whether it was compiled for this run or is at hand: what a run may take does not depend on it.
        self.state
            .burn(script.weight().saturating_mul(REGEX_WEIGHT))?;
        self.state.trace(|| format!("include \"{}\"", include.name));
        // A script is one that delivers or one that does not, whoever includes it (RFC 6785 §3.11).
        if self.state.envelope.is_none() {
            let delivery = Extension::OF_DELIVERY
                .into_iter()
                .find(|one| script.requires.has(*one));
            if let Some(extension) = delivery {
                return Err(RunError::NotAtDelivery(extension.name()));
            }
        }
        self.state.included.insert(key);
        let frame = Frame::new(Arc::clone(&include.name), include.location);
        self.state.frames.push(frame);
        // The part that a loop is at stays; a `break` there can only mean a loop of that script.
        let flow = self.block(&script.block)?;
        self.state.frames.pop();
        // RFC 6609 §3.3: "return" ends the included script only; "stop" all of them.
        Ok(if flow == Flow::Stop {
            Flow::Stop
        } else {
            Flow::Next
        })
    }
}
