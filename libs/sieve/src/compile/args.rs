//! A command's arguments, taken one after another: first the tags that are known, then what stands in order.

use super::Compiler;
use crate::complaint::Position;
use crate::syntax::{Arg, ArgValue, Node};

pub(super) struct Args<'n> {
    node: &'n Node,
    kind: &'static str,
    left: Vec<&'n Arg>,
}

impl<'n> Args<'n> {
    pub(super) fn new(node: &'n Node, kind: &'static str) -> Self {
        let left = node.args.iter().collect();
        Self { node, kind, left }
    }

    pub(super) fn at(&self) -> Position {
        self.node.at
    }

    fn find(&mut self, compiler: &mut Compiler<'_>, name: &str) -> Option<Option<usize>> {
        let is = |arg: &&Arg| matches!(&arg.value, ArgValue::Tag(tag) if tag == name);
        let mut found = self
            .left
            .iter()
            .enumerate()
            .filter(|(_, arg)| is(arg))
            .map(|(at, _)| at);
        let (first, second) = (found.next(), found.next());
        if let Some(second) = second {
            let at = self.left[second].at;
            compiler.complain(at, format!("\":{name}\" stands here twice"));
            return None;
        }
        Some(first)
    }

    /// Takes a tag without a value; outer none is a complaint.
    pub(super) fn flag(
        &mut self,
        compiler: &mut Compiler<'_>,
        name: &str,
    ) -> Option<Option<Position>> {
        let found = self.find(compiler, name)?;
        Some(found.map(|at| self.left.remove(at).at))
    }

    /// Takes a tag with the value behind it.
    pub(super) fn value(
        &mut self,
        compiler: &mut Compiler<'_>,
        name: &str,
    ) -> Option<Option<(Position, Arg)>> {
        let Some(found) = self.find(compiler, name)? else {
            return Some(None);
        };
        let tag = self.left.remove(found).at;
        let value = self
            .left
            .get(found)
            .filter(|arg| !matches!(arg.value, ArgValue::Tag(_)));
        if value.is_none() {
            compiler.complain(tag, format!("\":{name}\" has a value behind it"));
            return None;
        }
        Some(Some((tag, self.left.remove(found).clone())))
    }

    /// What is left, which must be between so many arguments.
    pub(super) fn between(
        &mut self,
        compiler: &mut Compiler<'_>,
        (min, max): (usize, usize),
    ) -> Option<Vec<Arg>> {
        let name = &self.node.name;
        for arg in &self.left {
            if let ArgValue::Tag(tag) = &arg.value {
                let what = format!(
                    "unknown tagged argument ':{tag}' for the {name} {}",
                    self.kind
                );
                compiler.complain(arg.at, what);
                return None;
            }
        }
        let count = self.left.len();
        if count < min || count > max {
            let wants = if min == max {
                format!("{min}")
            } else {
                format!("{min} to {max}")
            };
            let kind = self.kind;
            let are = if count == 1 { "is" } else { "are" };
            let what = format!(
                "the {name} {kind} requires {wants} positional argument(s), but {count} {are} specified"
            );
            compiler.complain(self.node.at, what);
            return None;
        }
        Some(self.left.drain(..).cloned().collect())
    }

    /// Exactly so many arguments. Their types are looked at by who takes them.
    pub(super) fn rest<const N: usize>(&mut self, compiler: &mut Compiler<'_>) -> Option<[Arg; N]> {
        self.between(compiler, (N, N))?.try_into().ok()
    }
}

fn kind(arg: &Arg) -> &'static str {
    match arg.value {
        ArgValue::Tag(_) => "a tag",
        ArgValue::Number(_) => "a number",
        ArgValue::Text(_) => "a string",
        ArgValue::Texts(_) => "a string list",
    }
}

/// A single string.
pub(super) fn plain_text(compiler: &mut Compiler<'_>, arg: &Arg) -> Option<String> {
    match &arg.value {
        ArgValue::Text(text) => Some(text.clone()),
        _ => {
            compiler.complain(
                arg.at,
                format!("expected a string, but {} is here", kind(arg)),
            );
            None
        }
    }
}

/// A list of strings; a single string is a list of one (RFC 5228 §2.4.2.1).
pub(super) fn plain_texts(
    compiler: &mut Compiler<'_>,
    arg: &Arg,
) -> Option<Vec<(Position, String)>> {
    match &arg.value {
        ArgValue::Text(text) => Some(vec![(arg.at, text.clone())]),
        ArgValue::Texts(texts) => Some(texts.clone()),
        _ => {
            compiler.complain(
                arg.at,
                format!("expected a string list, but {} is here", kind(arg)),
            );
            None
        }
    }
}

pub(super) fn number(compiler: &mut Compiler<'_>, arg: &Arg) -> Option<u64> {
    match &arg.value {
        ArgValue::Number(number) => Some(*number),
        _ => {
            compiler.complain(
                arg.at,
                format!("expected a number, but {} is here", kind(arg)),
            );
            None
        }
    }
}
