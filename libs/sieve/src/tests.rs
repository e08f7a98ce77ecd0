//! What a script comes to, as a whole: by section of the RFCs, and by other people's scripts.

mod actions;
mod extensions;
mod fuel;
mod language;
mod limits;
mod suite;
mod suite_world;

use crate::{
    Action, Complaints, Input, Limits, Location, Message, Moment, Offer, Outcome, Script,
    SieveEnvelope, WholeMessage, World, WorldError, compile, run,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A world of maps.
#[derive(Default)]
struct Known {
    mailboxes: Vec<&'static str>,
    environment: BTreeMap<&'static str, &'static str>,
    scripts: BTreeMap<&'static str, &'static str>,
    seen: Vec<(String, String)>,
    metadata: BTreeMap<(&'static str, &'static str), &'static str>,
}

impl World for Known {
    fn mailbox_exists(&mut self, name: &str) -> Result<bool, WorldError> {
        if name == "Broken" {
            return Err(WorldError("the store is away".into()));
        }
        Ok(self.mailboxes.contains(&name))
    }

    fn special_use_exists(
        &mut self,
        mailbox: Option<&str>,
        special_use: &str,
    ) -> Result<bool, WorldError> {
        Ok(special_use == "\\Junk" && mailbox.is_none_or(|name| name == "Spam"))
    }

    fn environment(&mut self, item: &str) -> Option<String> {
        self.environment.get(item).map(ToString::to_string)
    }

    fn metadata(
        &mut self,
        mailbox: Option<&str>,
        entry: &str,
    ) -> Result<Option<String>, WorldError> {
        let found = self
            .metadata
            .iter()
            .find(|((of, name), _)| *of == mailbox.unwrap_or("") && *name == entry);
        Ok(found.map(|(_, value)| value.to_string()))
    }

    fn script(&mut self, _: Location, name: &str) -> Result<Option<Arc<Script>>, WorldError> {
        let source = self.scripts.get(name);
        source
            .map(|source| {
                compile(source, &Offer::default())
                    .map(Arc::new)
                    .map_err(|e| WorldError(e.to_string()))
            })
            .transpose()
    }

    fn is_duplicate(&mut self, key: &crate::DuplicateKey) -> Result<bool, WorldError> {
        let key = (key.handle.clone(), key.id.clone());
        let seen = self.seen.contains(&key);
        self.seen.push(key);
        Ok(seen)
    }
}

const MESSAGE: &str = "From: Ann Example <ann+lists@example.org>\r\n\
    To: bob@example.net, \"Carol, C.\" <carol@example.com>\r\n\
    Subject: [dev] =?utf-8?q?Gr=C3=BC=C3=9Fe?= to you\r\n\
    Date: Mon, 20 Jul 2009 21:44:43 +0300\r\n\
    Received: from a by b; Tue, 21 Jul 2009 01:00:00 +0000\r\n\
    Received: from c by a; Mon, 20 Jul 2009 22:00:00 +0000\r\n\
    Message-ID: <1@example.org>\r\n\
    X-Empty:\r\n\
    \r\n\
    Hello,\r\nthis is text.\r\n";

/// Runs a script whose `require` names everything, at delivery.
fn outcome(source: &str) -> Outcome {
    outcome_in(source, &mut Known::default())
}

fn outcome_in(source: &str, world: &mut dyn World) -> Outcome {
    outcome_of(MESSAGE, source, world)
}

fn outcome_of(message: &str, source: &str, world: &mut dyn World) -> Outcome {
    let message = WholeMessage::new(message.as_bytes());
    let envelope = SieveEnvelope {
        from: "ann@example.org".into(),
        to: "bob+dev@example.net".into(),
        auth: None,
    };
    let script = compiled(source).unwrap_or_else(|complaints| panic!("{source}\n{complaints}"));
    let input = input(&message, Some(&envelope));
    run(&script, "test", &input, world)
}

fn input<'a>(message: &'a dyn Message, envelope: Option<&'a SieveEnvelope>) -> Input<'a> {
    Input {
        message,
        envelope,
        flags: &[],
        // 2026-01-02 03:04:05 UTC, shown an hour to the east.
        now: Moment {
            unix_seconds: 1_767_323_045,
            zone_minutes: 60,
        },
        limits: Limits::default(),
        traced: true,
    }
}

const REQUIRE: &str = "require [\"fileinto\",\"envelope\",\"encoded-character\",\"comparator-i;ascii-numeric\",\
    \"comparator-i;unicode-casemap\",\"copy\",\"relational\",\"subaddress\",\"variables\",\"imap4flags\",\"body\",\"date\",\
    \"index\",\"mailbox\",\"mboxmetadata\",\"servermetadata\",\"environment\",\"include\",\"editheader\",\"duplicate\",\
    \"special-use\",\"ihave\",\"regex\",\"enotify\",\"fcc\",\"mime\",\"foreverypart\",\"extracttext\",\"vacation\",\"vacation-seconds\",\
    \"reject\",\"ereject\"];\n";

fn compiled(source: &str) -> Result<Script, Complaints> {
    let source = match source.starts_with("require") {
        true => source.to_owned(),
        false => format!("{REQUIRE}{source}"),
    };
    compile(&source, &Offer::default())
}

/// The actions, as a person would write them.
fn actions(outcome: &Outcome) -> Vec<String> {
    let shown = |action: &Action| match action {
        Action::Keep { flags, implicit } => {
            let implicit = if *implicit { "implicit " } else { "" };
            format!("{implicit}keep [{}]", flags.join(" "))
        }
        other => other.to_string(),
    };
    outcome
        .actions
        .iter()
        .map(|performed| shown(&performed.action))
        .collect()
}

/// Is a test true?
fn holds(test: &str) -> bool {
    let outcome = outcome(&format!("if {test} {{ discard; }}"));
    assert_eq!(outcome.failure, None, "{test}");
    actions(&outcome) == ["discard"]
}
