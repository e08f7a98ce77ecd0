//! Commands that answer and notify (RFC 5230, RFC 5435), and those on parts of a message (RFC 5703).

use super::Compiler;
use super::args::{self, Args};
use crate::extension::Extension as E;
use crate::limits::PART_LOOPS_MAX;
use crate::script::{Command, Notify, Target, Vacation};
use crate::syntax::Node;
use crate::text::Text;
use std::sync::Arc;

/// The seconds of a day.
const DAY: u64 = 86_400;

impl Compiler<'_> {
    pub(super) fn other_action(&mut self, node: &Node, args: &mut Args<'_>) -> Option<Command> {
        match node.name.as_str() {
            "vacation" => self.vacation(args),
            "notify" => self.notify(args),
            "break" => {
                let name = self.loop_name(args)?;
                let here = match &name {
                    Some(name) => self.loops.iter().any(|of| of.as_ref() == Some(name)),
                    None => !self.loops.is_empty(),
                };
                args.rest::<0>(self)?;
                if !here {
                    self.complain(node.at, "\"break\" stands in no such \"foreverypart\"");
                    return None;
                }
                Some(Command::Break(name))
            }
            "extracttext" => {
                // RFC 5703 §7: "an error ... used outside the context of a foreverypart loop".
                if self.loops.is_empty() {
                    self.complain(node.at, "\"extracttext\" stands in a \"foreverypart\"");
                    return None;
                }
                if !self.has(E::Variables) {
                    self.complain(node.at, "\"extracttext\" needs: require \"variables\";");
                    return None;
                }
                let modifiers = self.modifiers(args)?;
                let first = match args.value(self, "first")? {
                    Some((_, arg)) => Some(args::number(self, &arg)?),
                    None => None,
                };
                let [name] = args.rest(self)?;
                let name = self.variable(&name)?;
                Some(Command::ExtractText {
                    first,
                    name,
                    modifiers,
                })
            }
            _ => None,
        }
    }

    pub(super) fn text_tag(&mut self, args: &mut Args<'_>, name: &str) -> Option<Option<Text>> {
        match args.value(self, name)? {
            Some((_, arg)) => self.text(&arg).map(Some),
            None => Some(None),
        }
    }

    /// `:fcc` and what is said of its mailbox (RFC 8580 §3.1).
    fn fcc(&mut self, args: &mut Args<'_>) -> Option<Option<Target>> {
        if !self.has(E::Fcc) {
            return Some(None);
        }
        let Some(mailbox) = self.text_tag(args, "fcc")? else {
            return Some(None);
        };
        let mut target = self.mailbox_tags(args)?;
        target.mailbox = mailbox;
        target.copy = true;
        Some(Some(target))
    }

    fn vacation(&mut self, args: &mut Args<'_>) -> Option<Command> {
        let days = args.value(self, "days")?;
        let seconds = match self.has(E::VacationSeconds) {
            true => args.value(self, "seconds")?,
            false => None,
        };
        let seconds = match (days, seconds) {
            (Some((at, _)), Some(_)) => {
                self.complain(at, "\":days\" and \":seconds\" exclude each other");
                return None;
            }
            // RFC 5230 §4.1: at least a day.
            (Some((_, arg)), None) => Some(args::number(self, &arg)?.max(1).saturating_mul(DAY)),
            (None, Some((_, arg))) => Some(args::number(self, &arg)?),
            (None, None) => None,
        };
        let subject = self.text_tag(args, "subject")?;
        let from = match args.value(self, "from")? {
            Some((_, arg)) => {
                let from = self.text(&arg)?;
                if from
                    .constant()
                    .is_some_and(|text| crate::message::mailbox_address(text).is_none())
                {
                    self.complain(arg.at, "this is no mail address");
                    return None;
                }
                Some(from)
            }
            None => None,
        };
        let addresses = match args.value(self, "addresses")? {
            Some((_, arg)) => self.texts(&arg)?,
            None => Vec::new(),
        };
        let mime = args.flag(self, "mime")?.is_some();
        let handle = self.text_tag(args, "handle")?;
        let fcc = self.fcc(args)?;
        let [reason] = args.rest(self)?;
        let reason = self.text(&reason)?;
        let vacation = Vacation {
            seconds,
            subject,
            from,
            addresses,
            mime,
            handle,
            reason,
            fcc,
        };
        Some(Command::Vacation(Box::new(vacation)))
    }

    fn notify(&mut self, args: &mut Args<'_>) -> Option<Command> {
        let from = self.text_tag(args, "from")?;
        let importance = match args.value(self, "importance")? {
            Some((_, arg)) => {
                let importance = self.text(&arg)?;
                if importance
                    .constant()
                    .is_some_and(|text| !matches!(text, "1" | "2" | "3"))
                {
                    self.complain(arg.at, "\":importance\" is \"1\", \"2\" or \"3\"");
                    return None;
                }
                Some(importance)
            }
            None => None,
        };
        let options = match args.value(self, "options")? {
            Some((_, arg)) => self.texts(&arg)?,
            None => Vec::new(),
        };
        let message = self.text_tag(args, "message")?;
        let fcc = self.fcc(args)?;
        let [arg] = args.rest(self)?;
        let method = self.text(&arg)?;
        // RFC 5435 §3.1: a URI.
        if method.constant().is_some_and(|text| !is_uri(text)) {
            self.complain(arg.at, "this is no URI");
            return None;
        }
        let notify = Notify {
            from,
            importance,
            options,
            message,
            method,
            fcc,
        };
        Some(Command::Notify(Box::new(notify)))
    }

    fn loop_name(&mut self, args: &mut Args<'_>) -> Option<Option<Arc<str>>> {
        match args.value(self, "name")? {
            Some((_, arg)) => args::plain_text(self, &arg).map(|name| Some(name.into())),
            None => Some(None),
        }
    }

    pub(super) fn for_every_part(&mut self, node: &Node) -> Option<Command> {
        let mut args = self.args(node, "command");
        let name = self.loop_name(&mut args)?;
        args.rest::<0>(self)?;
        if let Some(at) = node.tests_at {
            self.complain(at, "\"foreverypart\" has no tests");
            return None;
        }
        let Some(block) = &node.block else {
            self.complain(node.at, "\"foreverypart\" has a block");
            return None;
        };
        if self.loops.len() >= PART_LOOPS_MAX {
            self.complain(
                node.at,
                format!("more than {PART_LOOPS_MAX} loops in each other"),
            );
            return None;
        }
        self.loops.push(name.clone());
        let block = self.block(block);
        self.loops.pop();
        Some(Command::ForEveryPart { name, block })
    }
}

/// Has a text a scheme (RFC 3986 §3.1) and something behind it?
pub(crate) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic())
        && scheme.bytes().all(scheme_byte)
        && !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_graphic())
}
