//! Commands of the base language and of the extensions that file, redirect and reject.

use super::Compiler;
use super::args::{self, Args};
use crate::extension::Extension as E;
use crate::limits::{HEADER_FIELD_BYTES_MAX, SCRIPT_NAME_BYTES_MAX};
use crate::message::{is_field_name, mailbox_address};
use crate::script::{Command, Location, Modifier, Target};
use crate::script::{DeleteHeader, FlagVerb, Include};
use crate::syntax::{Arg, Node};
use crate::text::{Name, Text};
use std::sync::Arc;

/// The extensions of which one is required for a command; none for what is no command.
pub(super) fn needs(name: &str) -> Option<&'static [E]> {
    Some(match name {
        "keep" | "discard" | "stop" | "redirect" => &[],
        "fileinto" => &[E::FileInto],
        "reject" => &[E::Reject],
        "ereject" => &[E::Ereject],
        "set" => &[E::Variables],
        "setflag" | "addflag" | "removeflag" => &[E::Imap4Flags],
        "addheader" | "deleteheader" => &[E::EditHeader],
        "include" | "return" | "global" => &[E::Include],
        "vacation" => &[E::Vacation],
        "notify" => &[E::Enotify],
        "foreverypart" | "break" => &[E::ForEveryPart],
        "extracttext" => &[E::ExtractText],
        "error" => &[E::Ihave],
        _ => return None,
    })
}

impl Compiler<'_> {
    pub(super) fn action(&mut self, node: &Node, args: &mut Args<'_>) -> Option<Command> {
        match node.name.as_str() {
            "keep" => {
                let flags = self.flags_tag(args)?;
                args.rest::<0>(self)?;
                Some(Command::Keep { flags })
            }
            "discard" | "stop" | "return" => {
                args.rest::<0>(self)?;
                Some(match node.name.as_str() {
                    "discard" => Command::Discard,
                    "stop" => Command::Stop,
                    _ => Command::Return,
                })
            }
            "fileinto" => {
                let mut target = self.target(args)?;
                let [mailbox] = args.rest(self)?;
                target.mailbox = self.text(&mailbox)?;
                Some(Command::FileInto(Box::new(target)))
            }
            "redirect" => {
                let copy = self.copy_tag(args)?;
                let list = self.has(E::ExtLists) && args.flag(self, "list")?.is_some();
                let [arg] = args.rest(self)?;
                let address = self.text(&arg)?;
                let known = address.constant();
                if !list && known.is_some_and(|text| mailbox_address(text).is_none()) {
                    self.complain(arg.at, "this is no mail address");
                    return None;
                }
                Some(Command::Redirect {
                    address,
                    copy,
                    list,
                })
            }
            "reject" | "ereject" => {
                let [reason] = args.rest(self)?;
                let reason = self.text(&reason)?;
                let extended = node.name == "ereject";
                Some(Command::Reject { reason, extended })
            }
            "set" => {
                let modifiers = self.modifiers(args)?;
                let [name, value] = args.rest(self)?;
                let name = self.variable(&name)?;
                let value = self.text(&value)?;
                Some(Command::Set {
                    name,
                    modifiers,
                    value,
                })
            }
            "setflag" | "addflag" | "removeflag" => self.flag_action(node, args),
            "addheader" => self.add_header(args),
            "deleteheader" => self.delete_header(args),
            "include" => self.include(args),
            "global" => self.global(args),
            "error" => {
                let [text] = args.rest(self)?;
                Some(Command::Error(self.text(&text)?))
            }
            _ => self.other_action(node, args),
        }
    }

    pub(super) fn flags_tag(&mut self, args: &mut Args<'_>) -> Option<Option<Vec<Text>>> {
        if !self.has(E::Imap4Flags) {
            return Some(None);
        }
        match args.value(self, "flags")? {
            Some((_, arg)) => self.texts(&arg).map(Some),
            None => Some(None),
        }
    }

    fn copy_tag(&mut self, args: &mut Args<'_>) -> Option<bool> {
        Some(self.has(E::Copy) && args.flag(self, "copy")?.is_some())
    }

    /// The tags of `fileinto`; the mailbox is not known yet.
    fn target(&mut self, args: &mut Args<'_>) -> Option<Target> {
        let copy = self.copy_tag(args)?;
        let mut target = self.mailbox_tags(args)?;
        target.copy = copy;
        Some(target)
    }

    /// What is said of a mailbox by `fileinto` and `:fcc` (RFC 5490 §3.2, RFC 8579 §5, RFC 5232 §5).
    pub(super) fn mailbox_tags(&mut self, args: &mut Args<'_>) -> Option<Target> {
        let flags = self.flags_tag(args)?;
        let create = self.has(E::Mailbox) && args.flag(self, "create")?.is_some();
        let special_use = match self.has(E::SpecialUse) {
            true => match args.value(self, "specialuse")? {
                Some((_, arg)) => Some(self.special_use(&arg)?),
                None => None,
            },
            false => None,
        };
        Some(Target {
            mailbox: Text::Plain("".into()),
            copy: false,
            create,
            special_use,
            flags,
        })
    }

    /// RFC 8579 §3: an attribute as LIST has it.
    pub(super) fn special_use(&mut self, arg: &Arg) -> Option<Text> {
        let text = self.text(arg)?;
        if text.constant().is_some_and(|text| !is_special_use(text)) {
            self.complain(arg.at, "a special use begins with a backslash");
            return None;
        }
        Some(text)
    }

    pub(super) fn modifiers(&mut self, args: &mut Args<'_>) -> Option<Vec<Modifier>> {
        let all = [
            ("lower", Modifier::Lower, true),
            ("upper", Modifier::Upper, true),
            ("lowerfirst", Modifier::LowerFirst, true),
            ("upperfirst", Modifier::UpperFirst, true),
            ("quotewildcard", Modifier::QuoteWildcard, true),
            ("quoteregex", Modifier::QuoteRegex, self.has(E::Regex)),
            ("encodeurl", Modifier::EncodeUrl, self.has(E::Enotify)),
            ("length", Modifier::Length, true),
        ];
        let mut found: Vec<Modifier> = Vec::new();
        for (name, modifier, known) in all {
            if !known {
                continue;
            }
            let Some(at) = args.flag(self, name)? else {
                continue;
            };
            // RFC 5229 §4.1: two modifiers of one precedence are an error.
            if found
                .iter()
                .any(|before| before.precedence() == modifier.precedence())
            {
                self.complain(at, format!("\":{name}\" excludes another modifier here"));
                return None;
            }
            found.push(modifier);
        }
        found.sort_by_key(|modifier| core::cmp::Reverse(modifier.precedence()));
        Some(found)
    }

    /// A name of a variable that is written to.
    pub(super) fn variable(&mut self, arg: &Arg) -> Option<Name> {
        let name = args::plain_text(self, arg)?;
        match Name::read(&name) {
            Ok(name) if name.global && !self.has(E::Include) => {
                self.complain(arg.at, "global variables need: require \"include\";");
                None
            }
            Ok(name) => Some(name),
            Err(what) => {
                self.complain(arg.at, what);
                None
            }
        }
    }

    fn flag_action(&mut self, node: &Node, args: &mut Args<'_>) -> Option<Command> {
        let verb = match node.name.as_str() {
            "setflag" => FlagVerb::Set,
            "addflag" => FlagVerb::Add,
            _ => FlagVerb::Remove,
        };
        let mut rest = args.between(self, (1, 2))?;
        let flags = rest.pop()?;
        // RFC 5232 §3: with "variables" a variable's name may stand first.
        let variable = match rest.pop() {
            Some(arg) if self.has(E::Variables) => Some(self.flag_variable(&arg)?),
            Some(arg) => {
                self.complain(arg.at, "a variable for flags needs: require \"variables\";");
                return None;
            }
            None => None,
        };
        let flags = self.texts(&flags)?;
        Some(Command::Flags {
            verb,
            variable,
            flags,
        })
    }

    pub(super) fn flag_variable(&mut self, arg: &Arg) -> Option<Text> {
        let text = self.text(arg)?;
        if let Some(Err(what)) = text.constant().map(Name::read) {
            self.complain(arg.at, what);
            return None;
        }
        Some(text)
    }

    fn add_header(&mut self, args: &mut Args<'_>) -> Option<Command> {
        let last = args.flag(self, "last")?.is_some();
        let [name, value] = args.rest(self)?;
        let name = self.field_name(&name)?;
        let arg = value;
        let value = self.text(&arg)?;
        let known = value.constant();
        if let Some(text) =
            known.filter(|text| text.contains('\0') || text.len() > HEADER_FIELD_BYTES_MAX)
        {
            let shown: String = text.chars().take(60).collect();
            self.complain(
                arg.at,
                format!("the value \"{}\" is invalid", shown.escape_debug()),
            );
            return None;
        }
        Some(Command::AddHeader { last, name, value })
    }

    fn field_name(&mut self, arg: &Arg) -> Option<Text> {
        let name = self.text(arg)?;
        if name.constant().is_some_and(|name| !is_field_name(name)) {
            let shown: String = name
                .constant()
                .unwrap_or_default()
                .chars()
                .take(60)
                .collect();
            self.complain(
                arg.at,
                format!("field name \"{}\" is invalid", shown.escape_debug()),
            );
            return None;
        }
        Some(name)
    }

    fn delete_header(&mut self, args: &mut Args<'_>) -> Option<Command> {
        let matcher = self.matcher(args)?;
        let (index, last) = self.index_tags(args)?;
        let mut rest = args.between(self, (1, 2))?;
        let values = match rest.len() {
            2 => Some(self.keys(matcher, &rest.pop()?)?),
            _ => None,
        };
        let name = self.field_name(&rest.pop()?)?;
        let delete = DeleteHeader {
            index,
            last,
            name,
            values,
        };
        Some(Command::DeleteHeader(Box::new(delete)))
    }

    /// `:index N [:last]` (RFC 5260 §6, RFC 5293 §5).
    pub(super) fn index_tags(&mut self, args: &mut Args<'_>) -> Option<(Option<u64>, bool)> {
        let index = match args.value(self, "index")? {
            Some((at, arg)) => {
                let index = args::number(self, &arg)?;
                if index == 0 {
                    self.complain(at, "\":index\" counts from 1");
                    return None;
                }
                Some(index)
            }
            None => None,
        };
        let last = args.flag(self, "last")?;
        if let (Some(at), None) = (last, index) {
            self.complain(at, "\":last\" stands with \":index\"");
            return None;
        }
        Some((index, last.is_some()))
    }

    fn include(&mut self, args: &mut Args<'_>) -> Option<Command> {
        let global = args.flag(self, "global")?;
        let personal = args.flag(self, "personal")?;
        if let (Some(at), Some(_)) = (global, personal) {
            self.complain(at, "\":global\" and \":personal\" exclude each other");
            return None;
        }
        let once = args.flag(self, "once")?.is_some();
        let optional = args.flag(self, "optional")?.is_some();
        let [arg] = args.rest(self)?;
        let name = self.text(&arg)?;
        // RFC 6609 §3.2: "The included script's name is a constant string".
        let Some(name) = name.constant() else {
            self.complain(arg.at, "the name of an included script has no variables");
            return None;
        };
        if !is_script_name(name) {
            self.complain(arg.at, "this is no name of a script");
            return None;
        }
        let include = Include {
            location: if global.is_some() {
                Location::Global
            } else {
                Location::Personal
            },
            once,
            optional,
            name: Arc::from(name),
        };
        Some(Command::Include(Box::new(include)))
    }

    fn global(&mut self, args: &mut Args<'_>) -> Option<Command> {
        // RFC 6609 §3.4.1: it is of no use without "variables".
        if !self.has(E::Variables) {
            self.complain(args.at(), "\"global\" needs: require \"variables\";");
            return None;
        }
        let [arg] = args.rest(self)?;
        let mut names = Vec::new();
        for (at, text) in args::plain_texts(self, &arg)? {
            match Name::read(&text) {
                Ok(name) if !name.global => names.push(name),
                Ok(_) => {
                    self.complain(at, "\"global\" has names without a namespace");
                    return None;
                }
                Err(what) => {
                    self.complain(at, what);
                    return None;
                }
            }
        }
        Some(Command::Global(names))
    }
}

/// May a script have this name (RFC 5804 §1.6)? No controls and line ends, and nothing that is a path.
#[must_use]
pub fn is_script_name(name: &str) -> bool {
    let odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '/' | '\\');
    !name.is_empty()
        && name.len() <= SCRIPT_NAME_BYTES_MAX
        && !name.contains(odd)
        && !name.starts_with('.')
}

pub(super) fn is_special_use(text: &str) -> bool {
    let name = text.strip_prefix('\\').unwrap_or_default();
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte))
}
