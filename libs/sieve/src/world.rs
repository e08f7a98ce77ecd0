//! What a run is given and what it asks for: the caller answers, this crate decides.

use crate::compare::Matcher;
use crate::complaint::Position;
use crate::limits::Limits;
use crate::message::Message;
use crate::outcome::RunError;
use crate::run::State;
use crate::script::{Location, Script};
use std::sync::Arc;

/// Why a question could not be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WorldError(pub String);

/// The envelope of a message that is being delivered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SieveEnvelope {
    /// The reverse path, empty for the null path.
    pub from: String,
    /// The recipient.
    pub to: String,
    /// Who had logged in to send it.
    pub auth: Option<String>,
}

/// A moment, with the zone that times are shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix_seconds: i64,
    /// Minutes that the zone is east of UTC.
    pub zone_minutes: i16,
}

/// Everything that a run is given.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The message.
    pub message: &'a dyn Message,
    /// Its envelope; none where nothing is delivered, and then asking for it is an error (RFC 6785 §4.6).
    pub envelope: Option<&'a SieveEnvelope>,
    /// The flags that it has: none at delivery.
    pub flags: &'a [String],
    /// Now.
    pub now: Moment,
    /// What the run may take.
    pub limits: Limits,
    /// Is it wanted to know which line did what?
    pub traced: bool,
}

/// What [`World::is_duplicate`] is asked (RFC 7352).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateKey {
    /// The `:handle`, or empty.
    pub handle: String,
    /// What tells the message from others.
    pub id: String,
    /// How long it is remembered, if the script says.
    pub seconds: Option<u64>,
    /// Is the time counted from the last duplicate?
    pub last: bool,
}

/// A command or test of the caller's own, as it is met.
#[derive(Debug)]
pub struct HostCall {
    /// Its name.
    pub name: &'static str,
    /// Where.
    pub at: Position,
    /// Its tags, with their values.
    pub tags: Vec<(&'static str, Option<HostValue>)>,
    /// Its arguments.
    pub args: Vec<HostValue>,
    /// How it compares.
    pub matcher: Matcher,
}

impl HostCall {
    /// Does the tag stand there?
    #[must_use]
    pub fn has(&self, tag: &str) -> bool {
        self.tags.iter().any(|(name, _)| *name == tag)
    }

    /// The value of a tag.
    #[must_use]
    pub fn value(&self, tag: &str) -> Option<&HostValue> {
        let found = self.tags.iter().find(|(name, _)| *name == tag);
        found.and_then(|(_, value)| value.as_ref())
    }

    /// An argument that is a string.
    #[must_use]
    pub fn text(&self, at: usize) -> &str {
        match self.args.get(at) {
            Some(HostValue::Texts(texts)) => texts.first().map_or("", String::as_str),
            _ => "",
        }
    }
}

/// An argument with its variables put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostValue {
    /// A number.
    Number(u64),
    /// A string, or a list of them.
    Texts(Vec<String>),
}

/// How a run goes on behind a command of the caller's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostFlow {
    /// With the next command.
    Next,
    /// With its block, which [`World::left`] is told the end of.
    Enter,
    /// Not at all: as `stop`.
    Stop,
}

/// What the world outside knows. Every method but the first few has an answer for those who know nothing of it.
///
/// A method that can't answer gives an error: the run ends with the implicit keep.
#[allow(unused_variables)]
pub trait World {
    /// Is there such a mailbox, which mail may be filed into (RFC 5490 §3.1)?
    ///
    /// # Errors
    /// It can't be known now.
    fn mailbox_exists(&mut self, name: &str) -> Result<bool, WorldError>;

    /// Has this mailbox, or any, that special use (RFC 8579 §4)?
    ///
    /// # Errors
    /// It can't be known now.
    fn special_use_exists(
        &mut self,
        mailbox: Option<&str>,
        special_use: &str,
    ) -> Result<bool, WorldError> {
        Ok(false)
    }

    /// An item of the environment (RFC 5183 §4.1); none is unknown.
    fn environment(&mut self, item: &str) -> Option<String> {
        None
    }

    /// An annotation of a mailbox, or of the server (RFC 5490 §4 and §5).
    ///
    /// # Errors
    /// It can't be known now.
    fn metadata(
        &mut self,
        mailbox: Option<&str>,
        entry: &str,
    ) -> Result<Option<String>, WorldError> {
        Ok(None)
    }

    /// A script to include.
    ///
    /// # Errors
    /// It can't be had now, or it does not compile.
    fn script(
        &mut self,
        location: Location,
        name: &str,
    ) -> Result<Option<Arc<Script>>, WorldError> {
        Ok(None)
    }

    /// Was this seen before (RFC 7352)? The caller remembers it once all went well.
    ///
    /// # Errors
    /// It can't be known now.
    fn is_duplicate(&mut self, key: &DuplicateKey) -> Result<bool, WorldError> {
        Ok(false)
    }

    /// Is there such an external list (RFC 6134 §2.2)?
    fn is_list(&mut self, list: &str) -> bool {
        false
    }

    /// Does a list have this member (RFC 6134 §2.1)?
    ///
    /// # Errors
    /// It can't be known now.
    fn list_has(&mut self, list: &str, member: &str) -> Result<bool, WorldError> {
        Ok(false)
    }

    /// How likely the message is spam, in percent; none was not looked at (RFC 5235 §2.1).
    fn spam_percent(&mut self) -> Option<u8> {
        None
    }

    /// What is known of viruses: 1 none to 5 certain; none was not looked at (RFC 5235 §2.3).
    fn virus_level(&mut self) -> Option<u8> {
        None
    }

    /// Can a notification be sent so (RFC 5435 §4)?
    fn is_notify_method(&mut self, method: &str) -> bool {
        method
            .get(..7)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("mailto:"))
    }

    /// What parts user and detail of a local part (RFC 5233 §4): any of these characters, the first of them that
    /// is there.
    fn separators(&mut self) -> String {
        "+".into()
    }

    /// A command of the caller's own.
    ///
    /// # Errors
    /// The script ends.
    fn command(&mut self, call: &HostCall, state: &mut State<'_>) -> Result<HostFlow, RunError> {
        Ok(HostFlow::Next)
    }

    /// A test of the caller's own.
    ///
    /// # Errors
    /// The script ends.
    fn test(&mut self, call: &HostCall, state: &mut State<'_>) -> Result<bool, RunError> {
        Ok(false)
    }

    /// The block of a command of the caller's own has ended, and how.
    ///
    /// # Errors
    /// The script ends, with this error.
    fn left(
        &mut self,
        name: &str,
        state: &mut State<'_>,
        ended: Result<(), RunError>,
    ) -> Result<(), RunError> {
        ended
    }
}
