//! Tests.

use super::{Run, RunError, shown};
use crate::limits::READ_WEIGHT;
use crate::outcome::Action;
use crate::script::{Duplicate, Match, Test, TestKind};
use crate::text::{Name, Text};
use crate::world::DuplicateKey;
use std::borrow::Cow;
use std::collections::HashSet;

/// Octets of what tells a message from others; longer is cut.
const DUPLICATE_ID_BYTES_MAX: usize = 1_024;

impl Run<'_, '_> {
    pub(super) fn test(&mut self, test: &Test) -> Result<bool, RunError> {
        self.deeper()?;
        self.state.at = test.at;
        self.state.burn(0)?;
        let result = self.decide(&test.what)?;
        self.state.depth -= 1;
        if !matches!(
            test.what,
            TestKind::Not(_) | TestKind::AllOf(_) | TestKind::AnyOf(_)
        ) {
            self.state.at = test.at;
            self.state
                .trace(|| format!("{} is {result}", test.what.name()));
        }
        Ok(result)
    }

    fn decide(&mut self, what: &TestKind) -> Result<bool, RunError> {
        match what {
            TestKind::Known(value) | TestKind::Ihave(value) => Ok(*value),
            TestKind::Not(test) => Ok(!self.test(test)?),
            // RFC 5228 §5.2 and §5.3: from left to right, and no further than it needs.
            TestKind::AllOf(tests) => {
                for test in tests {
                    if !self.test(test)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            TestKind::AnyOf(tests) => {
                for test in tests {
                    if self.test(test)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            TestKind::Header(test) => self.header_test(test),
            TestKind::Address(test, part) => self.address_test(test, *part),
            TestKind::Envelope { parts, part, of } => {
                let mut values: Vec<Cow<'_, str>> = Vec::new();
                for name in self.state.expand_all(parts)? {
                    values.extend(
                        self.envelope_values(&name, *part)?
                            .into_iter()
                            .map(Cow::Owned),
                    );
                }
                self.keys(of, &values, true)
            }
            TestKind::Exists { names, mime } => {
                let names = self.state.expand_all(names)?;
                self.exists_test(&names, mime.as_ref())
            }
            TestKind::Size { over, limit } => {
                let size = self.state.size()?;
                // RFC 5228 §5.9: exactly as much is neither.
                Ok(if *over { size > *limit } else { size < *limit })
            }
            TestKind::Text { texts, of } => {
                let values = self.state.expand_all(texts)?;
                // RFC 5229 §5: `:count` counts the strings that are not empty.
                let count = matches!(of.matcher.kind, crate::compare::MatchType::Count(_));
                let values = values
                    .into_iter()
                    .filter(|value| !count || !value.is_empty());
                let values: Vec<Cow<'_, str>> = values.map(Cow::Owned).collect();
                self.keys(of, &values, true)
            }
            TestKind::HasFlag { variables, of } => self.has_flag(variables, of),
            TestKind::Date(test) => self.date_test(test),
            TestKind::Body(test) => self.body_test(test),
            TestKind::Duplicate(duplicate) => self.duplicate(duplicate),
            TestKind::Host(host) => {
                let call = self.host_call(host)?;
                self.world.test(&call, &mut self.state)
            }
            _ => self.ask(what),
        }
    }

    /// Tests that the caller answers.
    fn ask(&mut self, what: &TestKind) -> Result<bool, RunError> {
        match what {
            TestKind::Environment { item, of } => {
                let item = self.state.expand(item)?.to_ascii_lowercase();
                // RFC 5183 §4: an unknown item makes the test fail.
                match self.world.environment(&item) {
                    Some(value) => self.keys(of, &[value], true),
                    // RFC 6785 §4.2 to §4.5: at delivery these are empty, not unknown.
                    None if item.starts_with("imap.") => self.keys(of, &[""], true),
                    None => Ok(false),
                }
            }
            TestKind::MailboxExists(names) => {
                for name in self.state.expand_all(names)? {
                    self.state.burn(1_024)?;
                    if !self.world.mailbox_exists(&name)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            TestKind::Metadata { mailbox, entry, of } => {
                let mailbox = self.state.expand_some(mailbox.as_ref())?;
                let entry = self.state.expand(entry)?.to_ascii_lowercase();
                match self.metadata(mailbox.as_deref(), &entry)? {
                    Some(value) => self.keys(of, &[value], true),
                    None => Ok(false),
                }
            }
            TestKind::MetadataExists { mailbox, entries } => {
                let mailbox = self.state.expand_some(mailbox.as_ref())?;
                for entry in self.state.expand_all(entries)? {
                    let entry = entry.to_ascii_lowercase();
                    if self.metadata(mailbox.as_deref(), &entry)?.is_none() {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            TestKind::SpecialUseExists { mailbox, uses } => {
                let mailbox = self.state.expand_some(mailbox.as_ref())?;
                for special_use in self.state.expand_all(uses)? {
                    self.state.burn(1_024)?;
                    if !self
                        .world
                        .special_use_exists(mailbox.as_deref(), &special_use)?
                    {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            TestKind::ValidNotifyMethod(methods) => {
                let methods = self.state.expand_all(methods)?;
                Ok(methods.iter().all(|method| {
                    crate::compile::is_uri(method) && self.world.is_notify_method(method)
                }))
            }
            TestKind::NotifyMethodCapability {
                method,
                capability,
                of,
            } => {
                let method = self.state.expand(method)?.into_owned();
                let capability = self.state.expand(capability)?;
                // RFC 5435 §5: whether somebody is "online" is never known of mail (RFC 5436 §2.5).
                let known = self.world.is_notify_method(&method)
                    && capability.eq_ignore_ascii_case("online");
                if known {
                    self.keys(of, &["maybe"], true)
                } else {
                    Ok(false)
                }
            }
            TestKind::SpamTest { percent, of } => {
                let found = self.world.spam_percent();
                // RFC 5235 §2.1: 0 not tested, 1 clear, 10 spam; §2.2: per cent.
                let value = match (found, percent) {
                    (Some(found), true) => found.min(100).to_string(),
                    (Some(found), false) => (1 + u16::from(found.min(100)) * 9 / 100).to_string(),
                    (None, _) => "0".into(),
                };
                self.keys(of, &[value], true)
            }
            TestKind::VirusTest(of) => {
                let value = self.world.virus_level().unwrap_or(0).to_string();
                self.keys(of, &[value], true)
            }
            TestKind::ValidExtList(lists) => {
                let lists = self.state.expand_all(lists)?;
                Ok(lists.iter().all(|list| self.world.is_list(list)))
            }
            _ => Ok(false),
        }
    }

    fn metadata(&mut self, mailbox: Option<&str>, entry: &str) -> Result<Option<String>, RunError> {
        self.state.burn(1_024)?;
        let value = self.world.metadata(mailbox, entry)?;
        self.state.burn(value.as_ref().map_or(0, String::len))?;
        Ok(value)
    }

    /// RFC 5232 §4: flags are compared one by one; a key is a list of them.
    fn has_flag(&mut self, variables: &[Text], of: &Match) -> Result<bool, RunError> {
        let mut flags: Vec<String> = Vec::new();
        // RFC 5232 §4: each flag counts once.
        let mut seen = HashSet::new();
        let mut add = |words: &str| {
            // A variable may hold words that are no flags of ours; they are compared all the same.
            for word in words.split_ascii_whitespace() {
                if seen.insert(word.to_ascii_lowercase()) {
                    flags.push(word.to_owned());
                }
            }
        };
        if variables.is_empty() {
            let octets = crate::flags::work(&self.state.flags);
            self.state.burn(octets.saturating_mul(READ_WEIGHT))?;
            self.state.flags.iter().for_each(|flag| add(flag));
        }
        for variable in self.state.expand_all(variables)? {
            let name = Name::read(&variable).map_err(RunError::Said)?;
            let words = self.state.variable(&name).to_owned();
            self.state.burn(words.len().saturating_mul(READ_WEIGHT))?;
            add(&words);
        }
        let values: Vec<Cow<'_, str>> = flags.into_iter().map(Cow::Owned).collect();
        if matches!(of.matcher.kind, crate::compare::MatchType::Count(_)) {
            return self.keys(of, &values, true);
        }
        for key in self.state.expand_all(&of.keys)? {
            for word in key.split_ascii_whitespace() {
                if self.state.one_key(of.matcher, &values, word, None, true)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn duplicate(&mut self, duplicate: &Duplicate) -> Result<bool, RunError> {
        let handle = self
            .state
            .expand_some(duplicate.handle.as_ref())?
            .unwrap_or_default();
        let mut id = match (&duplicate.unique, &duplicate.header) {
            (Some(unique), _) => self.state.expand(unique)?.into_owned(),
            (None, header) => {
                let name = self.state.expand_some(header.as_ref())?;
                let name = name.as_deref().unwrap_or("message-id");
                // RFC 7352 §3.1: without the field there is nothing to tell it by, and no duplicate.
                let first = self.state.fields.named(name).front().copied();
                match first {
                    Some(number) => self.state.value(number)?.as_ref().to_owned(),
                    None => return Ok(false),
                }
            }
        };
        if id.len() > DUPLICATE_ID_BYTES_MAX {
            id.truncate(id.floor_char_boundary(DUPLICATE_ID_BYTES_MAX));
        }
        self.state.burn(1_024)?;
        let key = DuplicateKey {
            handle,
            id,
            seconds: duplicate.seconds,
            last: duplicate.last,
        };
        Ok(self.world.is_duplicate(&key)?)
    }
}

impl TestKind {
    fn name(&self) -> String {
        let name = match self {
            Self::Header(test) => {
                let names: Vec<&str> = test.names.iter().filter_map(Text::constant).collect();
                return format!("header {}", shown(&names.join(" ")));
            }
            Self::Address(test, _) => {
                let names: Vec<&str> = test.names.iter().filter_map(Text::constant).collect();
                return format!("address {}", shown(&names.join(" ")));
            }
            Self::Known(_) => "the constant",
            Self::Ihave(_) => "ihave",
            Self::Not(_) => "not",
            Self::AllOf(_) => "allof",
            Self::AnyOf(_) => "anyof",
            Self::Envelope { .. } => "envelope",
            Self::Exists { .. } => "exists",
            Self::Size { .. } => "size",
            Self::Text { .. } => "string",
            Self::HasFlag { .. } => "hasflag",
            Self::Environment { .. } => "environment",
            Self::Date(_) => "date",
            Self::Body(_) => "body",
            Self::MailboxExists(_) => "mailboxexists",
            Self::Metadata { .. } => "metadata",
            Self::MetadataExists { .. } => "metadataexists",
            Self::SpecialUseExists { .. } => "specialuse_exists",
            Self::Duplicate(_) => "duplicate",
            Self::ValidNotifyMethod(_) => "valid_notify_method",
            Self::NotifyMethodCapability { .. } => "notify_method_capability",
            Self::SpamTest { .. } => "spamtest",
            Self::VirusTest(_) => "virustest",
            Self::ValidExtList(_) => "valid_ext_list",
            Self::Host(host) => host.name,
        };
        name.into()
    }
}

impl core::fmt::Display for Action {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.shown())
    }
}
