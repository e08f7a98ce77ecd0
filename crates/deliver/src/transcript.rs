//! What is said to other servers and by them, for a person who looks on.
//!
//! Nobody looks on most of the time: then a connection asks one flag and keeps
//! nothing. Passwords and messages are never in it, only that there were some.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use runtime::{Monotonic, Runtime};
use smtp_proto::client::Stage;

use crate::limits::{LOOK_LINES_MAX, LOOK_PATIENCE, LOOKS_MAX, SAID_BYTES_MAX};

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// We.
    Us,
    /// The other server.
    Them,
    /// Nobody: what happened to the connection.
    Neither,
}

/// One line of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its place in the transcript, from 1.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Which connection: each has another number.
    pub connection: u64,
    /// The other server.
    pub host: Arc<str>,
    /// Who said it.
    pub by: Speaker,
    /// Without CRLF, at most 500 octets.
    pub text: String,
}

/// What people look at. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Transcripts(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_watched: AtomicBool,
    connections: AtomicU64,
    looks: Mutex<Vec<Look>>,
}

/// Somebody looks at these hosts.
#[derive(Debug)]
struct Look {
    of: String,
    /// Hosts, domains of hosts and addresses.
    names: Vec<String>,
    lines: VecDeque<Said>,
    last: u64,
    asked: Monotonic,
}

impl Look {
    fn is_of(&self, host: &str, address: &str) -> bool {
        self.names.iter().any(|name| {
            let is_below = || {
                let rest = host.strip_suffix(name.as_str());
                rest.is_some_and(|rest| rest.ends_with('.'))
            };
            name == host || name == address || is_below()
        })
    }
}

impl Transcripts {
    /// What was said to `of` behind the line with this number. The first question
    /// begins to look, at hosts with one of these names or addresses; it ends ten
    /// seconds after the last one. Nothing when too many look already.
    #[must_use]
    pub fn read(
        &self,
        runtime: &Runtime,
        of: &str,
        names: &[String],
        after: u64,
    ) -> Option<Vec<Said>> {
        let now = runtime.monotonic();
        let mut looks = self.0.looks.lock();
        looks.retain(|look| now.since(look.asked) < LOOK_PATIENCE);
        let place = looks.iter().position(|look| look.of == of);
        let look = match place {
            Some(place) => &mut looks[place],
            None if looks.len() >= LOOKS_MAX => return None,
            None => {
                looks.push(Look {
                    of: of.to_owned(),
                    names: names.iter().map(|name| name.to_lowercase()).collect(),
                    lines: VecDeque::new(),
                    last: 0,
                    asked: now,
                });
                looks.last_mut()?
            }
        };
        look.asked = now;
        let behind = look.lines.iter().filter(|said| said.number > after);
        let said = behind.cloned().collect();
        self.0.is_watched.store(true, Ordering::Release);
        Some(said)
    }

    /// Who hears what is said on a connection there, if anybody does.
    pub(crate) fn listener(
        &self,
        runtime: &Runtime,
        host: &str,
        address: SocketAddr,
    ) -> Option<Listener> {
        if !self.0.is_watched.load(Ordering::Acquire) {
            return None;
        }
        let host = host.trim_end_matches('.').to_lowercase();
        let address = address.ip().to_canonical().to_string();
        let now = runtime.monotonic();
        let mut looks = self.0.looks.lock();
        looks.retain(|look| now.since(look.asked) < LOOK_PATIENCE);
        self.0
            .is_watched
            .store(!looks.is_empty(), Ordering::Release);
        looks
            .iter()
            .any(|look| look.is_of(&host, &address))
            .then(|| Listener {
                to: self.clone(),
                runtime: runtime.clone(),
                connection: self.0.connections.fetch_add(1, Ordering::Relaxed) + 1,
                host: host.into(),
                address,
            })
    }
}

/// Hears one connection.
#[derive(Debug)]
pub(crate) struct Listener {
    to: Transcripts,
    runtime: Runtime,
    connection: u64,
    host: Arc<str>,
    address: String,
}

impl Listener {
    /// Something happened to the connection.
    pub(crate) fn happened(&self, what: &str) {
        self.line(Speaker::Neither, what);
    }

    /// We said these lines, at this point of the session.
    pub(crate) fn we_said(&self, octets: &[u8], stage: Stage) {
        for line in lines(octets) {
            let text = String::from_utf8_lossy(line);
            match stage {
                Stage::Auth => self.line(Speaker::Us, &without_secret(&text)),
                _ => self.line(Speaker::Us, &text),
            }
        }
    }

    /// We sent these chunks of a message; only what announces them is told.
    pub(crate) fn we_said_chunks(&self, octets: &[u8]) {
        let mut rest = octets;
        while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
            let line = String::from_utf8_lossy(&rest[..end]);
            let size = line.split_whitespace().nth(1);
            let Some(size) = size.and_then(|size| size.parse::<usize>().ok()) else {
                return;
            };
            self.line(Speaker::Us, &line);
            rest = rest.get(end + 1 + size..).unwrap_or_default();
        }
    }

    /// They said so; a line may be in two pieces where the network has cut it.
    pub(crate) fn they_said(&self, octets: &[u8]) {
        for line in lines(octets) {
            self.line(Speaker::Them, &String::from_utf8_lossy(line));
        }
    }

    fn line(&self, by: Speaker, text: &str) {
        let at_ms = self.runtime.now().unix_ms;
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        let text = &text[..text.floor_char_boundary(SAID_BYTES_MAX)];
        let mut looks = self.to.0.looks.lock();
        for look in looks
            .iter_mut()
            .filter(|look| look.is_of(&self.host, &self.address))
        {
            look.last += 1;
            if look.lines.len() >= LOOK_LINES_MAX {
                look.lines.pop_front();
            }
            look.lines.push_back(Said {
                number: look.last,
                at_ms,
                connection: self.connection,
                host: Arc::clone(&self.host),
                by,
                text: text.to_owned(),
            });
        }
    }
}

fn lines(octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = octets.split(|octet| *octet == b'\n');
    lines.filter(|line| !line.trim_ascii().is_empty())
}

/// `AUTH PLAIN` without what follows; of what follows on lines of their own, nothing.
fn without_secret(line: &str) -> String {
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some(verb), Some(mechanism)) if verb.eq_ignore_ascii_case("AUTH") => {
            format!("AUTH {mechanism} (not shown)")
        }
        _ => "(not shown)".to_owned(),
    }
}
