//! EventSource: changes as they come. RFC 8620 §7.3
//!
//! A stream is woken by the accounts' own signals, as IDLE is, and tells the state that is durable then.

use crate::Jmap;
use crate::access::Room;
use crate::http::Refusal;
use crate::limits::{PING_SECONDS, STREAM_KEPT, STREAMS_MAX, STREAMS_PER_USER_MAX, WATCHED_MAX};
use crate::look::state_of;
use crate::streaming::{Pieces, Streamed};
use axum::body::{Body, Bytes};
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use directory::BoxFuture;
use envelope::AccountId;
use mailbox_model::ModSeq;
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
    let known = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let known = known.map(parse_event_id).unwrap_or_default();
    let mut watched = Vec::new();
    for room in jmap.rooms(&user).await.into_iter().take(WATCHED_MAX) {
        let mut changes = room.account.subscribe();
        // Before the look, so that no change falls between.
        changes.borrow_and_update();
        let told = match known.get(&room.id()) {
            Some(told) => *told,
            None => told_of(&room),
        };
        watched.push(Watched {
            room,
            changes,
            told,
        });
    }
    let runtime = jmap.shared.ports.runtime.clone();
    let events = Events {
        until: runtime.monotonic().after(STREAM_KEPT),
        runtime,
        watched,
        asked,
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

/// What a client was told of an account: the last change, and the number of the next email.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    modseq: ModSeq,
    next_email: u64,
}

fn told_of(room: &Room) -> Told {
    let view = room.account.view();
    Told {
        modseq: view.modseq(),
        next_email: view.next_email().0,
    }
}

/// `A1=55.8,A2=7.3`
fn parse_event_id(id: &str) -> BTreeMap<String, Told> {
    let pairs = id.split(',').take(WATCHED_MAX).filter_map(|pair| {
        let (account, told) = pair.split_once('=')?;
        let (modseq, next_email) = told.split_once('.')?;
        let told = Told {
            modseq: ModSeq(modseq.parse().ok()?),
            next_email: next_email.parse().ok()?,
        };
        Some((account.to_owned(), told))
    });
    pairs.collect()
}

struct Watched {
    room: Arc<Room>,
    changes: watch::Receiver<ModSeq>,
    told: Told,
}

struct Events {
    runtime: Runtime,
    watched: Vec<Watched>,
    asked: Asked,
    until: Monotonic,
    begun: bool,
    ended: bool,
    _busy: Busy,
    _place: Place,
}

enum Woken {
    Changed,
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
            if let Some(event) = self.state() {
                self.ended = self.asked.close_after_state;
                return Some(event);
            }
            match self.wait().await {
                Woken::Changed => {}
                Woken::Ping => {
                    let seconds = self.asked.ping.unwrap_or_default().as_secs();
                    return Some(format!("event: ping\ndata: {{\"interval\":{seconds}}}\n\n"));
                }
                Woken::End => return None,
            }
        }
    }

    /// What changed since it was told last, if anything did.
    fn state(&mut self) -> Option<String> {
        let mut changed = Map::new();
        for watched in &mut self.watched {
            watched.changes.borrow_and_update();
            let now = told_of(&watched.room);
            if now == watched.told {
                continue;
            }
            let mut states = Map::new();
            for kind in TYPES.into_iter().filter(|kind| self.asked.wants(kind)) {
                let delivered = kind == "EmailDelivery";
                if delivered && now.next_email == watched.told.next_email {
                    continue;
                }
                let state = match delivered {
                    true => now.next_email.to_string(),
                    false => state_of(now.modseq),
                };
                states.insert(kind.to_owned(), state.into());
            }
            watched.told = now;
            if !states.is_empty() {
                changed.insert(watched.room.id(), Value::Object(states));
            }
        }
        if changed.is_empty() {
            return None;
        }
        let ids: Vec<String> = self
            .watched
            .iter()
            .map(|one| {
                format!(
                    "{}={}.{}",
                    one.room.id(),
                    one.told.modseq,
                    one.told.next_email
                )
            })
            .collect();
        let data = json!({ "@type": "StateChange", "changed": changed });
        Some(format!(
            "event: state\nid: {}\ndata: {data}\n\n",
            ids.join(",")
        ))
    }

    async fn wait(&mut self) -> Woken {
        let now = self.runtime.monotonic();
        let left = self.until.since(now);
        if left.is_zero() {
            return Woken::End;
        }
        let pause = self.asked.ping.unwrap_or(left).min(left);
        let shutdown = self.runtime.shutdown();
        tokio::select! {
            biased;
            () = shutdown.draining() => Woken::End,
            () = any_changed(&mut self.watched) => Woken::Changed,
            () = self.runtime.sleep(pause) => match self.asked.ping {
                Some(ping) if ping <= left => Woken::Ping,
                _ => Woken::End,
            },
        }
    }
}

/// Returns when any of the accounts changed.
async fn any_changed(watched: &mut [Watched]) {
    let mut changes: Vec<Pin<Box<dyn Future<Output = bool> + Send + '_>>> = Vec::new();
    for one in watched {
        changes.push(Box::pin(async { one.changes.changed().await.is_ok() }));
    }
    poll_fn(|cx| {
        for change in &mut changes {
            if let Poll::Ready(true) = change.as_mut().poll(cx) {
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
        let told = parse_event_id("A1=55.8,A2=x,A3,A4=1.2");
        assert_eq!(told.keys().collect::<Vec<_>>(), ["A1", "A4"]);
        assert_eq!(told["A1"].modseq, ModSeq(55));
    }
}
