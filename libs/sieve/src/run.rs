//! Runs a script over a message.
//!
//! [`Run`] walks the compiled script; [`State`] is all that it has, apart from the world that it asks.
//!
//! Invariants: every step takes fuel, so that any run ends; nothing is done, only collected; an error leaves the
//! implicit keep (RFC 5228 §2.10.6).

mod act;
mod body;
mod date;
mod expand;
mod header;
mod include;
mod parts;
mod tests_of;

use crate::compare::{self, Captures, Expression, MatchType, Matcher, OutOfSteps};
use crate::complaint::Position;
use crate::extension::Extension;
use crate::flags;
use crate::limits::{Limits, REGEX_STEPS, RUN_DEPTH_MAX, TRACE_CHARS_MAX, TRACE_LINES_MAX};
use crate::message::{Fields, Message};
use crate::outcome::{Action, Failure, Outcome, Performed, RunError, TraceLine, Version};
use crate::script::{Block, Command, HostArg, HostUse, Location, Match, Script};
use crate::text::{Name, Text};
use crate::world::{HostCall, HostFlow, HostValue, Input, Moment, SieveEnvelope, World};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A message that was given, or one that stands in its place.
enum Held<'a> {
    Given(&'a dyn Message),
    Own(Box<dyn Message + 'a>),
}

/// A script that runs: the first, or one that is included.
struct Frame {
    name: Arc<str>,
    location: Location,
    variables: HashMap<Arc<str>, String>,
    /// Names that are the same in all scripts of the run (RFC 6609 §3.4.1).
    shared: HashSet<Arc<str>>,
    matches: Captures,
}

impl Frame {
    fn new(name: Arc<str>, location: Location) -> Self {
        Self {
            name,
            location,
            variables: HashMap::new(),
            shared: HashSet::new(),
            matches: Captures::new(),
        }
    }
}

/// A loop over parts (RFC 5703 §3).
struct PartLoop {
    name: Option<Arc<str>>,
    part: u32,
}

/// All that a run has.
pub struct State<'a> {
    held: Held<'a>,
    fields: Fields,
    version: Version,
    envelope: Option<Cow<'a, SieveEnvelope>>,
    flags: Vec<String>,
    now: Moment,
    limits: Limits,
    fuel: u64,
    depth: usize,
    includes: usize,
    included: HashSet<(Location, Arc<str>)>,
    frames: Vec<Frame>,
    global: HashMap<Arc<str>, String>,
    loops: Vec<PartLoop>,
    actions: Vec<Performed>,
    implicit_keep: bool,
    at: Position,
    traced: bool,
    trace: Vec<TraceLine>,
}

/// How a block ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Flow {
    Next,
    Stop,
    Return,
    Break(Option<Arc<str>>),
}

struct Run<'r, 'a> {
    world: &'r mut dyn World,
    state: State<'a>,
}

/// Runs a script; `name` is what it is called in errors and traces.
pub fn run(script: &Script, name: &str, input: &Input<'_>, world: &mut dyn World) -> Outcome {
    let state = State::new(name, input);
    let mut run = Run { world, state };
    // RFC 6785 §3.11: "Their appearance in the "require" control … MUST result in an error condition".
    let out_of_place = delivery_extensions()
        .into_iter()
        .find(|one| script.requires.has(*one));
    let ended = match out_of_place.filter(|_| input.envelope.is_none()) {
        Some(extension) => Err(RunError::NotAtDelivery(extension.name())),
        None => run.block(&script.block).map(drop),
    };
    run.state.outcome(ended)
}

/// What only has a meaning while mail is delivered.
fn delivery_extensions() -> [Extension; 3] {
    [Extension::Reject, Extension::Ereject, Extension::Vacation]
}

impl<'a> State<'a> {
    fn new(name: &str, input: &Input<'a>) -> Self {
        Self {
            held: Held::Given(input.message),
            fields: Fields::read(input.message.header()),
            version: Version::Original,
            envelope: input.envelope.map(Cow::Borrowed),
            flags: flags::listed(input.flags.iter().map(String::as_str)),
            now: input.now,
            limits: input.limits,
            fuel: input.limits.fuel,
            depth: 0,
            includes: 0,
            included: HashSet::new(),
            frames: vec![Frame::new(name.into(), Location::Personal)],
            global: HashMap::new(),
            loops: Vec::new(),
            actions: Vec::new(),
            implicit_keep: true,
            at: Position { line: 1, column: 1 },
            traced: input.traced,
            trace: Vec::new(),
        }
    }

    fn outcome(mut self, ended: Result<(), RunError>) -> Outcome {
        let script = self.script_name();
        let failure = ended.err().map(|why| Failure {
            script: Arc::clone(&script),
            at: self.at,
            why,
        });
        if failure.is_some() {
            // RFC 5228 §2.10.6: what went before is not done either: nobody can say what it was meant with.
            self.actions.clear();
            self.implicit_keep = true;
        }
        if self.implicit_keep {
            let version = match failure {
                Some(_) => Version::Original,
                None => self.version(),
            };
            let flags = self.flags.clone();
            let action = Action::Keep {
                flags,
                implicit: true,
            };
            let at = None;
            self.actions.push(Performed {
                action,
                version,
                script,
                at,
            });
        }
        if let Some(failure) = &failure {
            let what = format!("{}: the message is kept", failure.why);
            self.trace(|| what);
        }
        Outcome {
            actions: self.actions,
            flags: self.flags,
            failure,
            trace: self.trace,
            fuel_used: self.limits.fuel - self.fuel,
        }
    }

    fn script_name(&self) -> Arc<str> {
        self.frames
            .last()
            .map_or_else(|| "".into(), |frame| Arc::clone(&frame.name))
    }

    fn frame(&mut self) -> &mut Frame {
        if self.frames.is_empty() {
            self.frames.push(Frame::new("".into(), Location::Personal));
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    fn message(&self) -> &dyn Message {
        match &self.held {
            Held::Given(message) => *message,
            Held::Own(message) => &**message,
        }
    }

    /// Takes fuel for so many octets that are looked at.
    fn burn(&mut self, octets: usize) -> Result<(), RunError> {
        let steps = 1 + octets as u64 / 64;
        self.fuel = self.fuel.checked_sub(steps).ok_or_else(|| {
            self.fuel = 0;
            RunError::OutOfFuel
        })?;
        Ok(())
    }

    fn trace(&mut self, what: impl FnOnce() -> String) {
        if self.traced && self.trace.len() < TRACE_LINES_MAX {
            let script = self.script_name();
            let line = self.at.line;
            let what = what();
            self.trace.push(TraceLine { script, line, what });
        }
    }

    /// The message as it is now.
    fn version(&mut self) -> Version {
        if self.fields.edits == 0 {
            return Version::Original;
        }
        if self.version == Version::Original {
            self.version = Version::Header(self.fields.write().into());
        }
        self.version.clone()
    }

    /// The message's octets, with what was done to its header.
    fn size(&mut self) -> u64 {
        let message = self.message();
        let (size, header) = (message.size(), message.header().len() as u64);
        match self.version() {
            Version::Header(now) => size.saturating_sub(header) + now.len() as u64,
            _ => size,
        }
    }

    /// Another message in place of this one.
    pub fn set_message(&mut self, message: Box<dyn Message + 'a>) {
        self.fields = Fields::read(message.header());
        self.held = Held::Own(message);
        self.version = Version::Original;
    }

    /// Another envelope.
    pub fn set_envelope(&mut self, envelope: SieveEnvelope) {
        self.envelope = Some(Cow::Owned(envelope));
    }

    /// Other limits; the fuel stays as it is.
    pub fn set_limits(&mut self, limits: Limits) {
        let fuel = self.limits.fuel;
        self.limits = Limits { fuel, ..limits };
    }

    /// Other flags.
    pub fn set_flags(&mut self, flags: &[String]) {
        self.flags = flags::listed(flags.iter().map(String::as_str));
    }

    /// The actions up to now, the implicit keep with them, as if the script ended here.
    pub fn actions_now(&mut self) -> Vec<Performed> {
        let mut actions = self.actions.clone();
        if self.implicit_keep {
            let action = Action::Keep {
                flags: self.flags.clone(),
                implicit: true,
            };
            let (version, script) = (self.version(), self.script_name());
            let at = None;
            actions.push(Performed {
                action,
                version,
                script,
                at,
            });
        }
        actions
    }

    /// Forgets the actions, as if the script began here.
    pub fn forget_actions(&mut self) {
        self.actions.clear();
        self.implicit_keep = true;
    }

    /// Does one of the values match one of the keys?
    ///
    /// # Errors
    /// It takes more than the run may.
    pub fn matches(
        &mut self,
        matcher: Matcher,
        values: &[String],
        keys: &[String],
    ) -> Result<bool, RunError> {
        let values: Vec<Cow<'_, str>> = values
            .iter()
            .map(|value| Cow::Borrowed(value.as_str()))
            .collect();
        for key in keys {
            if self.one_key(matcher, &values, key, None, true)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Does one of the values match this key? With `captures`, match variables are set.
    fn one_key(
        &mut self,
        matcher: Matcher,
        values: &[Cow<'_, str>],
        key: &str,
        compiled: Option<&Expression>,
        captures: bool,
    ) -> Result<bool, RunError> {
        let comparator = matcher.comparator;
        if let MatchType::Count(relation) = matcher.kind {
            // RFC 5231 §4.2
            let count = values.len().to_string();
            return Ok(relation.holds(comparator.order(&count, key)));
        }
        let built;
        let regex = match (matcher.kind, compiled) {
            (MatchType::Regex, Some(regex)) => Some(regex),
            (MatchType::Regex, None) => {
                self.burn(REGEX_STEPS * 64)?;
                // What a variable made of it may be none: it matches nothing then.
                match Expression::read(comparator, key) {
                    Ok(regex) => built = regex,
                    Err(why) => {
                        self.trace(|| why);
                        return Ok(false);
                    }
                }
                Some(&built)
            }
            _ => None,
        };
        for value in values {
            self.burn(value.len() + key.len())?;
            let found = match matcher.kind {
                MatchType::Is => comparator.same(value, key),
                MatchType::Contains => comparator.contains(value, key),
                MatchType::Value(relation) => relation.holds(comparator.order(value, key)),
                MatchType::Matches => {
                    let found = compare::matches(comparator, value, key, &mut self.fuel);
                    match found.map_err(|OutOfSteps| RunError::OutOfFuel)? {
                        Some(found) if captures => {
                            self.frame().matches = found;
                            true
                        }
                        found => found.is_some(),
                    }
                }
                MatchType::Regex => {
                    self.burn(regex.map_or(0, |regex| regex.work(value)))?;
                    match regex.and_then(|regex| regex.captures(value)) {
                        Some(found) if captures => {
                            self.frame().matches = found;
                            true
                        }
                        found => found.is_some(),
                    }
                }
                MatchType::Count(_) | MatchType::List => false,
            };
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A value as a trace quotes it.
fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(TRACE_CHARS_MAX).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    format!("\"{}\"", out.escape_debug())
}

impl Run<'_, '_> {
    fn deeper(&mut self) -> Result<(), RunError> {
        self.state.depth += 1;
        if self.state.depth > RUN_DEPTH_MAX {
            return Err(RunError::TooDeep);
        }
        Ok(())
    }

    fn block(&mut self, block: &Block) -> Result<Flow, RunError> {
        self.deeper()?;
        for statement in block {
            self.state.at = statement.at;
            self.state.burn(0)?;
            let flow = self.command(&statement.what)?;
            if flow != Flow::Next {
                self.state.depth -= 1;
                return Ok(flow);
            }
        }
        self.state.depth -= 1;
        Ok(Flow::Next)
    }

    fn command(&mut self, command: &Command) -> Result<Flow, RunError> {
        match command {
            Command::If {
                branches,
                otherwise,
            } => {
                for (test, block) in branches {
                    if self.test(test)? {
                        return self.block(block);
                    }
                }
                return self.block(otherwise);
            }
            Command::Stop => {
                self.state.trace(|| "stop".into());
                return Ok(Flow::Stop);
            }
            Command::Return => return Ok(Flow::Return),
            Command::Break(name) => return Ok(Flow::Break(name.clone())),
            Command::Include(include) => return self.include(include),
            Command::ForEveryPart { name, block } => {
                return self.for_every_part(name.as_ref(), block);
            }
            Command::Host(host) => return self.host(host),
            Command::Error(text) => {
                let text = self.state.expand(text)?.into_owned();
                return Err(RunError::Said(text));
            }
            Command::Global(names) => {
                for name in names {
                    self.state.share(name);
                }
            }
            _ => self.act(command)?,
        }
        Ok(Flow::Next)
    }

    fn host(&mut self, host: &HostUse) -> Result<Flow, RunError> {
        let call = self.host_call(host)?;
        let flow = self.world.command(&call, &mut self.state)?;
        match (flow, &host.block) {
            (HostFlow::Stop, _) => Ok(Flow::Stop),
            (HostFlow::Enter, Some(block)) => {
                let state = &self.state;
                let was = (state.depth, state.frames.len(), state.loops.len());
                let ended = self.block(block);
                let flow = ended.as_ref().map_or(Flow::Next, Clone::clone);
                self.state.depth = was.0;
                self.state.frames.truncate(was.1);
                self.state.loops.truncate(was.2);
                self.world
                    .left(host.name, &mut self.state, ended.map(drop))?;
                Ok(flow)
            }
            _ => Ok(Flow::Next),
        }
    }

    fn host_call(&mut self, host: &HostUse) -> Result<HostCall, RunError> {
        let mut args = Vec::new();
        for arg in &host.args {
            args.push(self.host_value(arg)?);
        }
        let mut tags = Vec::new();
        for (name, value) in &host.tags {
            let value = match value {
                Some(value) => Some(self.host_value(value)?),
                None => None,
            };
            tags.push((*name, value));
        }
        Ok(HostCall {
            name: host.name,
            at: self.state.at,
            tags,
            args,
            matcher: host.matcher,
        })
    }

    fn host_value(&mut self, arg: &HostArg) -> Result<HostValue, RunError> {
        Ok(match arg {
            HostArg::Number(number) => HostValue::Number(*number),
            HostArg::Texts(texts) => HostValue::Texts(self.state.expand_all(texts)?),
        })
    }

    /// Does one of the values match one of the keys?
    fn keys(
        &mut self,
        of: &Match,
        values: &[Cow<'_, str>],
        captures: bool,
    ) -> Result<bool, RunError> {
        for (at, key) in of.keys.iter().enumerate() {
            let key = self.state.expand(key)?;
            let found = match of.matcher.kind {
                MatchType::List => self.in_list(&key, values)?,
                _ => {
                    let compiled = of.regexes.get(at).and_then(Option::as_ref);
                    self.state
                        .one_key(of.matcher, values, &key, compiled, captures)?
                }
            };
            if found {
                self.state.trace(|| format!("{} is found", shown(&key)));
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn in_list(&mut self, list: &str, values: &[Cow<'_, str>]) -> Result<bool, RunError> {
        for value in values {
            self.state.burn(value.len())?;
            if self.world.list_has(list, value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
