//! The `vnd.dovecot.testsuite` commands, as commands of a caller's own.

use crate::{
    Action, Extension, Extensions, HostCall, HostFlow, HostValue, HostWord, Input, Limits,
    Location, Moment, Offer, Performed, RunError, Script, SieveEnvelope, State, Version,
    WholeMessage, World, WorldError, compile, run,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const fn word(
    name: &'static str,
    is_test: bool,
    tags: &'static [(&'static str, bool)],
    args: (usize, usize),
) -> HostWord {
    HostWord {
        name,
        is_test,
        has_block: false,
        compares: false,
        tags,
        args,
    }
}

const fn comparing(name: &'static str) -> HostWord {
    let mut word = word(name, true, &[("index", true)], (1, 1));
    word.compares = true;
    word
}

const BLOCK: HostWord = {
    let mut word = word("test", false, &[], (1, 1));
    word.has_block = true;
    word
};

const MESSAGE_TAGS: &[(&str, bool)] = &[("smtp", false), ("folder", true)];

const WORDS: &[HostWord] = &[
    BLOCK,
    word("test_fail", false, &[], (1, 1)),
    word("test_set", false, &[], (2, 2)),
    word("test_config_set", false, &[], (2, 2)),
    word("test_config_unset", false, &[], (1, 1)),
    word("test_config_reload", false, &[("extension", true)], (0, 0)),
    word("test_result_reset", false, &[], (0, 0)),
    word("test_result_print", false, &[], (0, 0)),
    word("test_mailbox_create", false, &[], (1, 1)),
    word(
        "test_imap_metadata_set",
        false,
        &[("mailbox", true)],
        (2, 2),
    ),
    word("test_binary_save", false, &[], (1, 1)),
    word("test_binary_load", false, &[], (1, 1)),
    word("test_message", false, MESSAGE_TAGS, (1, 1)),
    word("test_message", true, MESSAGE_TAGS, (1, 1)),
    word("test_script_compile", true, &[], (1, 1)),
    word("test_script_run", true, &[("append_result", false)], (0, 0)),
    word("test_result_execute", true, &[], (0, 0)),
    word("test_multiscript", true, &[], (1, 1)),
    comparing("test_result_action"),
    comparing("test_error"),
];

pub(super) fn offer(words: bool) -> Offer {
    let more = [
        Extension::SpamTest,
        Extension::SpamTestPlus,
        Extension::VirusTest,
        Extension::ExtLists,
    ];
    Offer {
        place: "here",
        extensions: more
            .into_iter()
            .fold(Extensions::offered(), Extensions::with),
        names: if words {
            &["vnd.dovecot.testsuite"]
        } else {
            &[]
        },
        words: if words { WORDS } else { &[] },
    }
}

/// A message and its flags.
type Stored = (Vec<u8>, Vec<String>);

/// What the world of a test script is.
pub(super) struct SuiteWorld {
    folder: PathBuf,
    message: Vec<u8>,
    envelope: SieveEnvelope,
    mailboxes: BTreeMap<String, Vec<Stored>>,
    sent: Vec<(Vec<u8>, SieveEnvelope)>,
    errors: Vec<String>,
    script: Option<Arc<Script>>,
    result: Option<Vec<Performed>>,
    metadata: BTreeMap<(String, String), String>,
    config: BTreeMap<String, String>,
    name: String,
    pub(super) passed: Vec<String>,
    pub(super) failed: Vec<(String, String)>,
}

const FAILED: &str = "test_fail: ";

impl SuiteWorld {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            message: b"From: sender@example.com\r\nTo: recipient@example.org\r\n\r\n\r\n".to_vec(),
            envelope: SieveEnvelope {
                from: "sender@example.com".into(),
                to: "recipient@example.org".into(),
                auth: None,
            },
            mailboxes: BTreeMap::from([("INBOX".into(), Vec::new())]),
            sent: Vec::new(),
            errors: Vec::new(),
            script: None,
            result: None,
            metadata: BTreeMap::new(),
            config: BTreeMap::new(),
            name: String::new(),
            passed: Vec::new(),
            failed: Vec::new(),
        }
    }

    pub(super) fn run(&mut self, script: &Script) -> Option<String> {
        let message = self.message.clone();
        let message = WholeMessage::new(message);
        let envelope = self.envelope.clone();
        let outcome = run(script, "test", &given(&message, &envelope), self);
        outcome.failure.map(|failure| failure.to_string())
    }

    fn compile(&mut self, name: &str) -> bool {
        self.errors.clear();
        let path = self.folder.join(name);
        let path = if path.is_file() {
            path
        } else {
            path.with_extension("sieve")
        };
        let Ok(source) = std::fs::read_to_string(&path) else {
            self.errors.push(format!("no script {}", path.display()));
            return false;
        };
        match compile(&source, &offer(false)) {
            Ok(script) => {
                self.script = Some(Arc::new(script));
                true
            }
            Err(complaints) => {
                let list = complaints.list().iter();
                self.errors = list.map(ToString::to_string).collect();
                self.errors.push("the script does not compile".into());
                false
            }
        }
    }

    fn run_script(&mut self, append: bool) -> bool {
        let Some(script) = self.script.clone() else {
            return false;
        };
        self.errors.clear();
        let message = WholeMessage::new(self.message.clone());
        let envelope = self.envelope.clone();
        let outcome = run(&script, "script", &given(&message, &envelope), self);
        self.errors
            .extend(outcome.failure.iter().map(ToString::to_string));
        let mut actions = outcome.actions;
        if append && let Some(mut before) = self.result.take() {
            let implicit =
                |one: &Performed| matches!(one.action, Action::Keep { implicit: true, .. });
            // Scripts one after another: the implicit keep of the last holds.
            before.retain(|one| !implicit(one));
            before.append(&mut actions);
            actions = before;
        }
        self.result = Some(actions);
        outcome.failure.is_none()
    }

    fn execute(&mut self, actions: &[Performed]) -> bool {
        let mut well = true;
        for performed in actions {
            let message = match &performed.version {
                Version::Original => self.message.clone(),
                Version::Header(header) => {
                    let whole = WholeMessage::new(&self.message[..]);
                    let from = crate::Message::header(&whole).len();
                    [header, &self.message[from..]].concat()
                }
                Version::Whole(whole) => whole.to_vec(),
            };
            match &performed.action {
                Action::Keep { flags, .. } => self.file("INBOX", true, message, flags),
                Action::FileInto(filing) => {
                    let there = self.mailboxes.contains_key(&filing.mailbox);
                    if !there && !filing.create {
                        let name = &filing.mailbox;
                        self.errors.push(format!(
                            "failed to store into mailbox '{name}': mailbox doesn't exist"
                        ));
                        well = false;
                        continue;
                    }
                    self.file(&filing.mailbox, filing.create, message, &filing.flags);
                }
                Action::Redirect { to, .. } => {
                    let envelope = SieveEnvelope {
                        to: to.clone(),
                        ..self.envelope.clone()
                    };
                    self.sent.push((message, envelope));
                }
                _ => {}
            }
        }
        well
    }

    fn file(&mut self, mailbox: &str, create: bool, message: Vec<u8>, flags: &[String]) {
        if create {
            self.mailboxes.entry(mailbox.into()).or_default();
        }
        if let Some(mailbox) = self.mailboxes.get_mut(mailbox) {
            mailbox.push((message, flags.to_vec()));
        }
    }

    /// `test_message`: what was stored or sent is the message from here on.
    fn look_at(&mut self, call: &HostCall, state: &mut State<'_>) -> bool {
        let number = match call.args.first() {
            Some(HostValue::Number(number)) => usize::try_from(*number).unwrap_or(usize::MAX),
            _ => return false,
        };
        let found = match call.value("folder") {
            Some(HostValue::Texts(folder)) => {
                let mailbox = folder.first().and_then(|folder| self.mailboxes.get(folder));
                mailbox.and_then(|mailbox| mailbox.get(number)).cloned()
            }
            _ => self.sent.get(number).cloned().map(|(message, envelope)| {
                self.envelope = envelope.clone();
                state.set_envelope(envelope);
                (message, Vec::new())
            }),
        };
        let Some((message, flags)) = found else {
            return false;
        };
        self.message.clone_from(&message);
        state.set_message(Box::new(WholeMessage::new(message)));
        state.set_flags(&flags);
        true
    }

    fn set(&mut self, name: &str, value: &str, state: &mut State<'_>) {
        // A session never lets in what is no path.
        let bracketed = match value.starts_with('<') {
            true => value.to_owned(),
            false => format!("<{value}>"),
        };
        let parsed = envelope::path::parse_reverse(&bracketed).ok();
        let parsed = parsed.filter(|path| path.rest.is_empty());
        let address = parsed.map(|path| path.path.to_string()).unwrap_or_default();
        match name {
            "message" => {
                self.message = value.as_bytes().to_vec();
                state.set_message(Box::new(WholeMessage::new(self.message.clone())));
                state.set_flags(&[]);
                return;
            }
            "envelope.from" => self.envelope.from = address,
            "envelope.to" => self.envelope.to = address,
            "envelope.auth" => self.envelope.auth = Some(value.to_owned()),
            _ => {}
        }
        state.set_envelope(self.envelope.clone());
    }

    fn counted(
        &self,
        call: &HostCall,
        values: &[String],
        state: &mut State<'_>,
    ) -> Result<bool, RunError> {
        let keys = match call.args.first() {
            Some(HostValue::Texts(keys)) => keys.clone(),
            _ => Vec::new(),
        };
        let values = match call.value("index") {
            Some(HostValue::Number(index)) => {
                let index = usize::try_from(*index)
                    .unwrap_or(usize::MAX)
                    .wrapping_sub(1);
                values.get(index).cloned().into_iter().collect()
            }
            _ => values.to_vec(),
        };
        state.matches(call.matcher, &values, &keys)
    }
}

fn suite_limits() -> Limits {
    Limits {
        variable_bytes: 65_536,
        ..Limits::default()
    }
}

fn given<'a>(message: &'a dyn crate::Message, envelope: &'a SieveEnvelope) -> Input<'a> {
    Input {
        message,
        envelope: Some(envelope),
        flags: &[],
        now: Moment {
            unix_seconds: 1_767_323_045,
            zone_minutes: 120,
        },
        limits: suite_limits(),
        traced: false,
    }
}

impl World for SuiteWorld {
    fn mailbox_exists(&mut self, name: &str) -> Result<bool, WorldError> {
        Ok(self.mailboxes.contains_key(name))
    }

    fn special_use_exists(
        &mut self,
        mailbox: Option<&str>,
        special_use: &str,
    ) -> Result<bool, WorldError> {
        let _ = (mailbox, special_use);
        Ok(false)
    }

    fn environment(&mut self, item: &str) -> Option<String> {
        let value = match item {
            "name" => "Posthouse",
            "version" => "0",
            "location" => "MS",
            "phase" => "during",
            "host" => "mail.example.org",
            "domain" => "example.org",
            _ => return None,
        };
        Some(value.into())
    }

    fn metadata(
        &mut self,
        mailbox: Option<&str>,
        entry: &str,
    ) -> Result<Option<String>, WorldError> {
        let key = (mailbox.unwrap_or("").to_owned(), entry.to_owned());
        Ok(self.metadata.get(&key).cloned())
    }

    fn script(
        &mut self,
        location: Location,
        name: &str,
    ) -> Result<Option<Arc<Script>>, WorldError> {
        let folder = if location == Location::Global {
            "included-global"
        } else {
            "included"
        };
        let path = self.folder.join(folder).join(name).with_extension("sieve");
        let Ok(source) = std::fs::read_to_string(path) else {
            return Ok(None);
        };
        let compiled = compile(&source, &offer(true));
        compiled
            .map(|script| Some(Arc::new(script)))
            .map_err(|complaints| WorldError(complaints.to_string()))
    }

    fn separators(&mut self) -> String {
        let set = self.config.get("recipient_delimiter");
        set.cloned().unwrap_or_else(|| "+".into())
    }

    fn is_notify_method(&mut self, method: &str) -> bool {
        method.starts_with("mailto:")
    }

    fn command(&mut self, call: &HostCall, state: &mut State<'_>) -> Result<HostFlow, RunError> {
        match call.name {
            "test" => {
                self.name = call.text(0).to_owned();
                self.errors.clear();
                return Ok(HostFlow::Enter);
            }
            "test_fail" => return Err(WorldError(format!("{FAILED}{}", call.text(0))).into()),
            "test_set" => self.set(call.text(0), call.text(1), state),
            "test_config_set" => {
                self.config.insert(call.text(0).into(), call.text(1).into());
                let number =
                    |name: &str| self.config.get(name).and_then(|value| value.parse().ok());
                let mut limits = suite_limits();
                if let Some(bytes) = number("sieve_variables_max_variable_size")
                    .or(number("sieve_variables_max_value_size"))
                {
                    limits.variable_bytes = bytes;
                }
                state.set_limits(limits);
            }
            "test_result_reset" => {
                self.result = None;
                self.sent.clear();
                state.forget_actions();
            }
            "test_mailbox_create" => {
                self.mailboxes.entry(call.text(0).into()).or_default();
            }
            "test_imap_metadata_set" => {
                let mailbox = match call.value("mailbox") {
                    Some(HostValue::Texts(mailbox)) => mailbox.concat(),
                    _ => String::new(),
                };
                self.metadata
                    .insert((mailbox, call.text(0).into()), call.text(1).into());
            }
            "test_message" if !self.look_at(call, state) => {
                return Err(WorldError("no such message".into()).into());
            }
            _ => {}
        }
        Ok(HostFlow::Next)
    }

    fn test(&mut self, call: &HostCall, state: &mut State<'_>) -> Result<bool, RunError> {
        Ok(match call.name {
            "test_message" => self.look_at(call, state),
            "test_script_compile" => self.compile(call.text(0)),
            "test_script_run" => self.run_script(call.has("append_result")),
            "test_result_execute" => {
                self.errors.clear();
                let actions = match &self.result {
                    Some(actions) => actions.clone(),
                    None => state.actions_now()?,
                };
                self.execute(&actions)
            }
            "test_multiscript" => {
                let Some(HostValue::Texts(names)) = call.args.first() else {
                    return Ok(false);
                };
                self.result = None;
                names
                    .clone()
                    .iter()
                    .all(|name| self.compile(name) && self.run_script(true))
            }
            "test_result_action" => {
                let actions = match &self.result {
                    Some(actions) => actions.clone(),
                    None => state.actions_now()?,
                };
                let name = |one: &Performed| match one.action.name() {
                    "fileinto" => "store".to_owned(),
                    name => name.to_owned(),
                };
                let names: Vec<String> = actions.iter().map(name).collect();
                self.counted(call, &names, state)?
            }
            _ => {
                let errors = self.errors.clone();
                self.counted(call, &errors, state)?
            }
        })
    }

    fn left(
        &mut self,
        _: &str,
        _: &mut State<'_>,
        ended: Result<(), RunError>,
    ) -> Result<(), RunError> {
        let name = core::mem::take(&mut self.name);
        match ended {
            Ok(()) => self.passed.push(name),
            Err(error) => {
                let why = error.to_string();
                let why = why.strip_prefix(FAILED).unwrap_or(&why);
                self.failed.push((name, why.to_owned()));
            }
        }
        Ok(())
    }
}
