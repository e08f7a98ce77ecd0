//! Every limit of this crate.

use std::time::Duration;

/// Attempts at once.
pub const RUNNING_MAX: usize = 100;
/// Attempts at once to one site of which it is not known whose servers it has.
pub const RUNNING_PER_SITE_MAX: usize = 10;
/// Connections at once to whoever stands behind one set of servers, unless an operator says otherwise.
pub const CONNECTIONS_PER_SITE: u32 = 20;
/// What refuses us for our reputation is gone around this long before it is tried again.
pub(crate) const DETOUR_TIME: Duration = Duration::from_secs(24 * 3600);
/// If nothing was heard of the message that was to see, another one does.
pub(crate) const DETOUR_PROBED_AGAIN: Duration = Duration::from_secs(3600);
/// Parties that are gone around.
pub(crate) const DETOURS_MAX: usize = 10_000;
/// Parties of which something is known.
pub(crate) const PARTIES_MAX: usize = 10_000;
/// How long a party that does not know BDAT gets DATA.
pub(crate) const BY_DATA_FOR: Duration = Duration::from_secs(24 * 3600);
/// What was learned of a party is forgotten when nothing went there for this long.
pub(crate) const PARTY_KEPT: Duration = Duration::from_secs(2 * 3600);
/// Sites whose party is known.
pub(crate) const SITES_OF_PARTIES_MAX: usize = 50_000;
/// How long a site's party is believed before its servers are looked up again.
pub(crate) const PARTY_KNOWN: Duration = Duration::from_secs(300);
/// How often an operator's limits are asked for.
pub(crate) const LIMITS_ASKED_AGAIN: Duration = Duration::from_secs(10);
/// How often what is shared with other nodes is talked about.
pub(crate) const EXCHANGE_EVERY: Duration = Duration::from_secs(1);
/// The least between two such talks: what is wanted at about the same time goes together.
pub(crate) const EXCHANGE_APART: Duration = Duration::from_millis(20);
/// How often a node that shares nothing at the moment shows that it is there.
pub(crate) const SHOWN_EVERY: Duration = Duration::from_secs(5);
/// What was granted counts for so much less than others think.
pub(crate) const LEASE_MARGIN: Duration = Duration::from_secs(3);
/// When the other nodes' board has not answered for so long, nothing is expected of it.
pub(crate) const AWAY_AFTER: Duration = cluster::limits::EXCHANGE_TIMEOUT;
/// When it is back, all nodes have said within this what they have in use.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(8);
/// How long a stopping node waits for connections to end before others may have their places.
pub(crate) const EMPTIED_AFTER: Duration = Duration::from_secs(3);
/// So many nodes there may be where nobody has ever said how many there are.
pub(crate) const NODES_UNKNOWN: u32 = 10;
/// Rests that end within this are the same.
pub(crate) const RESTS_ALIKE: Duration = Duration::from_secs(1);
/// How long an attempt waits for a place that is about to be free.
pub(crate) const ROOM_PATIENCE: Duration = Duration::from_secs(2);
/// Attempts at once into mailboxes here.
pub const RUNNING_LOCAL_MAX: usize = 32;
/// In-flight attempts have this long when the server stops.
pub const DRAIN: Duration = Duration::from_secs(20);
/// One attempt, whatever the transport's own time-outs are: many recipients on a slow line.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3600);
/// A connection that was turned round ends when nothing has moved for this long.
pub(crate) const TURNED_IDLE: Duration = Duration::from_secs(60);
/// A site where a TLS handshake failed gets mail in the clear this long.
pub(crate) const CLEAR_TIME: Duration = Duration::from_secs(24 * 3600);
/// Sites that are remembered for that; others try TLS each time.
pub(crate) const CLEAR_SITES_MAX: usize = 10_000;
/// Entries of the schedule in memory; with twice as many, nothing more is taken.
pub(crate) const READY_MAX: usize = 10_000;
/// Of one site.
pub(crate) const READY_PER_SITE_MAX: usize = 256;
/// Of one site when memory is half full.
pub(crate) const READY_PER_SITE_MIN: usize = 16;
/// A sender who has no more entries than this in lists has few.
pub(crate) const FEW: usize = 16;
/// Of those senders, how many are looked at for one turn.
pub(crate) const FEW_LOOKED_AT: usize = 64;
/// Entries of one line read at once.
pub(crate) const PAGE: usize = 64;
/// Lines read at once.
pub(crate) const LINES_AT_ONCE: usize = 64;
/// Entries read before the loop looks after its attempts again.
pub(crate) const SCAN_MAX: usize = 2048;
/// Lines of the schedule that are known; others are looked for when there are fewer.
pub(crate) const LINES_MAX: usize = 100_000;
/// Lines looked for at once.
pub(crate) const WALK_PAGE: usize = 256;
/// How often lines that were not known are looked for.
pub(crate) const WALK_AGAIN: Duration = Duration::from_secs(10);
/// Lines that a site calls in at once.
pub(crate) const CALLED_AT_ONCE: usize = 16;
/// Entries of closed sites that are put off in a second, in the long run.
pub(crate) const SWEEP_PER_SECOND: usize = 25;
/// As many at once where it was quiet before.
pub(crate) const SWEEP_BURST: usize = 256;
/// Of one line at once.
pub(crate) const SWEEP_PAGE: usize = 16;
/// Of these under way at once.
pub(crate) const SWEPT_AT_ONCE: usize = 4;
/// Questions about sites that wait for an answer.
pub(crate) const QUESTIONS_MAX: usize = 16;
/// Entries brought forward at once when a site is back.
pub(crate) const FORWARD_PAGE: usize = 64;
/// Sites remembered without work for them.
pub(crate) const IDLE_SITES_MAX: usize = 10_000;
/// A site that was down is left alone this long at most.
pub(crate) const CLOSED_MAX_MS: u64 = 30 * 60_000;
/// After trouble of our own an entry is looked at again.
pub(crate) const REST: Duration = Duration::from_secs(30);
/// The longest sleep: the wall clock may have been set meanwhile.
pub(crate) const SLEEP_MAX: Duration = Duration::from_secs(60);
/// How far the wall clock may go back without being noticed.
pub(crate) const CLOCK_SLACK: Duration = Duration::from_secs(60);
/// How long demo's mail for elsewhere waits before somebody looks whether there is a smart host now.
pub(crate) const DEMO_WAIT_MS: u64 = 4 * 3_600_000;
/// Lines whose schedule is looked at at once for a clock that was ahead.
pub(crate) const CLOCK_LINES: usize = 256;
/// Bytes of a message read at once; the size of the store's chunks.
pub(crate) const READ_BYTES: u64 = 256 * 1024;

/// The longest that a sender can have a message held (`smtp_server::limits::HOLD_MAX`)
/// and an hour: what seems to be held for longer was put there by a wrong clock.
pub(crate) const HOLD_MAX_MS: u64 = (30 * 24 + 1) * 3_600_000;
