//! Limits that several nodes share: of what an operator allows with a party, each node has
//! a share that lasts for a lease.
//!
//! Once in a while all that is in use goes to the board in one exchange, at once where
//! something waits for more than its node has. Whoever has no share of a party begins
//! nothing there. While the board is away, what was granted counts until its lease ends, and
//! then an equal part among as many nodes as were there before, or, for who has never heard
//! of any, among [`NODES_UNKNOWN`]: mail does not stand still for want of a number.
//!
//! What a party has refused is learned by each node for itself, as before; a rest that it
//! was asked for is told to all.

use std::sync::Arc;
use std::time::Duration;

use cluster::limits::{LEASE, PART_WHOLE, PARTIES_PER_EXCHANGE};
use cluster::{Answer, Board, BoardError, Share, Use};
use queue_model::Bounds;
use runtime::{Monotonic, Task};
use tokio::sync::Notify;

use super::{Known, Limiter, SiteLimits, State, ms};
use crate::limits::{
    AWAY_AFTER, EXCHANGE_APART, EXCHANGE_EVERY, LEASE_MARGIN, NODES_UNKNOWN, RESTS_ALIKE,
    SHOWN_EVERY,
};

/// The board, and who is to be told what.
pub(super) struct Sharing {
    board: Arc<dyn Board>,
    /// Somebody wants more than there is.
    asks: Arc<Notify>,
    /// There is more than before.
    grown: Notify,
}

/// How it is with the board.
#[derive(Debug, Clone, Default)]
pub(super) struct Contact {
    /// The last answer, or the first question.
    last: Option<Monotonic>,
    /// None until there is an answer.
    nodes: Option<u32>,
    /// Why there has been none for a while.
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
    /// The most in use since the last exchange.
    peak: u32,
    /// Something waits for more than there is.
    is_short: bool,
    /// The board was asked for more; again only when there was more, or in its time.
    has_hurried: bool,
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
        }
    }

    pub(super) fn portion(&self) -> Portion {
        Portion {
            asks: Arc::clone(&self.asks),
            granted: None,
            peak: 0,
            is_short: false,
            has_hurried: false,
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
    pub(super) fn alone_among(&self) -> Option<u32> {
        self.away.as_ref().map(|_| self.among())
    }

    /// Whoever has never heard of the others is careful.
    fn among(&self) -> u32 {
        self.nodes.map_or(NODES_UNKNOWN, |nodes| nodes.max(1))
    }

    /// Among how many it is or was parted, while that is not over for all.
    fn parted_among(&self, now: Monotonic) -> Option<u32> {
        let settles = self.settles_until.is_some_and(|until| until > now);
        (settles || self.away.is_some()).then(|| self.among())
    }
}

impl Portion {
    /// What counts now of what the operator allows.
    pub(super) fn of(&self, limits: SiteLimits, now: Monotonic, alone: Option<u32>) -> Bounds {
        let whole = limits.bounds();
        let (connections, part) = match (self.granted, alone) {
            (Some(granted), _) if granted.until > now => (granted.connections, granted.part),
            (_, Some(nodes)) => ((whole.connections / nodes).max(1), PART_WHOLE / nodes),
            _ => (0, 0),
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

    fn take(&mut self, share: &Share, until: Monotonic, is_over: bool) -> bool {
        self.is_short = false;
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
    /// What is said of a party; nothing where there is nothing to say.
    fn tell(&self, party: &str, now: Monotonic, among: Option<u32>) -> Option<Use> {
        let portion = self.portion.as_ref()?;
        let used = self.in_use();
        let base = used.max(portion.peak);
        let more = if portion.is_short { base.max(2) } else { 0 };
        let whole = self.limits.bounds();
        let most = among.map_or(u32::MAX, |nodes| (whole.connections / nodes).max(1));
        let wanted = (base + more).min(self.learned.allowed(whole)).min(most);
        let waits = self.learned.ready_at_ms(self.bounds) > ms(now);
        let rests = self.learned.rests_until_ms(ms(now)).unwrap_or(0);
        let is_told = rests <= portion.rest_told_ms + RESTS_ALIKE.as_millis() as u64;
        let rest = if is_told { 0 } else { rests - ms(now) };
        let one = Use {
            party: party.to_owned(),
            limit: whole.connections,
            used,
            wanted,
            paced: whole.per_minute.is_some() && (wanted > 0 || waits),
            rest: Duration::from_millis(rest),
        };
        let says_something = !one.is_over() || portion.granted.is_some() || rest > 0;
        says_something.then_some(one)
    }

    /// True where somebody should look again: there is more than before, or what was
    /// short must say whether it still is.
    fn hear(&mut self, told: &Use, share: &Share, asked: Monotonic, now: Monotonic) -> bool {
        let used = self.in_use();
        let Some(portion) = &mut self.portion else {
            return false;
        };
        let until = asked.after(LEASE.saturating_sub(LEASE_MARGIN));
        let was_short = portion.is_short;
        let has_grown = portion.take(share, until, told.is_over());
        portion.peak = used;
        // It wanted something in the meantime, and what it had has just been given back.
        if told.is_over() && (was_short || used > 0) {
            portion.is_short();
        }
        let rests = now.after(share.rest);
        if !share.rest.is_zero() {
            let known = self.learned.rests_until_ms(ms(now)).unwrap_or(0);
            if ms(rests) > known + RESTS_ALIKE.as_millis() as u64 {
                self.learned.rest_until(ms(rests), ms(now));
            }
            portion.rest_told_ms = portion.rest_told_ms.max(ms(rests));
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

    /// Keeps in touch with the board until it is dropped.
    pub(crate) fn keep_sharing(&self) -> Option<Task<()>> {
        self.0.sharing.as_ref()?;
        let limiter = self.clone();
        let work = async move {
            loop {
                let is_busy = limiter.exchange().await;
                limiter.wait_for_exchange(is_busy).await;
            }
        };
        Some(self.0.runtime.spawn("shares", work))
    }

    async fn wait_for_exchange(&self, is_busy: bool) {
        let Some(sharing) = &self.0.sharing else {
            return;
        };
        let runtime = &self.0.runtime;
        let every = if is_busy { EXCHANGE_EVERY } else { SHOWN_EVERY };
        // Whatever wants more at about the same time is asked for at once.
        runtime.sleep(EXCHANGE_APART).await;
        let _ = runtime.timeout(every, sharing.asks.notified()).await;
    }

    /// Says what is used and hears what there is; true where something is shared.
    pub(crate) async fn exchange(&self) -> bool {
        let Some(sharing) = &self.0.sharing else {
            return false;
        };
        let asked = self.now();
        let uses = self.uses(asked);
        let mut parts = uses.chunks(PARTIES_PER_EXCHANGE);
        // With nothing to say, the node shows that it is there.
        let mut next = parts.next().or(Some(&[]));
        let mut has_grown = false;
        while let Some(part) = next {
            match sharing.board.exchange(part).await {
                Ok(answer) => has_grown |= self.hear(part, &answer, asked),
                Err(error) => {
                    has_grown |= self.hear_nothing(&error, asked);
                    break;
                }
            }
            next = parts.next();
        }
        if has_grown {
            sharing.grown.notify_one();
            self.0.freed.notify_waiters();
        }
        !uses.is_empty()
    }

    /// Others may have what this node held.
    pub(crate) async fn leave(&self) {
        if let Some(sharing) = &self.0.sharing {
            sharing.board.leave().await;
        }
    }

    fn uses(&self, now: Monotonic) -> Vec<Use> {
        let mut state = self.0.state.lock();
        state.contact.last.get_or_insert(now);
        let among = state.contact.parted_among(now);
        let parties = state.parties.iter();
        let uses = parties.filter_map(|(party, known)| known.tell(party.as_str(), now, among));
        uses.collect()
    }

    fn hear(&self, told: &[Use], answer: &Answer, asked: Monotonic) -> bool {
        let now = self.now();
        let mut state = self.0.state.lock();
        let State {
            contact, parties, ..
        } = &mut *state;
        contact.last = Some(now);
        if contact.away.take().is_some() {
            contact.settles_until = Some(now.after(AWAY_AFTER));
            tracing::info!("limits are shared with the other nodes again");
        }
        if contact.parted_among(now).is_none() {
            contact.nodes = Some(answer.nodes);
        }
        let mut has_grown = false;
        for (told, share) in told.iter().zip(&answer.shares) {
            // By its name, as the map's keys compare.
            let known = parties.get_mut(told.party.as_str());
            has_grown |= known.is_some_and(|known| known.hear(told, share, asked, now));
        }
        has_grown
    }

    /// True where less is known than before, and so more is allowed than nothing.
    fn hear_nothing(&self, error: &BoardError, asked: Monotonic) -> bool {
        let mut state = self.0.state.lock();
        let contact = &mut state.contact;
        let since = contact
            .last
            .map_or(Duration::ZERO, |last| asked.since(last));
        let is_away = since >= AWAY_AFTER || matches!(error, BoardError::NameTaken(_));
        if !is_away {
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
