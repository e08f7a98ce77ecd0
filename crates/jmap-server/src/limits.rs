//! Every limit of this face, by name. Those of requests are `jmap_proto::limits`.

/// Requests of one user that are carried out at the same time. RFC 8620 §2 suggests no less than 4.
pub const REQUESTS_PER_USER_MAX: usize = 8;
/// What takes long and is done for one user at the same time: what comes later waits.
pub const TURNS_PER_USER_MAX: usize = 2;
/// What takes long and is done for all users at the same time.
pub const TURNS_MAX: usize = 32;
/// Downloads of one user at the same time.
pub const DOWNLOADS_PER_USER_MAX: usize = 16;
/// Downloads of all users at the same time.
pub const DOWNLOADS_MAX: usize = 1024;
/// What a client that is turned away for too many downloads is told to wait, in seconds.
pub const DOWNLOAD_RETRY_SECONDS: u16 = 2;
/// Uploads of one user at the same time.
pub const UPLOADS_AT_ONCE_MAX: usize = 4;
/// What a client that is turned away for too many logins is told to wait, in seconds.
pub const RETRY_SECONDS: u16 = 60;
/// Octets of an Authorization field.
pub const LOGIN_BYTES_MAX: usize = 16 * 1024;
/// Accounts whose emails are known by their ids, in memory.
pub const INDEXES_MAX: usize = 256;
/// Emails of all of them together; some 50 octets each.
pub const INDEXED_EMAILS_MAX: usize = 4_000_000;
/// More emails than this are not looked at on an async worker.
pub const INLINE_EMAILS: usize = 5_000;
/// Octets that the answers to one request may have together.
pub const RESPONSE_BYTES_MAX: usize = 64 << 20;
/// Octets that a `/set` says of one object beside what it was given.
pub const SET_ANSWER_BYTES: usize = 2048;
/// Octets of one body value, whatever is asked for.
pub const BODY_VALUE_BYTES_MAX: usize = 8 << 20;
/// Octets of a header that are looked at.
pub const HEADER_BYTES_MAX: u64 = 1 << 20;
/// Octets of messages that one request has read.
pub const READ_BYTES_MAX: u64 = 4 << 30;
/// A part in base64 that is larger has its size worked out, and not counted.
pub const COUNTED_BYTES_MAX: u64 = 1 << 20;
/// Properties of one call that are header fields, of emails and of parts.
pub const HEADER_PROPERTIES_MAX: usize = 64;
/// Octets of a message that are decoded at once.
pub const DECODED_AT_ONCE_BYTES: usize = 64 * 1024;
/// Email records that are read together.
pub const RECORDS_PER_READ: usize = 64;
/// Octets of a message inside a message that is opened.
pub const NESTED_BYTES_MAX: u64 = 32 << 20;
/// How deep messages inside messages are opened.
pub const NESTED_DEPTH_MAX: usize = 8;
/// Octets of a property that is made from a header field.
pub const HEADER_VALUE_BYTES_MAX: usize = 256 * 1024;
/// Entries of the log that one `/changes` looks at.
pub const LOG_ENTRIES_MAX: usize = 20_000;
/// Changes that are told at once.
pub const CHANGES_MAX: usize = 50_000;
/// Ids that one `/query` gives.
pub const QUERY_IDS_MAX: usize = 50_000;
/// Words that one filter looks for, each once.
pub const FILTER_WORDS_MAX: usize = 32;
/// Octets of all of them.
pub const FILTER_TEXT_BYTES_MAX: usize = 8 * 1024;
/// Keywords that one filter and one sort ask threads for.
pub const THREAD_KEYWORDS_MAX: usize = 8;
/// Values that one sort compares: emails times comparators.
pub const SORTED_VALUES_MAX: usize = 4_000_000;
/// Octets of a name that is sorted by.
pub const SORTED_NAME_BYTES_MAX: usize = 255;
/// Results of `/query` that are remembered, so that a list is looked through part by part.
pub const RESULTS_MAX: usize = 128;
/// Those of one account.
pub const RESULTS_PER_ACCOUNT_MAX: usize = 16;
/// Ids in all of them together; one account has half of them at most.
pub const RESULTS_IDS_MAX: usize = 2_000_000;
/// A search of fewer emails does not ask the index.
pub const INDEX_WORTH: usize = 32;
/// Octets of one email's texts that snippets are looked for in.
pub const SNIPPET_TEXT_BYTES_MAX: u64 = 256 * 1024;
/// Parts of one email that they are looked for in.
pub const SNIPPET_PARTS_MAX: usize = 16;
/// Octets of all emails' texts that the snippets of one request are looked for in.
pub const SNIPPETS_TEXT_BYTES_MAX: u64 = 16 << 20;
/// Emails that snippets are made of without a pause.
pub const SNIPPETS_PER_READ: usize = 16;
/// Octets of a snippet. RFC 8621 §5: "no more than 255 octets".
pub const SNIPPET_BYTES_MAX: usize = 255;
/// Emails that snippets are made of at once.
pub const SNIPPETS_MAX: usize = 256;
/// How long what was uploaded is kept. RFC 8620 §6.1: at least an hour.
pub const UPLOAD_KEPT: std::time::Duration = std::time::Duration::from_secs(3600);
/// Uploads of an account that are kept.
pub const UPLOADS_KEPT_MAX: usize = 500;
/// Octets of all of them, in largest messages.
pub const UPLOAD_BYTES_SHARE: u64 = 4;
/// Octets of all accounts' uploads, in largest messages.
pub const UPLOADS_BYTES_SHARE: u64 = 64;
/// Octets that are read or written at once.
pub const PIECE_BYTES: u64 = 256 * 1024;
/// Streams of events of one user.
pub const STREAMS_PER_USER_MAX: usize = 16;
/// Streams of events of all users.
pub const STREAMS_MAX: usize = 2048;
/// How long a stream of events goes on: then the client logs in again.
pub const STREAM_KEPT: std::time::Duration = std::time::Duration::from_secs(3600);
/// How long a stream of events rests behind a look at what changed: many changes become one event.
pub const STREAM_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
/// How often a stream looks whether its user may still be told: a new password, rights that hang on a group.
pub const STREAM_LOOKS: std::time::Duration = std::time::Duration::from_secs(30);
/// How often a stream that asks for it says that it is there, in seconds.
pub const PING_SECONDS: std::ops::RangeInclusive<u64> = 5..=900;
/// Accounts that one stream watches.
pub const WATCHED_MAX: usize = 64;
/// Bodies that one `Email/set` stages beside each other.
pub const CREATED_AT_ONCE_MAX: usize = 64;
/// Octets of digests that one commit takes.
pub const DIGESTS_BYTES_MAX: usize = 512 * 1024;
/// Parts of an email that is made.
pub const MADE_PARTS_MAX: usize = 1000;
/// How deep they may be nested.
pub const MADE_DEPTH_MAX: usize = 20;
/// Addresses of a field that is made.
pub const MADE_ADDRESSES_MAX: usize = 10_000;
/// Messages that one Email/import or Email/copy takes: each is a body of its own.
pub const IMPORTED_AT_ONCE_MAX: usize = 100;
/// Who sends nothing of what was begun for so long is gone.
pub const STALL: std::time::Duration = std::time::Duration::from_secs(60);
/// Marks of `\Deleted` times emails that one `/changes` compares.
pub const MARKS_LOOKED_AT_MAX: usize = 50_000_000;
/// Emails of all threads that one Thread/get may name: each is looked up.
pub const THREAD_EMAILS_MAX: usize = 50_000;
