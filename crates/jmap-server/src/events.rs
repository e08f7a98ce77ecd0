//! EventSource: changes as they come. RFC 8620 §7.3
//!
//! A stream is woken by the accounts' own signals, as IDLE is, and tells the state that is durable then. Of another's
//! account it tells where something changed that its user sees; without a right there it forgets the account. It ends
//! soon after his password changes or his account is closed: nothing wakes it then, so it looks from time to time.

use crate::Jmap;
use crate::access::Room;
use crate::auth::User;
use crate::http::Refusal;
use crate::limits::{
    PING_SECONDS, STREAM_KEPT, STREAM_LOOKS, STREAM_PAUSE, STREAMS_MAX, STREAMS_PER_USER_MAX,
    WATCHED_MAX,
};
use crate::streaming::{Pieces, Streamed};
use axum::body::{Body, Bytes};
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use directory::{BoxFuture, Standing};
use envelope::AccountId;
use mailbox_model::{EmailId, ModSeq};
use parking_lot::Mutex;
use runtime::net::{Busy, Visitor};
use runtime::{Monotonic, Runtime};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::watch;

/// What can change.
const TYPES: [&str; 4] = ["Mailbox", "Email", "Thread", "EmailDelivery"];

/// How many streams there are.
#[derive(Debug, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<AccountId, usize>>>);

/// A place among them.
#[derive(Debug)]
struct Place {
    streams: Arc<Mutex<HashMap<AccountId, usize>>>,
    user: AccountId,
}

impl Streams {
    fn enter(&self, user: AccountId) -> Option<Place> {
        let mut streams = self.0.lock();
        let all: usize = streams.values().sum();
        let own = streams.entry(user).or_default();
        if *own >= STREAMS_PER_USER_MAX || all >= STREAMS_MAX {
            return None;
        }
        *own += 1;
        Some(Place {
            streams: Arc::clone(&self.0),
            user,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut streams = self.streams.lock();
        if let Some(own) = streams.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                streams.remove(&self.user);
            }
        }
    }
}

pub(crate) async fn stream(
    State(jmap): State<Jmap>,
    Extension(visitor): Extension<Visitor>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let user = jmap.user(&visitor, &headers).await?;
    let asked = Asked::parse(&query.unwrap_or_default()).ok_or_else(|| {
        Refusal::told(
            StatusCode::BAD_REQUEST,
            "types, closeafter and ping are needed",
        )
    })?;
    let place = jmap.shared.streams.enter(user.id);
    let place = place.ok_or_else(|| {
        Refusal::told(
            StatusCode::TOO_MANY_REQUESTS,
            "there are too many streams of events already",
        )
    })?;
    let unavailable = || {
        let text = "this is not possible at the moment";
        Refusal::told(StatusCode::SERVICE_UNAVAILABLE, text)
    };
    let standing = jmap.shared.ports.logins.standing(user.id).await;
    let standing = standing.ok().flatten().ok_or_else(unavailable)?;
    let known = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let known = known.map(parse_event_id).unwrap_or_default();
    let mut watched = Vec::new();
    for room in jmap.rooms(&user).await.into_iter().take(WATCHED_MAX) {
        let mut changes = room.account.subscribe();
        // Before the look, so that no change falls between.
        changes.borrow_and_update();
        let told = match known.get(&room.id()) {
            Some(told) => *told,
            None => Told::of(&room),
        };
        watched.push(Watched {
            room,
            changes,
            stale: false,
            told,
        });
    }
    let now = jmap.shared.ports.runtime.monotonic();
    let events = Events {
        until: now.after(STREAM_KEPT),
        looks_at: now.after(STREAM_LOOKS),
        pings_at: asked.ping.map(|ping| now.after(ping)),
        jmap,
        user,
        standing,
        watched,
        asked,
        rests_until: now,
        woken: false,
        begun: false,
        ended: false,
        _busy: visitor.busy(),
        _place: place,
    };
    const HEADERS: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache, no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((HEADERS, Body::new(Streamed::new(events, None))).into_response())
}

/// What the URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    /// None for all.
    types: Option<Vec<String>>,
    close_after_state: bool,
    ping: Option<Duration>,
}

impl Asked {
    fn parse(query: &str) -> Option<Self> {
        let mut asked = Self {
            types: None,
            close_after_state: false,
            ping: None,
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()).take(16) {
            match (&*name, &*value) {
                ("types", "*" | "") => {}
                ("types", types) => {
                    asked.types = Some(types.split(',').map(str::to_owned).collect());
                }
                ("closeafter", "state") => asked.close_after_state = true,
                ("closeafter", "no") => {}
                ("ping", seconds) => {
                    let seconds: u64 = seconds.parse().ok()?;
                    let bounded = seconds.clamp(*PING_SECONDS.start(), *PING_SECONDS.end());
                    asked.ping = (seconds > 0).then(|| Duration::from_secs(bounded));
                }
                ("closeafter", _) => return None,
                _ => {}
            }
        }
        Some(asked)
    }

    fn wants(&self, kind: &str) -> bool {
        let types = self.types.as_ref();
        types.is_none_or(|types| types.iter().any(|one| one == kind))
    }
}

/// What a client was told of an account: the last change, the number of the next email, and what he sees of another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    modseq: ModSeq,
    next_email: EmailId,
    shown: u64,
}

impl Told {
    fn of(room: &Room) -> Self {
        let view = room.account.view();
        Self {
            modseq: view.modseq(),
            next_email: view.next_email(),
            shown: room.shown_name(&view),
        }
    }

    /// Has something changed since that the user sees?
    fn differs(&self, now: &Self, room: &Room) -> bool {
        match room.is_own() {
            true => self != now,
            false => self.shown != now.shown,
        }
    }

    /// Has mail come since that the user sees?
    fn has_come(&self, room: &Room) -> bool {
        let view = room.account.view();
        if room.is_own() {
            return view.next_email() != self.next_email;
        }
        let mut shown = view.mailboxes().filter(|mailbox| room.shows(mailbox.id()));
        shown.any(|mailbox| {
            let mut changed = mailbox.changed_since(self.modseq);
            changed.any(|(_, entry)| entry.email >= self.next_email)
        })
    }
}

/// `A1=55.8.0,A2=7.3.4c9a`
fn parse_event_id(id: &str) -> BTreeMap<String, Told> {
    let pairs = id.split(',').take(WATCHED_MAX).filter_map(|pair| {
        let (account, told) = pair.split_once('=')?;
        let mut told = told.splitn(3, '.');
        let told = Told {
            modseq: ModSeq(told.next()?.parse().ok()?),
            next_email: EmailId(told.next()?.parse().ok()?),
            shown: u64::from_str_radix(told.next()?, 16).ok()?,
        };
        Some((account.to_owned(), told))
    });
    pairs.collect()
}

struct Watched {
    room: Arc<Room>,
    changes: watch::Receiver<ModSeq>,
    /// Something changed, or may have.
    stale: bool,
    told: Told,
}

struct Events {
    jmap: Jmap,
    user: User,
    standing: Standing,
    watched: Vec<Watched>,
    asked: Asked,
    until: Monotonic,
    looks_at: Monotonic,
    pings_at: Option<Monotonic>,
    rests_until: Monotonic,
    /// A change led to the next look.
    woken: bool,
    begun: bool,
    ended: bool,
    _busy: Busy,
    _place: Place,
}

enum Woken {
    Changed,
    Look,
    Ping,
    End,
}

impl Pieces for Events {
    fn next(mut self) -> BoxFuture<'static, (Self, Option<io::Result<Bytes>>)> {
        Box::pin(async move {
            let piece = self.event().await;
            (self, piece.map(|text| Ok(text.into())))
        })
    }
}

impl Events {
    fn runtime(&self) -> &Runtime {
        &self.jmap.shared.ports.runtime
    }

    async fn event(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        if !self.begun {
            self.begun = true;
            // The headers go out with it, and the client knows that it is connected.
            return Some(": watching\n\n".into());
        }
        loop {
            if self.runtime().monotonic() >= self.rests_until {
                // Before anything is told: a right may be gone.
                self.look_at_rights().await;
                if let Some(event) = self.state() {
                    self.ended = self.asked.close_after_state;
                    self.note_told();
                    self.rests_until = self.runtime().monotonic().after(STREAM_PAUSE);
                    return Some(event);
                }
                if std::mem::take(&mut self.woken) {
                    self.rests_until = self.runtime().monotonic().after(STREAM_PAUSE);
                }
            }
            match self.wait().await {
                Woken::Changed => self.woken = true,
                Woken::Look => {
                    let now = self.runtime().monotonic();
                    self.looks_at = now.after(STREAM_LOOKS);
                    self.rests_until = now;
                    if !self.may_be_told().await {
                        return None;
                    }
                    self.watched.iter_mut().for_each(|one| one.stale = true);
                }
                Woken::Ping => {
                    self.note_told();
                    let seconds = self.asked.ping.unwrap_or_default().as_secs();
                    return Some(format!("event: ping\ndata: {{\"interval\":{seconds}}}\n\n"));
                }
                Woken::End => return None,
            }
        }
    }

    /// RFC 8620 §7.3: a ping comes "whenever this time elapses since the previous event was sent".
    fn note_told(&mut self) {
        let now = self.runtime().monotonic();
        self.pings_at = self.asked.ping.map(|ping| now.after(ping));
    }

    /// Is the login as good as it was?
    async fn may_be_told(&self) -> bool {
        match self.jmap.shared.ports.logins.standing(self.user.id).await {
            Ok(standing) => standing == Some(self.standing),
            // The next look will tell.
            Err(_) => true,
        }
    }

    /// Reads again what others give, of the accounts where something changed.
    async fn look_at_rights(&mut self) {
        let mut kept = Vec::with_capacity(self.watched.len());
        for mut watched in std::mem::take(&mut self.watched) {
            let changes = &mut watched.changes;
            watched.stale |= changes.has_changed().unwrap_or(true);
            // Before the look, so that no change falls between.
            changes.borrow_and_update();
            if watched.stale && !watched.room.is_own() {
                match self.jmap.room(&self.user, &watched.room.id()).await {
                    Ok(Some(room)) => watched.room = room,
                    Ok(None) => continue,
                    // The next look will tell; until then nothing is told.
                    Err(_) => {
                        kept.push(watched);
                        continue;
                    }
                }
            }
            watched.stale = false;
            kept.push(watched);
        }
        self.watched = kept;
    }

    /// What changed since it was told last, if anything did.
    fn state(&mut self) -> Option<String> {
        let mut changed = Map::new();
        for watched in self.watched.iter_mut().filter(|one| !one.stale) {
            let room = &watched.room;
            let now = Told::of(room);
            if !watched.told.differs(&now, room) {
                continue;
            }
            let mut states = Map::new();
            for kind in TYPES.into_iter().filter(|kind| self.asked.wants(kind)) {
                let delivered = kind == "EmailDelivery";
                if delivered && !watched.told.has_come(room) {
                    continue;
                }
                states.insert(kind.to_owned(), room.state(now.modseq).into());
            }
            watched.told = now;
            if !states.is_empty() {
                changed.insert(room.id(), Value::Object(states));
            }
        }
        if changed.is_empty() {
            return None;
        }
        let ids = self.watched.iter().map(|one| {
            let Told {
                modseq,
                next_email,
                shown,
            } = one.told;
            format!("{}={modseq}.{next_email}.{shown:x}", one.room.id())
        });
        let ids: Vec<String> = ids.collect();
        let data = json!({ "@type": "StateChange", "changed": changed });
        Some(format!(
            "event: state\nid: {}\ndata: {data}\n\n",
            ids.join(",")
        ))
    }

    async fn wait(&mut self) -> Woken {
        let pings_at = self.pings_at.unwrap_or(self.until);
        let next = pings_at.min(self.looks_at).min(self.until);
        let runtime = self.jmap.shared.ports.runtime.clone();
        let now = runtime.monotonic();
        // Whatever goes on, what is due comes first.
        if now >= next {
            return self.due(next);
        }
        let shutdown = runtime.shutdown();
        let rests = (now < self.rests_until).then(|| self.rests_until.since(now));
        let changed = async {
            if let Some(rests) = rests {
                runtime.sleep(rests).await;
            }
            any_changed(&mut self.watched).await;
        };
        tokio::select! {
            biased;
            () = shutdown.draining() => Woken::End,
            () = changed => Woken::Changed,
            () = runtime.sleep(next.since(now)) => self.due(next),
        }
    }

    fn due(&self, next: Monotonic) -> Woken {
        match next {
            next if next == self.until => Woken::End,
            next if next == self.looks_at => Woken::Look,
            _ => Woken::Ping,
        }
    }
}

/// Returns when any of the accounts changed.
async fn any_changed(watched: &mut [Watched]) {
    let mut changes: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
    for one in watched {
        changes.push(Box::pin(async {
            if one.changes.changed().await.is_ok() {
                one.stale = true;
            } else {
                std::future::pending::<()>().await;
            }
        }));
    }
    poll_fn(|cx| {
        for change in &mut changes {
            if change.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_url_asks_for_is_bounded() {
        let asked = Asked::parse("types=Email,Mailbox&closeafter=state&ping=1").expect("good");
        assert!(asked.wants("Email") && !asked.wants("Thread") && asked.close_after_state);
        assert_eq!(asked.ping, Some(Duration::from_secs(5)));
        let asked = Asked::parse("types=*&closeafter=no&ping=0").expect("good");
        assert!(asked.wants("Thread") && !asked.close_after_state && asked.ping.is_none());
        assert_eq!(Asked::parse("closeafter=never"), None);
        assert_eq!(Asked::parse("ping=-1"), None);
        let told = parse_event_id("A1=55.8.0,A2=x,A3,A4=1.2.ff,A5=1.2");
        assert_eq!(told.keys().collect::<Vec<_>>(), ["A1", "A4"]);
        assert_eq!(told["A1"].modseq, ModSeq(55));
    }
}
