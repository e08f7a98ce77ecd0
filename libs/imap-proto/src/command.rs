//! What a client can ask for (RFC 9051 §6). Search keys are in [`crate::search`],
//! fetch items in [`crate::fetch`]; how they are read is in `parse`.

use crate::chars::is_tag_char;
use crate::date::DateTime;
use crate::fetch::FetchCommand;
use crate::flag::Flag;
use crate::limits::TAG_BYTES_MAX;
use crate::list_pattern::ListPattern;
use crate::mailbox_name::MailboxName;
use crate::notify::NotifySet;
use crate::search::{MultiSearchCommand, ResultRange, SearchCommand, SearchKey};
use crate::sequence::{Ranges, SequenceSet};
use crate::sort::{SortCommand, ThreadCommand};
use std::fmt;
use std::num::NonZeroU32;

/// A command's tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(Box<str>);

impl Tag {
    /// `tag = 1*<any ASTRING-CHAR except "+">`
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let valid = !bytes.is_empty()
            && bytes.len() <= TAG_BYTES_MAX
            && bytes.iter().copied().all(is_tag_char);
        valid.then(|| Self(String::from_utf8_lossy(bytes).into()))
    }

    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A whole command but APPEND and REPLACE, whose head comes as [`AppendHead`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// CAPABILITY
    Capability,
    /// NOOP
    Noop,
    /// LOGOUT
    Logout,
    /// STARTTLS
    StartTls,
    /// AUTHENTICATE, with the initial response of SASL-IR (RFC 4959).
    Authenticate {
        /// In capitals.
        mechanism: String,
        /// Still in base64; `=` is an empty one.
        initial: Option<Vec<u8>>,
    },
    /// LOGIN
    Login {
        /// Not checked to be anything.
        user: String,
        /// Bytes as sent.
        password: Vec<u8>,
    },
    /// ENABLE, the names in capitals (RFC 5161).
    Enable(Vec<String>),
    /// SELECT
    Select(SelectCommand),
    /// EXAMINE
    Examine(SelectCommand),
    /// CREATE, with USE of RFC 6154 §3.
    Create {
        /// Checked to hold no wildcard.
        mailbox: MailboxName,
        /// At most one of each.
        special_use: Vec<SpecialUse>,
    },
    /// DELETE
    Delete(MailboxName),
    /// RENAME
    Rename {
        /// The old name.
        from: MailboxName,
        /// The new name, checked to hold no wildcard.
        to: MailboxName,
    },
    /// SUBSCRIBE
    Subscribe(MailboxName),
    /// UNSUBSCRIBE
    Unsubscribe(MailboxName),
    /// LIST
    List(ListCommand),
    /// LSUB (RFC 3501 §6.3.9)
    Lsub(ListPattern),
    /// NAMESPACE
    Namespace,
    /// GETQUOTA (RFC 9208 §4.1.2): the root's name, which is checked to be nothing.
    GetQuota(Vec<u8>),
    /// SETQUOTA (RFC 9208 §4.1.1).
    SetQuota {
        /// The root's name, which is checked to be nothing.
        root: Vec<u8>,
        /// Resources in capitals, not checked to be any, with their limits.
        limits: Vec<(String, u64)>,
    },
    /// GETQUOTAROOT (RFC 9208 §4.1.3); the mailbox need not be there.
    GetQuotaRoot(MailboxName),
    /// STATUS
    Status {
        /// Of which mailbox.
        mailbox: MailboxName,
        /// At least one item.
        items: Vec<StatusItem>,
    },
    /// IDLE
    Idle,
    /// CHECK (RFC 3501 §6.4.1)
    Check,
    /// UNAUTHENTICATE (RFC 8437)
    Unauthenticate,
    /// COMPRESS (RFC 4978), the algorithm in capitals.
    Compress(String),
    /// ESEARCH (RFC 7377)
    MultiSearch(MultiSearchCommand),
    /// CLOSE
    Close,
    /// GETJMAPACCESS (RFC 9698)
    GetJmapAccess,
    /// UNSELECT
    Unselect,
    /// EXPUNGE, or UID EXPUNGE with its set.
    Expunge(Option<SequenceSet>),
    /// SEARCH and UID SEARCH
    Search(SearchCommand),
    /// SORT and UID SORT (RFC 5256)
    Sort(SortCommand),
    /// THREAD and UID THREAD (RFC 5256)
    Thread(ThreadCommand),
    /// FETCH and UID FETCH
    Fetch(FetchCommand),
    /// STORE and UID STORE
    Store(StoreCommand),
    /// COPY and UID COPY
    Copy {
        /// UIDs or sequence numbers.
        uid: bool,
        /// Which messages.
        set: SequenceSet,
        /// Where to.
        mailbox: MailboxName,
    },
    /// MOVE and UID MOVE
    Move {
        /// UIDs or sequence numbers.
        uid: bool,
        /// Which messages.
        set: SequenceSet,
        /// Where to.
        mailbox: MailboxName,
    },
    /// ID: the client's fields, if it gives any (RFC 2971).
    Id(Vec<(String, Option<String>)>),
    /// GETMETADATA (RFC 5464 §4.2)
    GetMetadata(GetMetadata),
    /// SETMETADATA (RFC 5464 §4.3)
    SetMetadata {
        /// None is the server.
        mailbox: Option<MailboxName>,
        /// Names in lower case; at least one. Without a value one goes.
        values: Vec<(String, Option<Vec<u8>>)>,
    },
    /// UIDBATCHES
    UidBatches {
        /// Messages of a batch.
        size: NonZeroU32,
        /// Which batches; all if none are named.
        range: Option<ResultRange>,
    },
    /// LANGUAGE (RFC 5255 §3.2): ranges in their order; none asks for what there is.
    Language(Vec<String>),
    /// COMPARATOR (RFC 5255 §4.7): names with wildcards, in their order; none asks for the one in use.
    Comparator(Vec<String>),
    /// NOTIFY (RFC 5465); none for NONE.
    Notify(Option<NotifySet>),
    /// CANCELUPDATE (RFC 5267 §4.3.5): the tags of searches.
    CancelUpdate(Vec<Vec<u8>>),
    /// SETACL (RFC 4314 §3.1)
    SetAcl {
        /// Which mailbox.
        mailbox: MailboxName,
        /// Whose rights, as it was written.
        identifier: String,
        /// What to do with them.
        change: AclChange,
        /// Letters, not checked to be rights.
        rights: Vec<u8>,
    },
    /// DELETEACL (RFC 4314 §3.2)
    DeleteAcl {
        /// Which mailbox.
        mailbox: MailboxName,
        /// Whose rights, as it was written.
        identifier: String,
    },
    /// GETACL (RFC 4314 §3.3)
    GetAcl(MailboxName),
    /// LISTRIGHTS (RFC 4314 §3.4)
    ListRights {
        /// Which mailbox.
        mailbox: MailboxName,
        /// Whose rights, as it was written.
        identifier: String,
    },
    /// MYRIGHTS (RFC 4314 §3.5)
    MyRights(MailboxName),
    /// GENURLAUTH (RFC 4467 §8): at least one.
    GenUrlAuth(Vec<UrlRump>),
    /// URLFETCH (RFC 4467 §8, RFC 5524 §3): at least one.
    UrlFetch(Vec<UrlFetch>),
    /// RESETKEY (RFC 4467 §8).
    ResetKey {
        /// Whose key; all mailboxes' where none is named.
        mailbox: Option<MailboxName>,
        /// In capitals.
        mechanisms: Vec<String>,
    },
}

/// What SETACL does with its rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclChange {
    /// These and no others.
    Replace,
    /// These as well.
    Add,
    /// Not these.
    Remove,
}

/// GETMETADATA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetMetadata {
    /// None is the server.
    pub mailbox: Option<MailboxName>,
    /// In lower case; at least one.
    pub entries: Vec<String>,
    /// How far below them.
    pub depth: MetadataDepth,
    /// Longer values are left out.
    pub size_max: Option<u64>,
}

/// DEPTH of GETMETADATA (RFC 5464 §4.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataDepth {
    /// The entries themselves.
    Zero,
    /// And what is right below them.
    One,
    /// And all that is below them.
    Infinity,
}

/// A URL to be authorized. It is not checked to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlRump {
    /// As it was written.
    pub url: String,
    /// In capitals.
    pub mechanism: String,
}

/// A URL to be fetched. It is not checked to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlFetch {
    /// As it was written.
    pub url: String,
    /// What of it in the form of RFC 5524, each once; none in the form of RFC 4467.
    pub items: Option<Vec<UrlFetchItem>>,
}

/// What URLFETCH can give (RFC 5524 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlFetchItem {
    /// BODY: as it stands in the message.
    Body,
    /// BINARY: with its transfer encoding undone.
    Binary,
    /// BODYPARTSTRUCTURE
    BodyPartStructure,
}

impl Command {
    /// The search that is a part of it.
    pub fn search_key(&mut self) -> Option<&mut SearchKey> {
        match self {
            Self::Search(search) => Some(&mut search.key),
            Self::Sort(sort) => Some(&mut sort.key),
            Self::Thread(thread) => Some(&mut thread.key),
            Self::MultiSearch(search) => Some(&mut search.key),
            _ => None,
        }
    }

    /// The command's name, for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Capability => "CAPABILITY",
            Self::Noop => "NOOP",
            Self::Logout => "LOGOUT",
            Self::StartTls => "STARTTLS",
            Self::Authenticate { .. } => "AUTHENTICATE",
            Self::Login { .. } => "LOGIN",
            Self::Enable(_) => "ENABLE",
            Self::Select(_) => "SELECT",
            Self::Examine(_) => "EXAMINE",
            Self::Create { .. } => "CREATE",
            Self::Delete(_) => "DELETE",
            Self::Rename { .. } => "RENAME",
            Self::Subscribe(_) => "SUBSCRIBE",
            Self::Unsubscribe(_) => "UNSUBSCRIBE",
            Self::List(_) => "LIST",
            Self::Lsub(_) => "LSUB",
            Self::Namespace => "NAMESPACE",
            Self::GetQuota(_) => "GETQUOTA",
            Self::SetQuota { .. } => "SETQUOTA",
            Self::GetQuotaRoot(_) => "GETQUOTAROOT",
            Self::Status { .. } => "STATUS",
            Self::Idle => "IDLE",
            Self::Check => "CHECK",
            Self::Unauthenticate => "UNAUTHENTICATE",
            Self::Compress(_) => "COMPRESS",
            Self::MultiSearch(_) => "ESEARCH",
            Self::Close => "CLOSE",
            Self::GetJmapAccess => "GETJMAPACCESS",
            Self::Unselect => "UNSELECT",
            Self::Expunge(_) => "EXPUNGE",
            Self::Search(_) => "SEARCH",
            Self::Sort(_) => "SORT",
            Self::Thread(_) => "THREAD",
            Self::Fetch(_) => "FETCH",
            Self::Store(_) => "STORE",
            Self::Copy { .. } => "COPY",
            Self::Move { .. } => "MOVE",
            Self::Id(_) => "ID",
            Self::GetMetadata(_) => "GETMETADATA",
            Self::SetMetadata { .. } => "SETMETADATA",
            Self::UidBatches { .. } => "UIDBATCHES",
            Self::Language(_) => "LANGUAGE",
            Self::Comparator(_) => "COMPARATOR",
            Self::Notify(_) => "NOTIFY",
            Self::CancelUpdate(_) => "CANCELUPDATE",
            Self::SetAcl { .. } => "SETACL",
            Self::DeleteAcl { .. } => "DELETEACL",
            Self::GetAcl(_) => "GETACL",
            Self::ListRights { .. } => "LISTRIGHTS",
            Self::MyRights(_) => "MYRIGHTS",
            Self::GenUrlAuth(_) => "GENURLAUTH",
            Self::UrlFetch(_) => "URLFETCH",
            Self::ResetKey { .. } => "RESETKEY",
        }
    }
}

/// SELECT and EXAMINE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectCommand {
    /// Which mailbox.
    pub mailbox: MailboxName,
    /// `(CONDSTORE)` was given (RFC 7162 §3.1.8).
    pub condstore: bool,
    /// `(QRESYNC (…))` was given (RFC 7162 §3.2.5).
    pub qresync: Option<Qresync>,
}

/// What a client remembers of a mailbox (RFC 7162 §3.2.5). Nothing of it is
/// checked to be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qresync {
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// HIGHESTMODSEQ.
    pub modseq: u64,
    /// The UIDs that it knows; all that there can be if it says nothing.
    pub known: Option<Ranges>,
    /// Sequence numbers and the UIDs that they had, one for one.
    pub matches: Option<(Ranges, Ranges)>,
}

/// What precedes the first literal of an APPEND or REPLACE, or all of one whose
/// messages are made of URLs alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendHead {
    /// The command's tag.
    pub tag: Tag,
    /// Where to.
    pub mailbox: MailboxName,
    /// REPLACE (RFC 8508): what the message takes the place of.
    pub replaced: Option<Replaced>,
    /// What the first messages are made of, at least one.
    pub parts: Vec<AppendPart>,
}

/// The message that REPLACE replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced {
    /// A UID, or a sequence number.
    pub uid: bool,
    /// None is `*`, the last.
    pub number: Option<NonZeroU32>,
}

/// What messages are made of, in the order in which it comes: a `Begin`, any of the
/// others, an `End`, and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendPart {
    /// A message begins.
    Begin {
        /// Flags to set.
        flags: Vec<Flag>,
        /// INTERNALDATE to set.
        date: Option<DateTime>,
    },
    /// CATENATE (RFC 4469): the octets that this URL names. It is not checked to be one.
    Url(String),
    /// The literal that follows is the message; always the last before it.
    Message,
    /// UTF8 (RFC 9755 §4): as `Message`, with headers that may hold UTF-8.
    Utf8Message,
    /// CATENATE: the octets of the literal that follows; always the last before it.
    Text,
    /// The message is whole.
    End,
}

/// STORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreCommand {
    /// UIDs or sequence numbers.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// UNCHANGEDSINCE of RFC 7162 §3.1.3.
    pub unchanged_since: Option<u64>,
    /// What to do with the flags.
    pub action: StoreAction,
    /// `.SILENT`
    pub silent: bool,
    /// The flags named.
    pub flags: Vec<Flag>,
}

/// What STORE does with its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreAction {
    /// FLAGS
    Replace,
    /// +FLAGS
    Add,
    /// -FLAGS
    Remove,
}

/// LIST with the options of RFC 9051 §6.3.9.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListCommand {
    /// Options in front of the reference, RECURSIVEMATCH among them only with another.
    pub selection: Vec<SelectionOption>,
    /// The patterns, each with the reference in front; empty ones count for nothing.
    pub patterns: Vec<ListPattern>,
    /// Options behind RETURN.
    pub returns: Vec<ReturnOption>,
    /// Any of the extended forms was used.
    pub extended: bool,
    /// `LIST "" ""`: the client asks for the separator (RFC 9051 §6.3.9).
    pub asks_separator: bool,
}

/// Which names LIST chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectionOption {
    /// Subscribed names, existing or not.
    Subscribed,
    /// Also remote ones: there are none.
    Remote,
    /// Also those whose children match.
    RecursiveMatch,
    /// Those with a special use (RFC 6154).
    SpecialUse,
}

/// What LIST tells about each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReturnOption {
    /// `\Subscribed`
    Subscribed,
    /// `\HasChildren` or `\HasNoChildren`
    Children,
    /// The special use.
    SpecialUse,
    /// An untagged STATUS (RFC 5819).
    Status(Vec<StatusItem>),
    /// An untagged MYRIGHTS (RFC 8440).
    MyRights,
    /// An untagged METADATA of these entries, in lower case (RFC 9590).
    Metadata(Vec<String>),
}

/// Items of STATUS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusItem {
    /// MESSAGES
    Messages,
    /// UIDNEXT
    UidNext,
    /// UIDVALIDITY
    UidValidity,
    /// UNSEEN
    Unseen,
    /// DELETED
    Deleted,
    /// DELETED-STORAGE (RFC 9208 §4.1.4)
    DeletedStorage,
    /// SIZE
    Size,
    /// RECENT (RFC 3501), always 0.
    Recent,
    /// HIGHESTMODSEQ (RFC 7162)
    HighestModSeq,
    /// APPENDLIMIT (RFC 7889)
    AppendLimit,
    /// MAILBOXID (RFC 8474 §4.3)
    MailboxId,
}

impl StatusItem {
    pub(crate) const ALL: [Self; 11] = [
        Self::Messages,
        Self::UidNext,
        Self::UidValidity,
        Self::Unseen,
        Self::Deleted,
        Self::DeletedStorage,
        Self::Size,
        Self::Recent,
        Self::HighestModSeq,
        Self::AppendLimit,
        Self::MailboxId,
    ];

    /// Its name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "MESSAGES",
            Self::UidNext => "UIDNEXT",
            Self::UidValidity => "UIDVALIDITY",
            Self::Unseen => "UNSEEN",
            Self::Deleted => "DELETED",
            Self::DeletedStorage => "DELETED-STORAGE",
            Self::Size => "SIZE",
            Self::Recent => "RECENT",
            Self::HighestModSeq => "HIGHESTMODSEQ",
            Self::AppendLimit => "APPENDLIMIT",
            Self::MailboxId => "MAILBOXID",
        }
    }
}

/// The uses of RFC 6154 §2 and of later registrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    /// `\All`
    All,
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Flagged`
    Flagged,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
    /// `\Important` (RFC 8457)
    Important,
    /// `\Snoozed` (draft-ietf-mailmaint-messageflag-mailboxattribute, as the next two)
    Snoozed,
    /// `\Scheduled`
    Scheduled,
    /// `\Memos`
    Memos,
}

impl SpecialUse {
    pub(crate) const ALL_USES: [Self; 11] = [
        Self::All,
        Self::Archive,
        Self::Drafts,
        Self::Flagged,
        Self::Junk,
        Self::Sent,
        Self::Trash,
        Self::Important,
        Self::Snoozed,
        Self::Scheduled,
        Self::Memos,
    ];

    /// Its attribute on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "\\All",
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Flagged => "\\Flagged",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
            Self::Important => "\\Important",
            Self::Snoozed => "\\Snoozed",
            Self::Scheduled => "\\Scheduled",
            Self::Memos => "\\Memos",
        }
    }
}
