//! Tests that are not on the message: constants, strings, flags, the environment, mailboxes, what is known here.

use super::Compiler;
use super::actions::is_special_use;
use super::args;
use crate::extension::{Extension, Extension as E};
use crate::script::{Duplicate, TestKind};
use crate::syntax::Node;
use crate::text::Text;

/// The extensions of which one is required for a test; none for what is no test of these.
pub(super) fn needs(name: &str) -> Option<&'static [E]> {
    Some(match name {
        "true" | "false" | "not" | "allof" | "anyof" => &[],
        "string" => &[E::Variables],
        "hasflag" => &[E::Imap4Flags],
        "environment" => &[E::Environment],
        "mailboxexists" => &[E::Mailbox],
        "metadata" | "metadataexists" => &[E::MboxMetadata],
        "servermetadata" | "servermetadataexists" => &[E::ServerMetadata],
        "specialuse_exists" => &[E::SpecialUse],
        "duplicate" => &[E::Duplicate],
        "ihave" => &[E::Ihave],
        "valid_notify_method" | "notify_method_capability" => &[E::Enotify],
        "spamtest" => &[E::SpamTest, E::SpamTestPlus],
        "virustest" => &[E::VirusTest],
        "valid_ext_list" => &[E::ExtLists],
        _ => return None,
    })
}

impl Compiler<'_> {
    pub(super) fn other_test(&mut self, node: &Node) -> Option<TestKind> {
        let mut args = self.args(node, "test");
        let args = &mut args;
        match node.name.as_str() {
            "true" | "false" => {
                args.rest::<0>(self)?;
                Some(TestKind::Known(node.name == "true"))
            }
            "string" => {
                let matcher = self.matcher(args)?;
                let [texts, keys] = args.rest(self)?;
                let texts = self.texts(&texts)?;
                let of = self.keys(matcher, &keys)?;
                Some(TestKind::Text { texts, of })
            }
            "hasflag" => {
                let matcher = self.matcher(args)?;
                let mut rest = args.between(self, (1, 2))?;
                let of = self.keys(matcher, &rest.pop()?)?;
                let variables = match rest.pop() {
                    Some(arg) if self.has(E::Variables) => self.texts(&arg)?,
                    Some(arg) => {
                        self.complain(arg.at, "a variable for flags needs: require \"variables\";");
                        return None;
                    }
                    None => Vec::new(),
                };
                Some(TestKind::HasFlag { variables, of })
            }
            "environment" => {
                let matcher = self.matcher(args)?;
                let [item, keys] = args.rest(self)?;
                let item = self.text(&item)?;
                let of = self.keys(matcher, &keys)?;
                Some(TestKind::Environment { item, of })
            }
            "mailboxexists" => {
                let [names] = args.rest(self)?;
                self.texts(&names).map(TestKind::MailboxExists)
            }
            "metadata" | "servermetadata" | "metadataexists" | "servermetadataexists" => {
                self.metadata(node)
            }
            "specialuse_exists" => {
                let mut rest = args.between(self, (1, 2))?;
                let arg = rest.pop()?;
                let uses = self.texts(&arg)?;
                let mut known = uses.iter().filter_map(Text::constant);
                if known.any(|text| !is_special_use(text)) {
                    self.complain(arg.at, "a special use begins with a backslash");
                    return None;
                }
                let mailbox = match rest.pop() {
                    Some(arg) => Some(self.text(&arg)?),
                    None => None,
                };
                Some(TestKind::SpecialUseExists { mailbox, uses })
            }
            "duplicate" => self.duplicate(node),
            "ihave" => self.ihave(node),
            "valid_notify_method" => {
                let [methods] = args.rest(self)?;
                self.texts(&methods).map(TestKind::ValidNotifyMethod)
            }
            "notify_method_capability" => {
                let matcher = self.matcher(args)?;
                let [method, capability, keys] = args.rest(self)?;
                let method = self.text(&method)?;
                let capability = self.text(&capability)?;
                let of = self.keys(matcher, &keys)?;
                Some(TestKind::NotifyMethodCapability {
                    method,
                    capability,
                    of,
                })
            }
            "spamtest" => {
                let percent = self.has(E::SpamTestPlus) && args.flag(self, "percent")?.is_some();
                let matcher = self.matcher(args)?;
                let [keys] = args.rest(self)?;
                let of = self.keys(matcher, &keys)?;
                Some(TestKind::SpamTest { percent, of })
            }
            "virustest" => {
                let matcher = self.matcher(args)?;
                let [keys] = args.rest(self)?;
                self.keys(matcher, &keys).map(TestKind::VirusTest)
            }
            _ => {
                let [lists] = args.rest(self)?;
                self.texts(&lists).map(TestKind::ValidExtList)
            }
        }
    }

    fn metadata(&mut self, node: &Node) -> Option<TestKind> {
        let mut args = self.args(node, "test");
        let of_server = node.name.starts_with("server");
        let mailbox_first = usize::from(!of_server);
        if node.name.ends_with("exists") {
            let mut rest = args.between(self, (mailbox_first + 1, mailbox_first + 1))?;
            let entries = self.texts(&rest.pop()?)?;
            let mailbox = match rest.pop() {
                Some(arg) => Some(self.text(&arg)?),
                None => None,
            };
            return Some(TestKind::MetadataExists { mailbox, entries });
        }
        let matcher = self.matcher(&mut args)?;
        let mut rest = args.between(self, (mailbox_first + 2, mailbox_first + 2))?;
        let of = self.keys(matcher, &rest.pop()?)?;
        let entry = self.text(&rest.pop()?)?;
        let mailbox = match rest.pop() {
            Some(arg) => Some(self.text(&arg)?),
            None => None,
        };
        Some(TestKind::Metadata { mailbox, entry, of })
    }

    fn duplicate(&mut self, node: &Node) -> Option<TestKind> {
        let mut args = self.args(node, "test");
        let handle = self.text_tag(&mut args, "handle")?;
        let header = self.text_tag(&mut args, "header")?;
        let unique = self.text_tag(&mut args, "uniqueid")?;
        let seconds = match args.value(self, "seconds")? {
            Some((_, arg)) => Some(args::number(self, &arg)?),
            None => None,
        };
        let last = args.flag(self, "last")?.is_some();
        args.rest::<0>(self)?;
        // RFC 7352 §3.1: "The ":header" and ":uniqueid" arguments are mutually exclusive".
        if header.is_some() && unique.is_some() {
            self.complain(node.at, "\":header\" and \":uniqueid\" exclude each other");
            return None;
        }
        Some(TestKind::Duplicate(Box::new(Duplicate {
            handle,
            header,
            unique,
            seconds,
            last,
        })))
    }

    /// RFC 5463 §4. What is offered is known now, so the answer is; names with variables are no extension's.
    fn ihave(&mut self, node: &Node) -> Option<TestKind> {
        let mut args = self.args(node, "test");
        let [names] = args.rest(self)?;
        let names = args::plain_texts(self, &names)?;
        let mut found = Vec::new();
        for (_, name) in &names {
            let extension = Extension::of_name(name).filter(|one| self.offer.extensions.has(*one));
            match extension {
                // RFC 5463 §4: what changes how strings are read is for "require" alone.
                Some(E::Variables | E::EncodedCharacter) => return Some(TestKind::Ihave(false)),
                Some(extension) => found.push(extension),
                None if self.offer.names.contains(&name.as_str()) => {}
                None => return Some(TestKind::Ihave(false)),
            }
        }
        for extension in found {
            self.require_one(extension);
        }
        Some(TestKind::Ihave(true))
    }
}
