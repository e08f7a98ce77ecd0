//! Every limit of the grammar, by name. Nothing else lives here.

/// Longest command line after login, its small literals not counted.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Longest command line before login: an ID of 30 fields of 30 and 1,024 octets
/// in quotes (RFC 2971 §3.3).
pub const LINE_BYTES_BEFORE_LOGIN_MAX: usize = 32 * 1024;
/// A line that is too long is skipped up to this many bytes; then the session ends.
pub const SKIPPED_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// All literals of one command before login.
pub const LITERAL_BYTES_BEFORE_LOGIN_MAX: u64 = 4 * 1024;
/// All literals of one command other than the message of an APPEND.
pub const LITERAL_BYTES_MAX: u64 = 1024 * 1024;
/// The message of an APPEND, unless the configuration says otherwise.
pub const APPEND_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// Literals in one command: RFC 9051 sets no limit, but each costs a round trip.
pub const LITERALS_PER_COMMAND_MAX: usize = 1000;
/// Largest literal that is sent without asking under LITERAL- (RFC 7888 §5).
pub const LITERAL_MINUS_BYTES_MAX: u64 = 4096;
/// Literals of one APPEND: messages, and texts of CATENATE.
pub const APPEND_LITERALS_MAX: usize = 1000;
/// Strings between two of them that are literals themselves: each has what is before it read again.
pub const APPEND_STRINGS_MAX: usize = 32;
/// Longest tag.
pub const TAG_BYTES_MAX: usize = 128;
/// Deepest nesting of search keys.
pub const NESTING_DEPTH_MAX: usize = 100;
/// Items of one list: fetch items, flags, patterns, header fields.
pub const LIST_ITEMS_MAX: usize = 4096;
/// Texts that one search looks for: each costs a look through every message.
pub const SEARCH_TEXTS_MAX: usize = 256;
/// Sections that one FETCH asks for: each costs a look into every message.
pub const FETCH_SECTIONS_MAX: usize = 256;
/// Levels of a part number such as `1.2.3`.
pub const PART_DEPTH_MAX: usize = 128;
/// Longest keyword.
pub const KEYWORD_BYTES_MAX: usize = 255;
/// Longest level of a mailbox's name.
pub const MAILBOX_LEVEL_BYTES_MAX: usize = 255;
/// Levels of a mailbox's name.
pub const MAILBOX_DEPTH_MAX: usize = 50;
/// Longest pattern of LIST.
pub const PATTERN_BYTES_MAX: usize = 4096;
/// All patterns of one LIST together, the reference counted with each.
pub const PATTERNS_BYTES_MAX: usize = 64 * 1024;
/// Longest string that is written in quotes; longer ones become literals.
pub const QUOTED_BYTES_MAX: usize = 1000;
/// Pairs of ID (RFC 2971 §3.3).
pub const ID_PAIRS_MAX: usize = 30;
/// Longest URL (RFC 5092 sets no limit).
pub const URL_BYTES_MAX: usize = 8 * 1024;
/// Longest name of an annotation.
pub const ENTRY_NAME_BYTES_MAX: usize = 255;
/// URLs of one GENURLAUTH or URLFETCH.
pub const URLS_PER_COMMAND_MAX: usize = 100;
/// Bytes of an object's id (RFC 8474 §7).
pub const OBJECT_ID_BYTES_MAX: usize = 255;
/// An identifier of ACL: an address, with a sign.
pub const ACL_IDENTIFIER_BYTES_MAX: usize = 330;
/// Groups of events of one NOTIFY.
pub const NOTIFY_GROUPS_MAX: usize = 100;
/// Mailboxes that they name: each is compared with every mailbox that changes.
pub const NOTIFY_NAMES_MAX: usize = 1000;
/// The name of a stored search (RFC 5466).
pub const FILTER_NAME_BYTES_MAX: usize = 128;
/// Names of one COMPARATOR or LANGUAGE.
pub const WORDS_MAX: usize = 20;

/// Steps that are taken up threads, for each message that is threaded, to see that a link makes
/// no loop: what takes more is not linked.
pub const THREAD_STEPS_PER_MESSAGE: usize = 1000;
/// Places of missing messages in threads, for each message: what more are referred to count for
/// nothing.
pub const MISSING_PER_MESSAGE: usize = 16;
