//! Limits that several nodes share: of what an operator allows with a party, each node has
//! a share that lasts for a lease.
//!
//! Once in a while all that is in use goes to the board in one exchange, at once where
//! something waits for more than its node has. What is told is a promise: until the answer
//! is there, no more than that is used. Whoever has no share of a party begins nothing there.
//!
//! While the board is away each node has an equal part among as many as there were, or, if it
//! has never heard of any, among [`NODES_UNKNOWN`], and never more than it had: mail does
//! not stand still for want of a number.
//!
//! Within its share each node learns by itself what a party takes, as before. That there were
//! too many, and a rest that it was asked for, is told to all.

use std::sync::Arc;
use std::time::Duration;

use cluster::limits::{LEASE, PART_WHOLE, PARTIES_PER_EXCHANGE};
use cluster::{Answer, Board, BoardError, Share, Use};
use parking_lot::Mutex;
use queue_model::Bounds;
use runtime::{Monotonic, Task};
use tokio::sync::Notify;

use super::{Known, Limiter, SiteLimits, State, ms};
use crate::limits::{
    AWAY_AFTER, EMPTIED_AFTER, EXCHANGE_APART, EXCHANGE_EVERY, LEASE_MARGIN, NODES_UNKNOWN,
    RESTS_ALIKE, SETTLED_AFTER, SHOWN_EVERY,
};

/// The board, and who is to be told what.
pub(super) struct Sharing {
    board: Arc<dyn Board>,
    /// Somebody wants more than there is.
    asks: Arc<Notify>,
    /// There is more than before.
    grown: Notify,
    /// It ends.
    ends: Notify,
    task: Mutex<Option<Task<()>>>,
}

/// How it is with the board.
#[derive(Debug, Clone, Default)]
pub(super) struct Contact {
    /// Since when a question has had no answer.
    asked: Option<Monotonic>,
    /// None until there is an answer.
    nodes: Option<u32>,
    /// Why there is none.
    away: Option<String>,
    /// It is back, and until then others may not have said yet what they have in use.
    settles_until: Option<Monotonic>,
}

/// How it is with the nodes that limits are shared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodesStatus {
    /// How many there are, this one among them; as many as there were while `away`.
    pub nodes: u32,
    /// Why nothing is heard of them.
    pub away: Option<String>,
}

/// What a node has of one party.
#[derive(Debug)]
pub(super) struct Portion {
    asks: Arc<Notify>,
    granted: Option<Granted>,
    /// Connections of others, as far as is known.
    others: u32,
    /// The most in use since the last exchange.
    peak: u32,
    /// Something waits for more than there is.
    is_short: bool,
    /// The board was asked for more; again only when there was more, or in its time.
    has_hurried: bool,
    /// There was one connection too many.
    was_refused: bool,
    /// The rest that all of them know of.
    rest_told_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Granted {
    connections: u32,
    part: u32,
    until: Monotonic,
}

impl Sharing {
    pub(super) fn new(board: Arc<dyn Board>) -> Self {
        Self {
            board,
            asks: Arc::default(),
            grown: Notify::new(),
            ends: Notify::new(),
            task: Mutex::new(None),
        }
    }

    pub(super) fn portion(&self) -> Portion {
        Portion {
            asks: Arc::clone(&self.asks),
            granted: None,
            others: 0,
            peak: 0,
            is_short: false,
            has_hurried: false,
            was_refused: false,
            rest_told_ms: 0,
        }
    }
}

impl Contact {
    fn status(&self) -> NodesStatus {
        NodesStatus {
            nodes: self.nodes.unwrap_or(1),
            away: self.away.clone(),
        }
    }

    /// Among how many a limit is parted while nobody says so.
    pub(super) fn alone_among(&self, now: Monotonic) -> Option<u32> {
        self.is_away(now).then(|| self.among())
    }

    fn is_away(&self, now: Monotonic) -> bool {
        let waits = |asked| now.since(asked) >= AWAY_AFTER;
        self.away.is_some() || self.asked.is_some_and(waits)
    }

    /// Whoever has never heard of the others is careful.
    fn among(&self) -> u32 {
        self.nodes.map_or(NODES_UNKNOWN, |nodes| nodes.max(1))
    }

    /// Among how many it is or was parted, while that is not over for all.
    fn parted_among(&self, now: Monotonic) -> Option<u32> {
        let settles = self.settles_until.is_some_and(|until| until > now);
        (settles || self.is_away(now)).then(|| self.among())
    }
}

/// An equal part; one connection at least.
fn equal(limit: u32, nodes: u32) -> u32 {
    (limit / nodes).max(1)
}

impl Portion {
    /// What counts now of what the operator allows.
    pub(super) fn of(&self, limits: SiteLimits, now: Monotonic, alone: Option<u32>) -> Bounds {
        let whole = limits.bounds();
        let granted = self.granted.filter(|granted| granted.until > now);
        let parted = alone.map(|nodes| (equal(whole.connections, nodes), PART_WHOLE / nodes));
        let (connections, part) = match (granted, parted) {
            (Some(granted), None) => (granted.connections, granted.part),
            (Some(granted), Some((connections, part))) => {
                (granted.connections.min(connections), granted.part.min(part))
            }
            (None, Some(parted)) => parted,
            (None, None) => (0, 0),
        };
        Bounds {
            connections: whole.connections.min(connections),
            part,
            ..whole
        }
    }

    pub(super) fn used(&mut self, used: u32) {
        self.peak = self.peak.max(used);
    }

    /// Something waits for more.
    pub(super) fn is_short(&mut self) {
        self.is_short = true;
        if !std::mem::replace(&mut self.has_hurried, true) {
            self.asks.notify_one();
        }
    }

    /// Too many connections are open, `ours` of them from here. True where that is so
    /// because of others.
    pub(super) fn refused(&mut self, ours: u32) -> bool {
        if ours == 0 && self.others == 0 {
            return false;
        }
        self.keep(ours, u32::MAX);
        self.was_refused = true;
        self.has_hurried = false;
        self.is_short();
        true
    }

    /// From now on no more than that is used.
    fn keep(&mut self, connections: u32, part: u32) {
        if let Some(granted) = &mut self.granted {
            granted.connections = granted.connections.min(connections);
            granted.part = granted.part.min(part);
        }
    }

    fn take(&mut self, share: &Share, until: Monotonic, is_over: bool) -> bool {
        self.others = share.others;
        if is_over {
            self.granted = None;
            self.has_hurried = false;
            return false;
        }
        let before = self
            .granted
            .map_or((0, 0), |had| (had.connections, had.part));
        let has_grown = share.connections > before.0 || share.part > before.1;
        self.has_hurried &= !has_grown;
        self.granted = Some(Granted {
            connections: share.connections,
            part: share.part,
            until,
        });
        has_grown
    }
}

impl Known {
    /// What is said of a party, and kept to from then on; nothing where there is nothing to say.
    fn tell(&mut self, party: &str, now: Monotonic, contact: &Contact) -> Option<Use> {
        self.refresh(now, contact);
        let used = self.in_use();
        let whole = self.limits.bounds();
        let waits = self.learned.ready_at_ms(self.bounds) > ms(now);
        let rests = self.learned.rests_until_ms(ms(now)).unwrap_or(0);
        let learned = self.learned.allowed(whole);
        let portion = self.portion.as_mut()?;
        let base = used.max(portion.peak);
        let more = if portion.is_short { base.max(2) } else { 0 };
        let most = contact
            .parted_among(now)
            .map_or(u32::MAX, |nodes| equal(whole.connections, nodes));
        // What is paced needs a connection whenever it is its turn.
        let is_used = base + more > 0;
        let paced = whole.per_minute.is_some() && (is_used || (self.bounds.part > 0 && waits));
        let wanted = (base + more).max(u32::from(paced)).min(learned).min(most);
        let keeps = self.bounds.connections.min(wanted).max(used);
        let keeps_part = if paced { self.bounds.part } else { 0 };
        let is_told = rests <= portion.rest_told_ms + RESTS_ALIKE.as_millis() as u64;
        let rest = if is_told { 0 } else { rests - ms(now) };
        let one = Use {
            party: party.to_owned(),
            limit: whole.connections,
            keeps,
            wanted,
            paced,
            keeps_part,
            refused: portion.was_refused,
            rest: Duration::from_millis(rest),
        };
        if one.is_over() && portion.granted.is_none() && rest == 0 {
            return None;
        }
        portion.keep(keeps, keeps_part);
        self.refresh(now, contact);
        Some(one)
    }

    /// True where somebody should look again: there is more than before, or what was
    /// short must say whether it still is.
    fn hear(&mut self, told: &Use, share: &Share, asked: Monotonic, now: Monotonic) -> bool {
        let used = self.in_use();
        let rests_now = self.learned.rests_until_ms(ms(now)).unwrap_or(0);
        let Some(portion) = &mut self.portion else {
            return false;
        };
        let until = asked.after(LEASE.saturating_sub(LEASE_MARGIN));
        let was_short = std::mem::take(&mut portion.is_short);
        portion.was_refused &= !told.refused;
        let has_grown = portion.take(share, until, told.is_over());
        portion.peak = used;
        // It wanted something in the meantime, and what it had has just been given back.
        if told.is_over() && (was_short || used > 0) {
            portion.is_short();
        }
        let told_of = ms(asked.after(told.rest)) * u64::from(!told.rest.is_zero());
        let known = portion.rest_told_ms.max(rests_now).max(told_of);
        let rests = ms(now.after(share.rest));
        if !share.rest.is_zero() {
            portion.rest_told_ms = portion.rest_told_ms.max(rests).max(told_of);
            // What a person has forgiven is not brought back by who was told of it before.
            if rests > known + RESTS_ALIKE.as_millis() as u64 {
                self.learned.rest_until(rests, ms(now));
            }
        }
        has_grown || was_short
    }
}

impl Limiter {
    /// How it is with the other nodes; nothing where limits are not shared.
    #[must_use]
    pub fn nodes(&self) -> Option<NodesStatus> {
        self.0.sharing.as_ref()?;
        Some(self.0.state.lock().contact.status())
    }

    /// Returns when there is more than before, or it is to be said whether more is wanted.
    ///
    /// # Cancel safety
    /// Dropped, it has heard nothing.
    pub(crate) async fn grown(&self) {
        match &self.0.sharing {
            Some(sharing) => sharing.grown.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Keeps in touch with the board until [`Limiter::end_sharing`].
    pub(crate) fn keep_sharing(&self) {
        let Some(sharing) = &self.0.sharing else {
            return;
        };
        let limiter = self.clone();
        let work = async move { while limiter.next_exchange().await {} };
        *sharing.task.lock() = Some(self.0.runtime.spawn("shares", work));
    }

    /// One exchange, and the wait for the next; false where there is none.
    async fn next_exchange(&self) -> bool {
        let Some(sharing) = &self.0.sharing else {
            return false;
        };
        let is_busy = self.exchange().await;
        let runtime = &self.0.runtime;
        let every = if is_busy { EXCHANGE_EVERY } else { SHOWN_EVERY };
        let wait = async {
            // Whatever wants more at about the same time is asked for at once.
            runtime.sleep(EXCHANGE_APART).await;
            let _ = runtime.timeout(every, sharing.asks.notified()).await;
        };
        tokio::select! {
            () = wait => true,
            () = sharing.ends.notified() => false,
        }
    }

    /// Nothing begins any more: when what is open has ended, others may have what this node held.
    pub(crate) async fn end_sharing(&self) {
        let Some(sharing) = &self.0.sharing else {
            return;
        };
        let task = sharing.task.lock().take();
        sharing.ends.notify_one();
        if let Some(task) = task {
            // An exchange under way has a time of its own.
            let _ = task.join().await;
        }
        let emptied = self.emptied();
        let _ = self.0.runtime.timeout(EMPTIED_AFTER, emptied).await;
        self.leave().await;
    }

    /// Connections that wait for another message are closed soon.
    async fn emptied(&self) {
        loop {
            let freed = self.0.freed.notified();
            let is_open = |known: &Known| known.in_use() > 0;
            if !self.0.state.lock().parties.values().any(is_open) {
                return;
            }
            freed.await;
        }
    }

    /// Others may have what this node held.
    pub(crate) async fn leave(&self) {
        if let Some(sharing) = &self.0.sharing {
            sharing.board.leave().await;
        }
    }

    /// Says what is used and hears what there is; true where something is shared, or the
    /// board is to be found again.
    pub(crate) async fn exchange(&self) -> bool {
        let Some(sharing) = &self.0.sharing else {
            return false;
        };
        let asked = self.now();
        let uses = self.uses(asked);
        let mut parts = uses.chunks(PARTIES_PER_EXCHANGE);
        // With nothing to say, the node shows that it is there.
        let mut next = parts.next().or(Some(&[]));
        let mut looks = false;
        let mut is_busy = !uses.is_empty();
        while let Some(part) = next {
            match sharing.board.exchange(part).await {
                Ok(answer) => looks |= self.hear(part, &answer, asked),
                Err(error) => {
                    looks |= self.hear_nothing(&error);
                    is_busy = true;
                    break;
                }
            }
            next = parts.next();
        }
        if looks {
            sharing.grown.notify_one();
            self.0.freed.notify_waiters();
        }
        is_busy
    }

    fn uses(&self, now: Monotonic) -> Vec<Use> {
        let mut state = self.0.state.lock();
        let State {
            contact, parties, ..
        } = &mut *state;
        contact.asked.get_or_insert(now);
        let parties = parties.iter_mut();
        let uses = parties.filter_map(|(party, known)| known.tell(party.as_str(), now, contact));
        uses.collect()
    }

    fn hear(&self, told: &[Use], answer: &Answer, asked: Monotonic) -> bool {
        let now = self.now();
        let mut state = self.0.state.lock();
        let State {
            contact, parties, ..
        } = &mut *state;
        contact.asked = None;
        if contact.away.take().is_some() {
            contact.settles_until = Some(now.after(SETTLED_AFTER));
            tracing::info!("limits are shared with the other nodes again");
        }
        if contact.parted_among(now).is_none() || contact.nodes.is_none() {
            contact.nodes = Some(answer.nodes);
        }
        let mut looks = false;
        for (told, share) in told.iter().zip(&answer.shares) {
            let known = parties.get_mut(told.party.as_str());
            looks |= known.is_some_and(|known| known.hear(told, share, asked, now));
        }
        looks
    }

    /// True where each node goes on by itself from now on.
    fn hear_nothing(&self, error: &BoardError) -> bool {
        let now = self.now();
        let mut state = self.0.state.lock();
        let contact = &mut state.contact;
        if !contact.is_away(now) && !matches!(error, BoardError::NameTaken(_)) {
            return false;
        }
        let was_away = contact.away.replace(error.to_string()).is_some();
        if !was_away {
            let among = contact.among();
            tracing::warn!(%error, among, "limits cannot be shared with the other nodes: each goes on with an equal part");
        }
        !was_away
    }
}
