//! Scripts to what can be run: names are known, arguments are of their types, extensions are required.
//!
//! A compiler asks nobody: what depends on the account (mailboxes, included scripts) is seen when the script runs.

mod actions;
mod args;
mod mail_tests;
mod other_actions;
mod other_tests;

use crate::compare::{Comparator, Expression, MatchType, Matcher, NoExpression, Relation};
use crate::complaint::{Complaints, Position};
use crate::extension::{Extension, Extensions};
use crate::limits::{REGEX_BYTES_TOTAL_MAX, SCRIPT_BYTES_MAX, SCRIPT_WEIGHT};
use crate::script::{Block, Command, HostArg, HostUse, Match, Script, Statement, Test, TestKind};
use crate::syntax::{Arg, Node, parse};
use crate::text::Text;
pub use actions::is_script_name;
use args::Args;
pub(crate) use other_actions::is_uri;
use std::collections::HashSet;
use std::sync::Arc;

/// A command or test of the caller's own: see [`crate::World::command`].
#[derive(Debug, Clone, Copy)]
pub struct HostWord {
    /// In lower case.
    pub name: &'static str,
    /// A test, or else a command.
    pub is_test: bool,
    /// Does a block stand behind it?
    pub has_block: bool,
    /// Does it compare: match type and comparator are read for it?
    pub compares: bool,
    /// Tags, and whether a value follows each.
    pub tags: &'static [(&'static str, bool)],
    /// How many arguments it has besides, at least and at most.
    pub args: (usize, usize),
}

/// What scripts may use.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// These extensions.
    pub extensions: Extensions,
    /// Names that may be required besides.
    pub names: &'static [&'static str],
    /// Commands and tests of the caller's own; they need nothing to be required.
    pub words: &'static [HostWord],
    /// Where scripts run so, for whoever asks for more.
    pub place: &'static str,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            extensions: Extensions::offered(),
            names: &[],
            words: &[],
            place: "here",
        }
    }
}

impl Offer {
    /// What scripts may use behind IMAP commands (RFC 6785): `ihave` tells it, and what asks for more does not compile.
    #[must_use]
    pub fn behind_commands() -> Self {
        Self {
            extensions: Extensions::behind_commands(),
            place: "behind an IMAP command",
            ..Self::default()
        }
    }
}

/// Checks and compiles a script.
///
/// # Errors
/// Everything that is wrong with it.
pub fn compile(source: &str, offer: &Offer) -> Result<Script, Complaints> {
    let mut complaints = Complaints::default();
    if source.len() > SCRIPT_BYTES_MAX {
        let at = Position { line: 1, column: 1 };
        complaints.push(
            at,
            format!("scripts have at most {SCRIPT_BYTES_MAX} octets"),
        );
        return Err(complaints);
    }
    // RFC 5228 §2.1: UTF-8; editors put a mark before it.
    let text = source.strip_prefix('\u{feff}').unwrap_or(source);
    let nodes = parse(text, &mut complaints);
    let mut compiler = Compiler {
        offer,
        requires: Extensions::NONE,
        loops: Vec::new(),
        told: HashSet::new(),
        regex_room: REGEX_BYTES_TOTAL_MAX,
        complaints: &mut complaints,
    };
    let block = compiler.script(&nodes);
    let requires = compiler.requires;
    let weight = source.len() * SCRIPT_WEIGHT + REGEX_BYTES_TOTAL_MAX - compiler.regex_room;
    if !complaints.is_empty() {
        return Err(complaints.in_order());
    }
    Ok(Script {
        requires,
        block,
        weight,
    })
}

struct Compiler<'a> {
    offer: &'a Offer,
    requires: Extensions,
    /// Names of the loops over parts that the code stands in.
    loops: Vec<Option<Arc<str>>>,
    /// Unknown names that were complained of.
    told: HashSet<String>,
    /// Octets that regular expressions may still take.
    regex_room: usize,
    complaints: &'a mut Complaints,
}

impl Compiler<'_> {
    fn complain(&mut self, at: Position, what: impl Into<String>) {
        self.complaints.push(at, what);
    }

    fn has(&self, extension: Extension) -> bool {
        self.requires.has(extension)
    }

    fn script(&mut self, nodes: &[Node]) -> Block {
        let mut rest = nodes;
        // RFC 5228 §3.2: "require" must be before all other commands.
        while let Some((first, behind)) = rest.split_first()
            && first.name == "require"
        {
            self.require(first);
            rest = behind;
        }
        // RFC 5703 §7: outside of a loop there is nothing to extract from.
        if self.has(Extension::ExtractText) && !self.has(Extension::ForEveryPart) {
            let at = nodes
                .first()
                .map_or(Position { line: 1, column: 1 }, |node| node.at);
            self.complain(at, "\"extracttext\" is of no use without \"foreverypart\"");
        }
        self.block(rest)
    }

    fn require(&mut self, node: &Node) {
        let mut args = self.args(node, "command");
        self.only_arguments(node);
        let Some([names]) = args.rest(self) else {
            return;
        };
        let Some(names) = args::plain_texts(self, &names) else {
            return;
        };
        for (at, name) in names {
            match Extension::of_name(&name).filter(|one| self.offer.extensions.has(*one)) {
                Some(extension) => self.require_one(extension),
                None if self.offer.names.contains(&name.as_str()) => {}
                None => {
                    let name: String = name.chars().take(60).collect();
                    let place = self.offer.place;
                    self.complain(
                        at,
                        format!("no extension \"{}\" {place}", name.escape_debug()),
                    );
                }
            }
        }
        // RFC 6785 §3.11
        if self.has(Extension::ImapSieve)
            && let Some(one) = Extension::OF_DELIVERY
                .into_iter()
                .find(|one| self.has(*one))
        {
            let what = format!(
                "\"{}\" is for mail that is delivered, \"imapsieve\" for mail that was",
                one.name()
            );
            self.complain(node.at, what);
        }
    }

    fn require_one(&mut self, extension: Extension) {
        self.requires = self.requires.with(extension);
        // RFC 6131 §2, RFC 5235 §2.1 and RFC 5703 §3: these bring the extensions they stand on.
        match extension {
            Extension::VacationSeconds => self.requires = self.requires.with(Extension::Vacation),
            Extension::SpamTestPlus => self.requires = self.requires.with(Extension::SpamTest),
            _ => {}
        }
    }

    fn block(&mut self, nodes: &[Node]) -> Block {
        let mut out: Block = Vec::with_capacity(nodes.len());
        let mut at = 0;
        while let Some(node) = nodes.get(at).filter(|_| !self.complaints.is_full()) {
            at += 1;
            let what = match node.name.as_str() {
                "if" => {
                    let behind = nodes[at..].iter();
                    let more = behind
                        .take_while(|node| matches!(node.name.as_str(), "elsif" | "else"))
                        .count();
                    let chain = &nodes[at - 1..at + more];
                    at += more;
                    self.choice(chain)
                }
                _ => self.command(node),
            };
            out.extend(what.map(|what| Statement { at: node.at, what }));
        }
        out
    }

    /// RFC 5228 §3.1: `if`, then any number of `elsif`, then perhaps `else`.
    fn choice(&mut self, chain: &[Node]) -> Option<Command> {
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        let mut ended = false;
        for node in chain {
            if ended {
                let what = format!("\"{}\" stands behind \"else\"", node.name);
                self.complain(node.at, what);
                return None;
            }
            let tested = node.name != "else";
            ended = !tested;
            let well = self.shape(node, tested);
            let Some(block) = &node.block else {
                continue;
            };
            if !tested {
                otherwise = self.block(block);
                continue;
            }
            let test = node
                .tests
                .first()
                .filter(|_| well)
                .and_then(|test| self.test(test));
            // RFC 5463 §4: what stands behind an `ihave` that does not hold may use what is not known here.
            if let Some(Test {
                what: TestKind::Ihave(false),
                ..
            }) = test
            {
                continue;
            }
            let block = self.block(block);
            branches.extend(test.map(|test| (test, block)));
        }
        Some(Command::If {
            branches,
            otherwise,
        })
    }

    /// Has a control structure its test and its block, and nothing else?
    fn shape(&mut self, node: &Node, tested: bool) -> bool {
        let name = &node.name;
        let what = if let Some(arg) = node.args.first() {
            Some((arg.at, format!("\"{name}\" has no arguments of its own")))
        } else if tested && (node.tests.len() != 1 || node.bracketed) {
            Some((
                node.tests_at.unwrap_or(node.at),
                format!("\"{name}\" has one test"),
            ))
        } else if !tested && !node.tests.is_empty() {
            Some((
                node.tests_at.unwrap_or(node.at),
                format!("\"{name}\" has no test"),
            ))
        } else if node.block.is_none() {
            Some((node.at, format!("\"{name}\" has a block")))
        } else {
            None
        };
        let well = what.is_none();
        if let Some((at, what)) = what {
            self.complain(at, what);
        }
        well
    }

    fn args<'n>(&self, node: &'n Node, kind: &'static str) -> Args<'n> {
        Args::new(node, kind)
    }

    /// A command that has neither tests nor a block.
    fn only_arguments(&mut self, node: &Node) -> bool {
        if let Some(at) = node.tests_at {
            self.complain(at, format!("the \"{}\" command has no tests", node.name));
            return false;
        }
        if node.block.is_some() {
            self.complain(
                node.at,
                format!("the \"{}\" command has no block", node.name),
            );
            return false;
        }
        true
    }

    fn command(&mut self, node: &Node) -> Option<Command> {
        let name = node.name.as_str();
        if let Some(word) = self
            .offer
            .words
            .iter()
            .find(|word| word.name == name && !word.is_test)
        {
            return self
                .host(word, node)
                .map(|host| Command::Host(Box::new(host)));
        }
        if matches!(name, "elsif" | "else") {
            self.complain(node.at, format!("\"{name}\" stands behind no \"if\""));
            return None;
        }
        if name == "require" {
            self.complain(node.at, "\"require\" stands before all other commands");
            return None;
        }
        if self.is_test(name) {
            self.complain(
                node.at,
                format!("attempted to use test '{name}' as a command"),
            );
            return None;
        }
        if name == "foreverypart" && self.has(Extension::ForEveryPart) {
            return self.for_every_part(node);
        }
        let Some(needs) = actions::needs(name) else {
            self.unknown(node, "command");
            return None;
        };
        if !needs.is_empty() && !needs.iter().any(|one| self.has(*one)) {
            self.not_required(node, needs[0]);
            return None;
        }
        if !self.only_arguments(node) {
            return None;
        }
        let mut args = self.args(node, "command");
        self.action(node, &mut args)
    }

    /// A name that is unknown is told once.
    fn unknown(&mut self, node: &Node, kind: &str) {
        let said = format!("unknown {kind} \"{}\"", node.name);
        if self.told.insert(said.clone()) {
            self.complain(node.at, said);
        }
    }

    fn not_required(&mut self, node: &Node, extension: Extension) {
        let extension = extension.name();
        let said = format!("\"{}\" needs: require \"{extension}\";", node.name);
        if self.told.insert(said.clone()) {
            self.complain(node.at, said);
        }
    }

    fn is_test(&self, name: &str) -> bool {
        mail_tests::needs(name).is_some() || other_tests::needs(name).is_some()
    }

    fn test(&mut self, node: &Node) -> Option<Test> {
        let name = node.name.as_str();
        let at = node.at;
        if let Some(word) = self
            .offer
            .words
            .iter()
            .find(|word| word.name == name && word.is_test)
        {
            let host = self.host(word, node)?;
            let what = TestKind::Host(Box::new(host));
            return Some(Test { at, what });
        }
        let needs = mail_tests::needs(name).or_else(|| other_tests::needs(name));
        let Some(needs) = needs else {
            if actions::needs(name).is_some() || matches!(name, "if" | "elsif" | "else" | "require")
            {
                self.complain(at, format!("attempted to use command '{name}' as a test"));
            } else {
                self.unknown(node, "test");
            }
            return None;
        };
        if !needs.is_empty() && !needs.iter().any(|one| self.has(*one)) {
            self.not_required(node, needs[0]);
            return None;
        }
        let takes_tests = matches!(name, "not" | "allof" | "anyof");
        if !takes_tests && let Some(at) = node.tests_at {
            self.complain(
                at,
                format!("the {name} test accepts no sub-tests, but some are specified"),
            );
            return None;
        }
        let what = if takes_tests {
            self.combined(node)?
        } else if mail_tests::needs(name).is_some() {
            self.mail_test(node)?
        } else {
            self.other_test(node)?
        };
        Some(Test { at, what })
    }

    fn combined(&mut self, node: &Node) -> Option<TestKind> {
        let name = node.name.as_str();
        if let Some(arg) = node.args.first() {
            self.complain(arg.at, format!("\"{name}\" has tests, no arguments"));
            return None;
        }
        if name == "not" {
            if node.tests.len() != 1 || node.bracketed {
                self.complain(node.at, "\"not\" has one test");
                return None;
            }
            let test = self.test(&node.tests[0])?;
            return Some(match test.what {
                TestKind::Ihave(value) => TestKind::Ihave(!value),
                _ => TestKind::Not(Box::new(test)),
            });
        }
        if !node.bracketed {
            self.complain(node.at, format!("\"{name}\" has tests in brackets"));
            return None;
        }
        let all = name == "allof";
        let mut tests = Vec::new();
        let mut well = true;
        for test in &node.tests {
            match self.test(test) {
                // RFC 5463 §4: tests behind an `ihave` that decides are not looked at.
                Some(Test {
                    what: TestKind::Ihave(value),
                    ..
                }) if value != all => {
                    return well.then_some(TestKind::Ihave(value));
                }
                Some(test) => tests.push(test),
                None => well = false,
            }
        }
        match well {
            false => None,
            true if all => Some(TestKind::AllOf(tests)),
            true => Some(TestKind::AnyOf(tests)),
        }
    }

    /// The tags that say how a test compares, and its keys later.
    fn matcher(&mut self, args: &mut Args<'_>) -> Option<Matcher> {
        let mut matcher = Matcher::default();
        let mut chosen: Option<&str> = None;
        let relational = self.has(Extension::Relational);
        let kinds: [(&'static str, bool); 7] = [
            ("is", true),
            ("contains", true),
            ("matches", true),
            ("regex", self.has(Extension::Regex)),
            ("list", self.has(Extension::ExtLists)),
            ("value", relational),
            ("count", relational),
        ];
        for (name, known) in kinds {
            if !known {
                continue;
            }
            let relation = matches!(name, "value" | "count");
            let (at, value) = match relation {
                true => match args.value(self, name)? {
                    Some((at, arg)) => (at, Some(arg)),
                    None => continue,
                },
                false => match args.flag(self, name)? {
                    Some(at) => (at, None),
                    None => continue,
                },
            };
            if let Some(before) = chosen {
                self.complain(
                    at,
                    format!("\":{before}\" and \":{name}\" exclude each other"),
                );
                return None;
            }
            chosen = Some(name);
            matcher.kind = match name {
                "is" => MatchType::Is,
                "contains" => MatchType::Contains,
                "matches" => MatchType::Matches,
                "regex" => MatchType::Regex,
                "list" => MatchType::List,
                _ => {
                    let text = args::plain_text(self, &value?)?;
                    let Some(relation) = Relation::of_name(&text) else {
                        self.complain(at, format!("\":{name}\" asks for gt, ge, lt, le, eq or ne"));
                        return None;
                    };
                    if name == "value" {
                        MatchType::Value(relation)
                    } else {
                        MatchType::Count(relation)
                    }
                }
            };
        }
        matcher.comparator = self.comparator(args)?;
        let numeric = matcher.comparator == Comparator::AsciiNumeric;
        // RFC 4790 §9.1.1: it knows equality and order, no parts of strings.
        if numeric
            && matches!(
                matcher.kind,
                MatchType::Contains | MatchType::Matches | MatchType::Regex
            )
        {
            let what = format!(
                "\"i;ascii-numeric\" does not know \":{}\"",
                chosen.unwrap_or_default()
            );
            self.complain(args.at(), what);
            return None;
        }
        Some(matcher)
    }

    fn comparator(&mut self, args: &mut Args<'_>) -> Option<Comparator> {
        let Some((at, arg)) = args.value(self, "comparator")? else {
            return Some(Comparator::default());
        };
        let name = args::plain_text(self, &arg)?;
        let Some(comparator) = Comparator::of_name(&name) else {
            self.complain(
                at,
                format!("unknown comparator \"{}\"", name.escape_debug()),
            );
            return None;
        };
        // RFC 5228 §2.7.3: these two need no "require".
        let needs = match comparator {
            Comparator::AsciiNumeric => Some(Extension::AsciiNumeric),
            Comparator::UnicodeCasemap => Some(Extension::UnicodeCasemap),
            _ => None,
        };
        if let Some(needs) = needs.filter(|one| !self.has(*one)) {
            self.complain(
                at,
                format!("this comparator needs: require \"{}\";", needs.name()),
            );
            return None;
        }
        Some(comparator)
    }

    fn keys(&mut self, matcher: Matcher, arg: &Arg) -> Option<Match> {
        let keys = self.texts(arg)?;
        let mut regexes = Vec::new();
        if matcher.kind == MatchType::Regex {
            for key in &keys {
                let room = &mut self.regex_room;
                let compiled = key
                    .constant()
                    .map(|text| Expression::read(matcher.comparator, text, room))
                    .transpose();
                let what = match compiled {
                    Ok(compiled) => {
                        regexes.push(compiled);
                        continue;
                    }
                    Err(NoExpression::Wrong(what)) => what,
                    Err(NoExpression::NoRoom) => {
                        let what = "the regular expressions of this script are too large together";
                        if !self.told.insert(what.into()) {
                            return None;
                        }
                        what.into()
                    }
                };
                self.complain(arg.at, what);
                return None;
            }
        }
        Some(Match {
            matcher,
            keys,
            regexes,
        })
    }

    fn text(&mut self, arg: &Arg) -> Option<Text> {
        let text = args::plain_text(self, arg)?;
        self.read(arg.at, text)
    }

    fn read(&mut self, at: Position, text: String) -> Option<Text> {
        match Text::read(text, self.requires) {
            Ok(text) => Some(text),
            Err(what) => {
                self.complain(at, what);
                None
            }
        }
    }

    fn texts(&mut self, arg: &Arg) -> Option<Vec<Text>> {
        let texts = args::plain_texts(self, arg)?;
        texts
            .into_iter()
            .map(|(at, text)| self.read(at, text))
            .collect()
    }

    fn host(&mut self, word: &HostWord, node: &Node) -> Option<HostUse> {
        let kind = if word.is_test { "test" } else { "command" };
        let mut args = self.args(node, kind);
        let matcher = if word.compares {
            self.matcher(&mut args)?
        } else {
            Matcher::default()
        };
        let mut tags = Vec::new();
        for (name, has_value) in word.tags {
            if *has_value {
                if let Some((_, arg)) = args.value(self, name)? {
                    tags.push((*name, Some(self.host_arg(&arg)?)));
                }
            } else if args.flag(self, name)?.is_some() {
                tags.push((*name, None));
            }
        }
        let rest = args.between(self, word.args)?;
        let rest: Option<Vec<HostArg>> = rest.iter().map(|arg| self.host_arg(arg)).collect();
        let block = match (&node.block, word.has_block) {
            (Some(block), true) => Some(self.block(block)),
            (None, false) => None,
            _ => {
                self.complain(
                    node.at,
                    format!("a block is missing or too many of \"{}\"", word.name),
                );
                return None;
            }
        };
        Some(HostUse {
            name: word.name,
            tags,
            args: rest?,
            matcher,
            block,
        })
    }

    fn host_arg(&mut self, arg: &Arg) -> Option<HostArg> {
        match &arg.value {
            crate::syntax::ArgValue::Number(number) => Some(HostArg::Number(*number)),
            _ => self.texts(arg).map(HostArg::Texts),
        }
    }
}
