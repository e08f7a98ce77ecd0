//! A script as it is run: checked, typed, its constant expressions compiled.

use crate::compare::{Expression, Matcher};
use crate::complaint::Position;
use crate::extension::Extensions;
use crate::text::{Name, Text};
use std::sync::Arc;

/// A compiled script. Cheap to share, the same for every message.
#[derive(Debug, Clone)]
pub struct Script {
    pub(crate) requires: Extensions,
    pub(crate) block: Block,
    pub(crate) weight: usize,
}

impl Script {
    /// The extensions that the script requires, or has asked for by `ihave`.
    #[must_use]
    pub fn requires(&self) -> Extensions {
        self.requires
    }

    /// Octets that it takes in memory, about: what to weigh it by in a cache.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }
}

pub(crate) type Block = Vec<Statement>;

#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub at: Position,
    pub what: Command,
}

#[derive(Debug, Clone)]
pub(crate) enum Command {
    If {
        branches: Vec<(Test, Block)>,
        otherwise: Block,
    },
    Stop,
    Keep {
        flags: Option<Vec<Text>>,
    },
    Discard,
    FileInto(Box<Target>),
    Redirect {
        address: Text,
        copy: bool,
        list: bool,
    },
    Reject {
        reason: Text,
        extended: bool,
    },
    Set {
        name: Name,
        modifiers: Vec<Modifier>,
        value: Text,
    },
    Flags {
        verb: FlagVerb,
        variable: Option<Text>,
        flags: Vec<Text>,
    },
    AddHeader {
        last: bool,
        name: Text,
        value: Text,
    },
    DeleteHeader(Box<DeleteHeader>),
    Include(Box<Include>),
    Return,
    Global(Vec<Name>),
    Vacation(Box<Vacation>),
    Notify(Box<Notify>),
    ForEveryPart {
        name: Option<Arc<str>>,
        block: Block,
    },
    Break(Option<Arc<str>>),
    ExtractText {
        first: Option<u64>,
        name: Name,
        modifiers: Vec<Modifier>,
    },
    Error(Text),
    Host(Box<HostUse>),
}

/// Where a message is filed, and how.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub mailbox: Text,
    pub copy: bool,
    pub create: bool,
    pub special_use: Option<Text>,
    pub flags: Option<Vec<Text>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlagVerb {
    Set,
    Add,
    Remove,
}

/// What `set` does with a value, by precedence (RFC 5229 §4.1, RFC 5435 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Modifier {
    Length,
    EncodeUrl,
    QuoteWildcard,
    QuoteRegex,
    LowerFirst,
    UpperFirst,
    Lower,
    Upper,
}

impl Modifier {
    pub(crate) fn precedence(self) -> u8 {
        match self {
            Self::Lower | Self::Upper => 40,
            Self::LowerFirst | Self::UpperFirst => 30,
            Self::QuoteWildcard | Self::QuoteRegex => 20,
            Self::EncodeUrl => 15,
            Self::Length => 10,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct DeleteHeader {
    pub index: Option<u64>,
    pub last: bool,
    pub name: Text,
    pub values: Option<Match>,
}

/// Whose script is included (RFC 6609 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Location {
    /// The account's own.
    Personal,
    /// One that is everybody's.
    Global,
}

#[derive(Debug, Clone)]
pub(crate) struct Include {
    pub location: Location,
    pub once: bool,
    pub optional: bool,
    pub name: Arc<str>,
}

#[derive(Debug, Clone)]
pub(crate) struct Vacation {
    pub seconds: Option<u64>,
    pub subject: Option<Text>,
    pub from: Option<Text>,
    pub addresses: Vec<Text>,
    pub mime: bool,
    pub handle: Option<Text>,
    pub reason: Text,
    pub fcc: Option<Target>,
}

#[derive(Debug, Clone)]
pub(crate) struct Notify {
    pub from: Option<Text>,
    pub importance: Option<Text>,
    pub options: Vec<Text>,
    pub message: Option<Text>,
    pub method: Text,
    pub fcc: Option<Target>,
}

#[derive(Debug, Clone)]
pub(crate) struct Test {
    pub at: Position,
    pub what: TestKind,
}

#[derive(Debug, Clone)]
pub(crate) enum TestKind {
    Known(bool),
    /// What `ihave` says: what stands behind it is only looked at where it is true.
    Ihave(bool),
    Not(Box<Test>),
    AllOf(Vec<Test>),
    AnyOf(Vec<Test>),
    Header(Box<HeaderTest>),
    Address(Box<HeaderTest>, AddressPart),
    Envelope {
        parts: Vec<Text>,
        part: AddressPart,
        of: Match,
    },
    Exists {
        names: Vec<Text>,
        mime: Option<MimeOption>,
    },
    Size {
        over: bool,
        limit: u64,
    },
    Text {
        texts: Vec<Text>,
        of: Match,
    },
    HasFlag {
        variables: Vec<Text>,
        of: Match,
    },
    Environment {
        item: Text,
        of: Match,
    },
    Date(Box<DateTest>),
    Body(Box<BodyTest>),
    MailboxExists(Vec<Text>),
    Metadata {
        /// None asks for the server's own.
        mailbox: Option<Text>,
        entry: Text,
        of: Match,
    },
    MetadataExists {
        mailbox: Option<Text>,
        entries: Vec<Text>,
    },
    SpecialUseExists {
        mailbox: Option<Text>,
        uses: Vec<Text>,
    },
    Duplicate(Box<Duplicate>),
    ValidNotifyMethod(Vec<Text>),
    NotifyMethodCapability {
        method: Text,
        capability: Text,
        of: Match,
    },
    SpamTest {
        percent: bool,
        of: Match,
    },
    VirusTest(Match),
    ValidExtList(Vec<Text>),
    Host(Box<HostUse>),
}

/// What values are compared with.
#[derive(Debug, Clone)]
pub(crate) struct Match {
    pub matcher: Matcher,
    pub keys: Vec<Text>,
    /// For `:regex`: those whose text is the same in every run.
    pub regexes: Vec<Option<Expression>>,
}

#[derive(Debug, Clone)]
pub(crate) struct HeaderTest {
    pub names: Vec<Text>,
    pub index: Option<u64>,
    pub last: bool,
    pub mime: Option<MimeOption>,
    pub of: Match,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum AddressPart {
    #[default]
    All,
    Local,
    Domain,
    User,
    Detail,
}

/// Which headers of parts are meant (RFC 5703 §4).
#[derive(Debug, Clone)]
pub(crate) struct MimeOption {
    pub any_child: bool,
    pub what: MimeField,
}

#[derive(Debug, Clone)]
pub(crate) enum MimeField {
    Whole,
    Type,
    Subtype,
    ContentType,
    Parameters(Vec<Text>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ZoneChoice {
    Local,
    Original,
    Minutes(i16),
}

#[derive(Debug, Clone)]
pub(crate) struct DateTest {
    /// None is `currentdate`.
    pub field: Option<Text>,
    pub index: Option<u64>,
    pub last: bool,
    pub zone: ZoneChoice,
    pub part: Text,
    pub of: Match,
}

#[derive(Debug, Clone)]
pub(crate) struct BodyTest {
    pub transform: BodyTransform,
    pub of: Match,
}

#[derive(Debug, Clone)]
pub(crate) enum BodyTransform {
    Raw,
    Content(Vec<Text>),
    Text,
}

#[derive(Debug, Clone)]
pub(crate) struct Duplicate {
    pub handle: Option<Text>,
    pub header: Option<Text>,
    pub unique: Option<Text>,
    pub seconds: Option<u64>,
    pub last: bool,
}

/// A command or test of the caller's own.
#[derive(Debug, Clone)]
pub(crate) struct HostUse {
    pub name: &'static str,
    pub tags: Vec<(&'static str, Option<HostArg>)>,
    pub args: Vec<HostArg>,
    pub matcher: Matcher,
    pub block: Option<Block>,
}

#[derive(Debug, Clone)]
pub(crate) enum HostArg {
    Number(u64),
    Texts(Vec<Text>),
}
