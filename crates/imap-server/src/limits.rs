//! Every limit of the sessions, by name. Those of the grammar are `imap_proto::limits`.

use std::time::Duration;

/// Silence that ends a session before login.
pub const IDLE_BEFORE_LOGIN: Duration = Duration::from_secs(60);
/// How long a session may be there without a login, however much it says.
pub const BEFORE_LOGIN: Duration = Duration::from_secs(5 * 60);
/// Silence that ends a session after login, unless configured. RFC 9051 §5.4: at least 30 minutes.
pub const IDLE_AFTER_LOGIN: Duration = Duration::from_secs(30 * 60);
/// Silence in the middle of a command or of a message of APPEND.
pub const STALL: Duration = Duration::from_secs(5 * 60);
/// How often IDLE says that it is still there: many NATs forget a connection after four minutes.
pub const STILL_HERE: Duration = Duration::from_secs(120);
/// How often a long search says how far it is, unless configured: some clients wait for half a minute only.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
/// Commands in a row that were not understood.
pub const BAD_COMMANDS_MAX: u8 = 10;
/// Failed logins of one session.
pub const FAILED_LOGINS_MAX: u8 = 5;
/// Sessions of one user, unless configured.
pub const SESSIONS_PER_USER_MAX: usize = 100;
/// Sessions of one address, unless configured.
pub const SESSIONS_PER_ADDRESS_MAX: usize = 200;
/// Output that is gathered before it is sent.
pub const OUTPUT_BYTES: usize = 64 * 1024;
/// Email records that are read together; FETCH holds two lots, one that it
/// sends and one that is read meanwhile.
pub const RECORDS_PER_READ: usize = 512;
/// Messages whose sort keys are read together.
pub const KEYS_PER_READ: usize = 8192;
/// Bytes of messages that FETCH reads together, ahead of what it sends.
pub const READ_AHEAD_BYTES: u64 = 256 * 1024;
/// A search of fewer messages does not ask the index.
pub const INDEX_WORTH: usize = 32;
/// Header bytes that HEADER.FIELDS looks at.
pub const HEADER_BYTES_MAX: u64 = 1024 * 1024;
/// Keywords that FLAGS lists.
pub const KEYWORDS_LISTED_MAX: usize = 500;
/// Octets of a refused message that are taken and thrown away to keep the session.
pub const DISCARDED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Largest binary message (`~{…}`) whose parts are looked through for what has to become base64; it is
/// gathered in memory. Larger ones are taken without NUL only.
pub const BINARY_APPEND_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What is stored of the messages of one APPEND beside their octets: all of it goes into one commit.
pub const APPEND_RECORDS_BYTES_MAX: usize = 512 * 1024;
/// Messages that scripts run over before what they ask for is done.
pub const EVENT_MESSAGES: usize = 64;
/// Octets of messages in memory with that: the message that goes over it is the last.
pub const EVENT_OCTETS: usize = 8 * 1024 * 1024;
/// Octets that scripts file before they are stored: the quota is asked then.
pub const EVENT_FILED_OCTETS: u64 = 32 * 1024 * 1024;
/// A script that takes longer behind one command does not see the rest of its messages.
pub const EVENT_TIME_MAX: Duration = Duration::from_secs(60);
/// Scripts of sessions that run at once, one for an account; others wait.
pub const EVENT_RUNS_MAX: usize = 16;
/// Octets of a body that a script behind a command sees.
pub const EVENT_BODY_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Compiled scripts that are kept for the next command.
pub const EVENT_SCRIPTS_KEPT: usize = 256;
/// And their octets, about; expressions may have taken some times what they are counted for.
pub const EVENT_SCRIPTS_WEIGHT: usize = 32 * 1024 * 1024;
/// Messages that scripts behind one command send, however many messages it is about: a person who moves a handful to a
/// folder from which they go on is served, and a mailing is none.
pub const EVENT_REDIRECTS_MAX: usize = 16;
/// Octets of a message that a script sends.
pub const EVENT_REDIRECT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Octets that compressed ones are made into at once.
pub const INFLATED_BYTES: usize = 16 * 1024;
/// Mailboxes that one ESEARCH looks through.
pub const MULTISEARCH_MAILBOXES_MAX: usize = 1000;
/// A message of APPEND is stored in pieces of this size.
pub const APPEND_PIECE_BYTES: usize = 256 * 1024;
/// Mailboxes that change between two looks of a session that asked for it (NOTIFY); beyond it all is switched off.
pub const NOTIFY_CHANGES_MAX: usize = 1000;
/// Mailboxes named in NOTIFY up to which each is watched alone; beyond it the whole account is.
pub const NOTIFY_BELLS_MAX: usize = 16;
/// Other accounts that one session watches.
pub const NOTIFY_ACCOUNTS_MAX: usize = 32;
/// Searches of a session that are kept up to date.
pub const CONTEXTS_MAX: usize = 16;
/// Messages of one of them whose order is kept.
pub const CONTEXT_SORTED_MAX: usize = 100_000;
/// How many stored searches may stand behind each other (RFC 5466 §3.1: at least three).
pub const FILTER_PASSES_MAX: usize = 3;
/// Octets of stored searches that one search takes in, each as often as it is named.
pub const FILTER_BYTES_MAX: usize = 256 * 1024;
/// Messages of the smallest batch of UIDBATCHES.
pub const UID_BATCH_MIN: usize = 500;
/// Orders and threads of mailboxes that are remembered.
pub const ORDERS_MAX: usize = 64;
/// The memory that they take together; a mailbox of 250,000 messages is remembered by itself.
pub const ORDERS_BYTES_MAX: usize = 10 << 20;
/// Changes of an account that are read to tell a client what is gone; more than that, and all that is not there is told.
pub const CHANGES_READ_MAX: u64 = 100_000;
/// Messages that are looked at in the time that reading one change takes, about.
pub const ENTRIES_PER_CHANGE: u64 = 64;
