//! Commands that collect actions, change flags, header and variables.

use super::{Run, RunError, State, short, shown};
use crate::flags;
use crate::limits::{FLAGS_MAX, HEADER_EDITS_MAX, HEADER_FIELD_BYTES_MAX};
use crate::message::{is_field_name, is_kept_field, mailbox_address};
use crate::outcome::{Action, Filing, NotifyAction, Performed, VacationAction, Version};
use crate::script::{Command, DeleteHeader, FlagVerb, Notify, Target, Vacation};
use crate::text::{Name, Text};

/// What an octet of a list of flags costs: each flag is compared with all that were taken, [`FLAGS_MAX`] at most.
const FLAG_WEIGHT: usize = 64;
/// Octets of a mailbox's name, and of a URI.
const NAME_BYTES_MAX: usize = 1_024;

impl Action {
    /// Its command.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Keep { .. } => "keep",
            Self::FileInto(_) => "fileinto",
            Self::Redirect { .. } => "redirect",
            Self::Discard => "discard",
            Self::Reject {
                extended: false, ..
            } => "reject",
            Self::Reject { .. } => "ereject",
            Self::Vacation(_) => "vacation",
            Self::Notify(_) => "notify",
        }
    }

    /// Is it the same thing to do twice (RFC 5228 §2.10.3)?
    fn repeats(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::FileInto(a), Self::FileInto(b)) => {
                a.mailbox == b.mailbox && a.special_use == b.special_use
            }
            (Self::Redirect { to: a, list: x }, Self::Redirect { to: b, list: y }) => {
                a.eq_ignore_ascii_case(b) && x == y
            }
            (Self::Keep { .. }, Self::Keep { .. }) | (Self::Discard, Self::Discard) => true,
            (Self::Notify(a), Self::Notify(b)) => a == b,
            _ => false,
        }
    }
}

impl Run<'_, '_> {
    pub(super) fn act(&mut self, command: &Command) -> Result<(), RunError> {
        let state = &mut self.state;
        match command {
            Command::Keep { flags } => {
                let flags = state.action_flags(flags.as_deref())?;
                state.implicit_keep = false;
                state.perform(Action::Keep {
                    flags,
                    implicit: false,
                })
            }
            Command::Discard => {
                state.implicit_keep = false;
                state.perform(Action::Discard)
            }
            Command::FileInto(target) => {
                let filing = state.filing(target)?;
                if !target.copy {
                    state.implicit_keep = false;
                }
                state.perform(Action::FileInto(filing))
            }
            Command::Redirect {
                address,
                copy,
                list,
            } => self.redirect(address, *copy, *list),
            Command::Reject { reason, extended } => {
                let reason = state.expand(reason)?.into_owned();
                state.implicit_keep = false;
                let extended = *extended;
                state.perform(Action::Reject { reason, extended })
            }
            Command::Set {
                name,
                modifiers,
                value,
            } => {
                let value = state.expand(value)?.into_owned();
                let value = state.modified(value, modifiers)?;
                state.trace(|| format!("set \"{}\" to {}", name.name, shown(&value)));
                state.set_variable(name, value)
            }
            Command::Flags {
                verb,
                variable,
                flags,
            } => state.change_flags(*verb, variable.as_ref(), flags),
            Command::AddHeader { last, name, value } => state.add_header(*last, name, value),
            Command::DeleteHeader(delete) => self.delete_header(delete),
            Command::Vacation(vacation) => state.vacation(vacation),
            Command::Notify(notify) => self.notify(notify),
            Command::ExtractText {
                first,
                name,
                modifiers,
            } => self.extract_text(*first, name, modifiers),
            _ => Ok(()),
        }
    }

    fn redirect(&mut self, address: &Text, copy: bool, list: bool) -> Result<(), RunError> {
        let given = self.state.expand(address)?.into_owned();
        let to = match list {
            true => Some(given.clone()).filter(|list| self.world.is_list(list)),
            false => mailbox_address(&given).map(|address| address.to_string()),
        };
        let to = to.ok_or_else(|| RunError::BadAddress(short(&given)))?;
        if !copy {
            self.state.implicit_keep = false;
        }
        self.state.perform(Action::Redirect { to, list })
    }

    fn delete_header(&mut self, delete: &DeleteHeader) -> Result<(), RunError> {
        let name = self.state.expand(&delete.name)?.into_owned();
        if !is_field_name(&name) {
            return Err(RunError::BadFieldName(short(&name)));
        }
        // RFC 5293 §6: "If a script tries to make a change that isn't permitted, the attempt MUST be silently ignored."
        if is_kept_field(&name) {
            self.state
                .trace(|| format!("{name} is not deleted by scripts"));
            return Ok(());
        }
        // RFC 5293 §5: the index picks first, the values match then.
        let mut numbers = self.state.numbers(&name, delete.index, delete.last)?;
        if let Some(of) = &delete.values {
            let mut found = Vec::new();
            for number in numbers {
                // RFC 5293 §5: a whole field is matched, never a count of them.
                let value = [self.state.value(number)?];
                if self.keys(of, &value, false)? {
                    found.push(number);
                }
            }
            numbers = found;
        }
        if numbers.is_empty() {
            return Ok(());
        }
        self.state.edited(numbers.len())?;
        self.state
            .trace(|| format!("{} of {name} deleted", numbers.len()));
        self.state.fields.remove(&name, &numbers);
        Ok(())
    }

    fn notify(&mut self, notify: &Notify) -> Result<(), RunError> {
        let state = &mut self.state;
        let method = state.expand(&notify.method)?.into_owned();
        let importance = state.expand_some(notify.importance.as_ref())?;
        let importance = match importance.as_deref() {
            Some("1") => 1,
            Some("3") => 3,
            _ => 2,
        };
        let fcc = state.fcc(notify.fcc.as_ref())?;
        let action = NotifyAction {
            from: state.expand_some(notify.from.as_ref())?,
            options: state.expand_all(&notify.options)?,
            message: state.expand_some(notify.message.as_ref())?,
            method,
            importance,
            fcc,
        };
        if !crate::compile::is_uri(&action.method) || !self.world.is_notify_method(&action.method) {
            return Err(RunError::BadMethod(short(&action.method)));
        }
        self.state.perform(Action::Notify(Box::new(action)))
    }
}

impl State<'_> {
    fn perform(&mut self, action: Action) -> Result<(), RunError> {
        self.trace(|| action.shown());
        self.check_conflicts(&action)?;
        let version = match action {
            Action::Keep { .. } | Action::FileInto(_) | Action::Redirect { .. } => {
                self.version()?
            }
            _ => Version::Original,
        };
        let mut before = self.actions.iter_mut();
        if let Some(same) =
            before.find(|before| before.action.repeats(&action) && before.version.is(&version))
        {
            // The later word on flags holds (RFC 5232 §5).
            match (&mut same.action, action) {
                (Action::Keep { flags, .. }, Action::Keep { flags: now, .. }) => *flags = now,
                (Action::FileInto(filing), Action::FileInto(now)) => *filing = now,
                _ => {}
            }
            return Ok(());
        }
        if self.actions.len() >= self.limits.actions {
            return Err(RunError::TooManyActions(self.limits.actions));
        }
        let count =
            |kind: fn(&Action) -> bool| self.actions.iter().filter(|one| kind(&one.action)).count();
        let redirects = count(|action| matches!(action, Action::Redirect { .. }));
        if matches!(action, Action::Redirect { .. }) && redirects >= self.limits.redirects {
            return Err(RunError::TooManyRedirects(self.limits.redirects));
        }
        let notifications = count(|action| matches!(action, Action::Notify(_)));
        if matches!(action, Action::Notify(_)) && notifications >= self.limits.notifications {
            return Err(RunError::TooManyNotifications(self.limits.notifications));
        }
        let script = self.script_name();
        let at = Some(self.at);
        self.actions.push(Performed {
            action,
            version,
            script,
            at,
        });
        Ok(())
    }

    /// RFC 5429 §2.1 and RFC 5230 §4.7: what is refused is neither kept nor answered, and only once.
    fn check_conflicts(&self, action: &Action) -> Result<(), RunError> {
        let refuses = |action: &Action| matches!(action, Action::Reject { .. });
        let stores = |action: &Action| {
            let sends = matches!(action, Action::Redirect { .. } | Action::Vacation(_));
            sends
                || matches!(
                    action,
                    Action::Keep { .. } | Action::FileInto(_) | Action::Reject { .. }
                )
        };
        for before in &self.actions {
            let before = &before.action;
            let both_answer =
                matches!((before, action), (Action::Vacation(_), Action::Vacation(_)));
            if (refuses(before) && stores(action))
                || (stores(before) && refuses(action))
                || both_answer
            {
                return Err(RunError::Conflict(before.name(), action.name()));
            }
        }
        Ok(())
    }

    fn action_flags(&mut self, flags: Option<&[Text]>) -> Result<Vec<String>, RunError> {
        match flags {
            // RFC 5232 §5: a `:flags` list stands for the internal variable.
            Some(flags) => {
                let flags = self.expand_all(flags)?;
                self.burn_flags(&flags)?;
                Ok(flags::listed(flags.iter().map(String::as_str)))
            }
            None => {
                self.burn(flags::work(&self.flags))?;
                Ok(self.flags.clone())
            }
        }
    }

    /// Each flag is compared with those before it.
    fn burn_flags(&mut self, flags: &[String]) -> Result<(), RunError> {
        self.burn(flags::work(flags).saturating_mul(FLAG_WEIGHT))
    }

    fn filing(&mut self, target: &Target) -> Result<Filing, RunError> {
        let mailbox = self.expand(&target.mailbox)?.into_owned();
        if mailbox.is_empty()
            || mailbox.len() > NAME_BYTES_MAX
            || mailbox.contains(|c: char| c.is_control())
        {
            return Err(RunError::BadMailbox(short(&mailbox)));
        }
        Ok(Filing {
            mailbox,
            create: target.create,
            special_use: self.expand_some(target.special_use.as_ref())?,
            flags: self.action_flags(target.flags.as_deref())?,
        })
    }

    fn fcc(&mut self, target: Option<&Target>) -> Result<Option<Filing>, RunError> {
        let Some(target) = target else {
            return Ok(None);
        };
        let mut filing = self.filing(target)?;
        if target.flags.is_none() {
            // RFC 8580 §3.3: the internal variable is the message's, not the copy's.
            filing.flags.clear();
        }
        Ok(Some(filing))
    }

    fn change_flags(
        &mut self,
        verb: FlagVerb,
        variable: Option<&Text>,
        flags: &[Text],
    ) -> Result<(), RunError> {
        let given = self.expand_all(flags)?;
        self.burn_flags(&given)?;
        let given = flags::listed(given.iter().map(String::as_str));
        let name = match variable {
            Some(variable) => {
                let text = self.expand(variable)?;
                Some(Name::read(&text).map_err(RunError::Said)?)
            }
            None => None,
        };
        let mut now = match &name {
            Some(name) => {
                self.burn(self.variable(name).len().saturating_mul(FLAG_WEIGHT))?;
                flags::listed([self.variable(name)])
            }
            None => core::mem::take(&mut self.flags),
        };
        self.burn_flags(&now)?;
        match verb {
            FlagVerb::Set => now = given,
            FlagVerb::Add => now = flags::listed(now.iter().chain(&given).map(String::as_str)),
            FlagVerb::Remove => now.retain(|flag| !flags::has(&given, flag)),
        }
        now.truncate(FLAGS_MAX);
        self.trace(|| format!("flags are {}", shown(&now.join(" "))));
        match name {
            Some(name) => self.set_variable(&name, now.join(" ")),
            None => {
                self.flags = now;
                Ok(())
            }
        }
    }

    fn edited(&mut self, count: usize) -> Result<(), RunError> {
        if !self.fields.whole {
            return Err(RunError::HeaderTooLarge);
        }
        if self.fields.edits + count > HEADER_EDITS_MAX {
            return Err(RunError::BadField("too many changes of the header".into()));
        }
        self.version = Version::Original;
        Ok(())
    }

    fn add_header(&mut self, last: bool, name: &Text, value: &Text) -> Result<(), RunError> {
        let name = self.expand(name)?.into_owned();
        if !is_field_name(&name) {
            return Err(RunError::BadFieldName(short(&name)));
        }
        // RFC 5293 §6: "implementations MAY limit" what is added: nobody makes up what the server has found out.
        if mime::is_own_field(name.as_bytes()) {
            self.trace(|| format!("{name} is not added by scripts"));
            return Ok(());
        }
        let value = self.expand(value)?.into_owned();
        if value.contains('\0') || name.len() + value.len() > HEADER_FIELD_BYTES_MAX {
            return Err(RunError::BadField(name));
        }
        // THREATS 10: a value never makes a second field or ends the header.
        let lines = value
            .split(['\r', '\n'])
            .map(str::trim)
            .filter(|line| !line.is_empty());
        let value = lines.collect::<Vec<_>>().join(" ");
        let written = if value.is_ascii() {
            fold(&name, &value)
        } else {
            mime::encoded_word::encode(&value)
        };
        self.edited(1)?;
        self.trace(|| format!("{name} added"));
        self.fields.add(&name, &written, last);
        Ok(())
    }

    fn vacation(&mut self, vacation: &Vacation) -> Result<(), RunError> {
        let from = self.expand_some(vacation.from.as_ref())?;
        let from = from.filter(|from| mailbox_address(from).is_some());
        let action = VacationAction {
            seconds: vacation.seconds,
            subject: self.expand_some(vacation.subject.as_ref())?,
            from,
            addresses: self.expand_all(&vacation.addresses)?,
            mime: vacation.mime,
            handle: self.expand_some(vacation.handle.as_ref())?,
            reason: self.expand(&vacation.reason)?.into_owned(),
            fcc: self.fcc(vacation.fcc.as_ref())?,
        };
        self.perform(Action::Vacation(Box::new(action)))
    }
}

impl Action {
    pub(super) fn shown(&self) -> String {
        let what = match self {
            Self::FileInto(filing) => shown(&filing.mailbox),
            Self::Redirect { to, .. } => shown(to),
            Self::Reject { reason, .. } => shown(reason),
            Self::Notify(notify) => shown(&notify.method),
            _ => return self.name().into(),
        };
        format!("{} {what}", self.name())
    }
}

/// Folds a value at its spaces, so that lines have some 78 characters (RFC 5322 §2.1.1).
fn fold(name: &str, value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    let mut line = name.len() + 2;
    for (at, word) in value.split(' ').enumerate() {
        if at > 0 {
            if line + 1 + word.len() > 78 && !word.is_empty() && line > 1 {
                out.push_str("\r\n");
                line = 0;
            }
            out.push(' ');
            line += 1;
        }
        out.push_str(word);
        line += word.len();
    }
    out
}
