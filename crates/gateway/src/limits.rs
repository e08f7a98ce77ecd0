//! The gateways' limits, each with its reason.

use std::time::Duration;

/// What is told of a program's words in reports: a line, not a log.
pub(crate) const WORDS_BYTES_MAX: usize = 512;

/// What is read of them at all; the rest of it is thrown away.
pub(crate) const OUTPUT_BYTES_MAX: u64 = 64 * 1024;

/// Programs at once: each has two threads of those that wait for the disk too.
pub(crate) const PROGRAMS_MAX: usize = 16;

/// Messages that are posted at once.
pub(crate) const WEBHOOKS_MAX: usize = 16;

/// How long the recipients of one message are posted one after the other.
pub(crate) const WEBHOOK_BUDGET: Duration = Duration::from_secs(300);

/// What is read of a server's answer.
pub(crate) const ANSWER_BYTES_MAX: usize = 4096;

/// How often a file is opened anew because another program has moved it away.
pub(crate) const MOVED_MAX: u32 = 10;

/// Bytes that are gathered before they are written.
pub(crate) const WRITE_BYTES: usize = 64 * 1024;

/// How long a message is offered to workers before it is tried again later.
pub(crate) const OFFERED_FOR: Duration = Duration::from_secs(10);

/// Messages that are offered to workers or with them, of all transports: half of the attempts
/// that there are at once by default.
pub(crate) const OFFERS_MAX: usize = 50;

/// How long one more waits for its place among them.
pub(crate) const PLACE_PATIENCE: Duration = Duration::from_secs(2);

/// How long a worker can have a message, however often it asks for more; an attempt lasts an hour.
pub(crate) const CLAIM_MAX: Duration = Duration::from_secs(3300);

/// Workers that wait for a message.
pub(crate) const ASKING_MAX: usize = 64;

/// What a worker asks at once of one message.
pub(crate) const ASKS_MAX: usize = 4;

/// What is told of a worker's name.
pub(crate) const WORKER_CHARS_MAX: usize = 64;
