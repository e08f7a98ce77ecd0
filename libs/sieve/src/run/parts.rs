//! Loops over the parts of a message, and text out of them (RFC 5703 §3 and §7).

use super::known::Shape;
use super::{Flow, PartLoop, Run, RunError};
use crate::limits::{PART_LOOPS_MAX, PARTS_MAX};
use crate::script::{Block, Modifier};
use crate::text::Name;
use mime::PartKind;
use std::sync::Arc;

impl Run<'_, '_> {
    /// The parts in a part, at any depth, in their order.
    pub(super) fn parts_in(&mut self, of: u32) -> Result<Vec<u32>, RunError> {
        let held = self.state.held.clone();
        let parts = held.message().parts()?.parts();
        let mut out = Vec::new();
        for (number, part) in (0_u32..).zip(parts).skip(of as usize + 1).take(PARTS_MAX) {
            // Parts stand in the order of their first octets: those in a part follow it without a gap.
            if part.parent.is_none_or(|parent| parent < of) {
                break;
            }
            self.state.burn(0)?;
            out.push(number);
        }
        Ok(out)
    }

    pub(super) fn for_every_part(
        &mut self,
        name: Option<&Arc<str>>,
        block: &Block,
    ) -> Result<Flow, RunError> {
        // Included scripts may loop within a loop.
        if self.state.loops.len() >= PART_LOOPS_MAX {
            return Err(RunError::TooDeep);
        }
        let parts = match self.state.loops.last() {
            Some(outer) => self.parts_in(outer.part)?,
            // Outside of a loop the message is the first of its parts.
            None => core::iter::once(0).chain(self.parts_in(0)?).collect(),
        };
        for part in parts {
            self.state.burn(0)?;
            self.state.loops.push(PartLoop {
                name: name.cloned(),
                part,
            });
            let flow = self.block(block)?;
            let of = self.state.loops.pop();
            match flow {
                Flow::Next => {}
                // RFC 5703 §3.1: without a name it ends the innermost loop.
                Flow::Break(None) => return Ok(Flow::Next),
                Flow::Break(Some(wanted))
                    if of.is_some_and(|of| of.name.as_ref() == Some(&wanted)) =>
                {
                    return Ok(Flow::Next);
                }
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    /// RFC 5703 §7: of a part that is no text it is the empty string.
    pub(super) fn extract_text(
        &mut self,
        first: Option<u64>,
        name: &Name,
        modifiers: &[Modifier],
    ) -> Result<(), RunError> {
        let at = self.state.loops.last().map_or(0, |one| one.part);
        let part = self.state.message().parts()?.part(at);
        let is_text = part.is_some_and(|part| {
            part.kind == PartKind::Leaf && part.media_type.starts_with("text/")
        });
        // RFC 5703 §7: of markup the text is taken.
        let shape = match part.is_some_and(super::body::is_html) {
            true => Shape::Readable(at),
            false => Shape::Decoded(at),
        };
        let text = match is_text {
            true => self.state.text(shape)?,
            false => "".into(),
        };
        self.state.burn(text.len())?;
        let mut text = text.as_ref().to_owned();
        if let Some(first) = first {
            let first = usize::try_from(first).unwrap_or(usize::MAX);
            if let Some((cut, _)) = text.char_indices().nth(first) {
                text.truncate(cut);
            }
        }
        let value = self.state.modified(text, modifiers)?;
        self.state.set_variable(name, value)
    }
}
