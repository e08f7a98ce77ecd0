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
mod known;
mod parts;
mod tests_of;

use crate::compare::{Captures, Comparator, Expression, MatchType, Matcher, NoExpression, Search};
use crate::complaint::Position;
use crate::extension::Extension;
use crate::flags;
use crate::glob::{self, OutOfSteps};
use crate::limits::{
    Limits, REGEX_BYTES_MAX, REGEX_OCTET_STEPS, REGEX_WEIGHT, RUN_DEPTH_MAX, TRACE_CHARS_MAX,
    TRACE_LINES_MAX, VALUES_BYTES_MAX, VERSIONS_BYTES_MAX,
};
use crate::message::{Fields, Message};
use crate::outcome::{Action, Failure, Outcome, Performed, RunError, TraceLine, Version};
use crate::script::{Block, Command, HostArg, HostUse, Location, Match, Script};
use crate::text::{Name, Text};
use crate::world::{HostCall, HostFlow, HostValue, Input, Moment, SieveEnvelope, World};
use known::Known;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

/// A message that was given, or one that stands in its place. Cheap to clone: work on a message takes fuel.
#[derive(Clone)]
enum Held<'a> {
    Given(&'a dyn Message),
    Own(Rc<dyn Message + 'a>),
}

impl Held<'_> {
    fn message(&self) -> &dyn Message {
        match self {
            Self::Given(message) => *message,
            Self::Own(message) => &**message,
        }
    }
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
    known: Known,
    version: Version,
    /// Octets of all versions up to now.
    versions_bytes: usize,
    envelope: Option<Cow<'a, SieveEnvelope>>,
    flags: Vec<String>,
    /// As they were given.
    flags_given: Vec<String>,
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
    let out_of_place = Extension::OF_DELIVERY
        .into_iter()
        .find(|one| script.requires.has(*one));
    let ended = match out_of_place.filter(|_| input.envelope.is_none()) {
        Some(extension) => Err(RunError::NotAtDelivery(extension.name())),
        None => run.whole(script),
    };
    run.state.outcome(ended)
}

impl<'a> State<'a> {
    fn new(name: &str, input: &Input<'a>) -> Self {
        let flags = flags::listed(input.flags.iter().map(String::as_str));
        Self {
            held: Held::Given(input.message),
            fields: Fields::read(input.message),
            known: Known::default(),
            version: Version::Original,
            versions_bytes: 0,
            envelope: input.envelope.map(Cow::Borrowed),
            flags_given: flags.clone(),
            flags,
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
            self.flags = core::mem::take(&mut self.flags_given);
            self.implicit_keep = true;
        }
        if self.implicit_keep {
            let version = match failure {
                Some(_) => Version::Original,
                None => self.version.clone(),
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
        self.held.message()
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
    fn version(&mut self) -> Result<Version, RunError> {
        if self.fields.edits > 0 && self.version == Version::Original {
            let header = self.fields.write();
            self.burn(header.len())?;
            // One that was there before stays the same one, so that two are told apart without a look at their octets.
            let before = self.actions.iter().map(|before| &before.version);
            let alike = before.filter(|before| match before {
                Version::Header(before) => before.len() == header.len(),
                _ => false,
            });
            let alike: Vec<Version> = alike.cloned().collect();
            self.burn(alike.len() * header.len())?;
            let same = |before: &&Version| match before {
                Version::Header(before) => **before == *header,
                _ => false,
            };
            if let Some(same) = alike.iter().find(same) {
                self.version = same.clone();
                return Ok(same.clone());
            }
            let before = self.versions_bytes;
            self.versions_bytes += header.len();
            if before > 0 && self.versions_bytes > VERSIONS_BYTES_MAX {
                return Err(RunError::TooManyVersions);
            }
            self.version = Version::Header(header.into());
        }
        Ok(self.version.clone())
    }

    /// The message's octets, with what was done to its header.
    fn size(&mut self) -> Result<u64, RunError> {
        let message = self.message();
        let (size, header) = (message.size(), message.header().len() as u64);
        if self.fields.edits == 0 {
            return Ok(size);
        }
        self.burn(self.fields.work())?;
        Ok(size.saturating_sub(header) + self.fields.written_len() as u64)
    }

    /// Another message in place of this one.
    pub fn set_message(&mut self, message: Box<dyn Message + 'a>) {
        self.fields = Fields::read(&*message);
        self.known = Known::default();
        self.held = Held::Own(message.into());
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
        self.flags_given.clone_from(&self.flags);
    }

    /// The actions up to now, the implicit keep with them, as if the script ended here.
    ///
    /// # Errors
    /// It takes more than the run may.
    pub fn actions_now(&mut self) -> Result<Vec<Performed>, RunError> {
        let mut actions = self.actions.clone();
        if self.implicit_keep {
            let action = Action::Keep {
                flags: self.flags.clone(),
                implicit: true,
            };
            let (version, script) = (self.version()?, self.script_name());
            let at = None;
            actions.push(Performed {
                action,
                version,
                script,
                at,
            });
        }
        Ok(actions)
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
        for key in keys {
            if self.one_key(matcher, values, key, None, true)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Does one of the values match this key? With `captures`, match variables are set.
    fn one_key<V: AsRef<str>>(
        &mut self,
        matcher: Matcher,
        values: &[V],
        key: &str,
        compiled: Option<&Expression>,
        captures: bool,
    ) -> Result<bool, RunError> {
        let comparator = matcher.comparator;
        self.burn(key.len())?;
        if let MatchType::Count(relation) = matcher.kind {
            // RFC 5231 §4.2
            let count = values.len().to_string();
            return Ok(relation.holds(comparator.order(&count, key)));
        }
        let built = match (matcher.kind, compiled) {
            (MatchType::Regex, None) => self.expression(matcher, key)?,
            _ => None,
        };
        let mut search = match compiled.or(built.as_ref()) {
            Some(expression) => {
                // What it looks with is made anew for each key.
                self.burn(expression.work(""))?;
                Some(Search::new(expression))
            }
            None => None,
        };
        let room = if captures {
            self.limits.variable_bytes
        } else {
            0
        };
        for value in values {
            let value = value.as_ref();
            self.burn((value.len() + key.len()).saturating_mul(comparator.weight()))?;
            let found = match matcher.kind {
                MatchType::Is => comparator.same(value, key),
                MatchType::Contains => comparator.contains(value, key),
                MatchType::Value(relation) => relation.holds(comparator.order(value, key)),
                MatchType::Matches => {
                    let found = glob::matches(comparator, value, key, room, &mut self.fuel);
                    let found = found.map_err(|OutOfSteps| RunError::OutOfFuel)?;
                    self.caught(found, captures)
                }
                MatchType::Regex => match &mut search {
                    Some(search) => self.searched(search, value, room, captures)?,
                    None => false,
                },
                MatchType::Count(_) | MatchType::List => false,
            };
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The values as a comparator sees them, each folded once for all keys; none where that would take too much room.
    fn folded<'v, V: AsRef<str>>(
        &mut self,
        comparator: Comparator,
        values: &'v [V],
    ) -> Result<Option<Vec<Cow<'v, str>>>, RunError> {
        let octets = values.iter().map(|value| value.as_ref().len());
        let octets: usize = octets.sum();
        if octets > VALUES_BYTES_MAX {
            return Ok(None);
        }
        self.burn(octets.saturating_mul(comparator.weight()))?;
        let folded = values.iter().map(|value| comparator.folded(value.as_ref()));
        Ok(Some(folded.collect()))
    }

    /// Is this key in one of the values, which were folded?
    fn one_part(
        &mut self,
        comparator: Comparator,
        folded: &[Cow<'_, str>],
        key: &str,
    ) -> Result<bool, RunError> {
        self.burn(key.len().saturating_mul(comparator.weight()))?;
        let key = comparator.folded(key);
        let finder = memchr::memmem::Finder::new(key.as_bytes());
        for value in folded {
            // Looking for the same octets is faster than any other look.
            self.burn((value.len() + key.len()) / 4)?;
            if finder.find(value.as_bytes()).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn searched(
        &mut self,
        search: &mut Search<'_>,
        value: &str,
        room: usize,
        captures: bool,
    ) -> Result<bool, RunError> {
        // Bounded by the automaton's size, so that it may be paid behind it.
        let (told, work) = search.look(value);
        self.burn(work)?;
        match told {
            Some(false) => Ok(false),
            Some(true) if !captures => Ok(true),
            _ => {
                self.burn(search.expression().work(value))?;
                if !captures {
                    return Ok(search.expression().is_match(value));
                }
                let found = search.expression().captures(value, room);
                Ok(self.caught(found, captures))
            }
        }
    }

    /// What a match found is in the match variables from now on.
    fn caught(&mut self, found: Option<Captures>, captures: bool) -> bool {
        let matched = found.is_some();
        if let Some(found) = found.filter(|_| captures) {
            self.frame().matches = found;
        }
        matched
    }

    /// An expression that is compiled while the script runs; what a variable made of it may be none, and matches nothing.
    fn expression(&mut self, matcher: Matcher, text: &str) -> Result<Option<Expression>, RunError> {
        let all = 4 * REGEX_BYTES_MAX;
        let mut room = all;
        let built = Expression::read(matcher.comparator, text, &mut room);
        // Bounded by its size, so that it may be paid behind it.
        let text_octets = text.len().min(all) * REGEX_OCTET_STEPS * 64;
        self.burn((all - room) * REGEX_WEIGHT + text_octets)?;
        match built {
            Ok(built) => Ok(Some(built)),
            Err(why) => {
                self.trace(|| match why {
                    NoExpression::Wrong(why) => why,
                    NoExpression::NoRoom => "this regular expression is too large".into(),
                });
                Ok(None)
            }
        }
    }
}

/// A value as a trace quotes it.
fn shown(text: &str) -> String {
    format!("\"{}\"", short(text))
}

/// What a script says or names, as errors have it: they are in the log, on one line that is not endless.
fn short(text: &str) -> String {
    let mut out: String = text.chars().take(TRACE_CHARS_MAX).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out.escape_debug().to_string()
}

impl Run<'_, '_> {
    fn whole(&mut self, script: &Script) -> Result<(), RunError> {
        self.state.burn(self.state.fields.work())?;
        self.block(&script.block)?;
        if self.state.implicit_keep {
            self.state.version()?;
        }
        Ok(())
    }

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
                let text = self.state.expand(text)?;
                return Err(RunError::Said(short(&text)));
            }
            Command::Global(names) => {
                for name in names {
                    self.state.burn(0)?;
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
    fn keys<V: AsRef<str>>(
        &mut self,
        of: &Match,
        values: &[V],
        captures: bool,
    ) -> Result<bool, RunError> {
        let folded = match of.matcher.kind {
            MatchType::Contains if of.keys.len() > 1 => {
                self.state.folded(of.matcher.comparator, values)?
            }
            _ => None,
        };
        for (at, key) in of.keys.iter().enumerate() {
            let key = self.state.expand(key)?;
            let found = match (of.matcher.kind, &folded) {
                (MatchType::List, _) => self.in_list(&key, values)?,
                (_, Some(folded)) => self.state.one_part(of.matcher.comparator, folded, &key)?,
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

    fn in_list<V: AsRef<str>>(&mut self, list: &str, values: &[V]) -> Result<bool, RunError> {
        for value in values {
            let value = value.as_ref();
            self.state.burn(value.len())?;
            if self.world.list_has(list, value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
