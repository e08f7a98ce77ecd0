//! Lists in the DNS that say what an address is known for (RFC 5782): block lists
//! and, with points below zero, lists of good senders.
//!
//! | finding | when | points |
//! |---|---|---|
//! | `listed` | the list has the address, with a code that counts | the list's |
//!
//! What keeps a list that is broken from refusing all mail:
//! - It counts only while its test entries are as they must be: 127.0.0.2 listed,
//!   127.0.0.1 not (RFC 5782 §5). They are asked for at the start and daily, and
//!   every few minutes while it is off.
//! - An answer outside 127.0.0.0/8 is a zone that is parked or a resolver that
//!   lies; one in 127.255.255.0/24 says that the list refuses to answer us. Both
//!   turn it off until its test entries are right again.
//! - Silence finds nothing, and some of it in a row turns the list off too.
//!
//! Not here: when the test entries are asked for (the wiring).

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use runtime::{Monotonic, Runtime};
use settings::NameList;

use super::{Asked, BoxFuture, Check, Finding, Manner, Names, Phase, Verdict};
use crate::limits::{LIST_ENTRIES, LIST_KEPT, LIST_PATIENCE, LIST_SILENCES_MAX};

/// One list.
pub struct List {
    setting: NameList,
    names: Arc<dyn Names>,
    runtime: Runtime,
    /// Why it does not count, if it doesn't.
    off: Mutex<Option<String>>,
    /// Questions in a row without an answer.
    silences: AtomicU32,
    known: Cache<IpAddr, (Monotonic, Option<Ipv4Addr>)>,
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("List")
            .field("zone", &self.setting.zone)
            .finish_non_exhaustive()
    }
}

impl List {
    /// A list that counts once [`List::probe`] has found it in order.
    #[must_use]
    pub fn new(setting: NameList, names: Arc<dyn Names>, runtime: &Runtime) -> Self {
        Self {
            setting,
            names,
            runtime: runtime.clone(),
            off: Mutex::new(Some("not tried yet".into())),
            silences: AtomicU32::new(0),
            known: Cache::new(LIST_ENTRIES),
        }
    }

    /// Its name in the DNS.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.setting.zone
    }

    /// What a listing says against a client.
    #[must_use]
    pub fn points(&self) -> i32 {
        self.setting.points
    }

    /// Why it does not count at present, if it doesn't.
    #[must_use]
    pub fn off(&self) -> Option<String> {
        self.off.lock().clone()
    }

    /// Asks for the two test entries: whether the list counts from now on.
    pub async fn probe(&self) -> bool {
        let verdict = self.look_at_test_entries().await;
        match verdict {
            Ok(()) => {
                self.silences.store(0, Ordering::Relaxed);
                if let Some(why) = self.off.lock().take() {
                    tracing::info!(list = self.zone(), was = why, "a list counts from now on");
                }
                true
            }
            Err(why) => {
                self.turn_off(why);
                false
            }
        }
    }

    async fn look_at_test_entries(&self) -> Result<(), String> {
        let ask = async |last| {
            let name = query(Ipv4Addr::new(127, 0, 0, last).into(), self.zone());
            let asking = self.names.ipv4(&name);
            match self.runtime.timeout(LIST_PATIENCE.timeout, asking).await {
                Ok(Ok(codes)) => codes_that_count(&codes),
                Ok(Err(error)) => Err(format!("it has no answer: {}", error.reason)),
                Err(_) => Err("it does not answer".to_owned()),
            }
        };
        if ask(2).await?.is_empty() {
            return Err("its test entry 127.0.0.2 is missing: is the name right?".into());
        }
        if !ask(1).await?.is_empty() {
            return Err("it lists 127.0.0.1: it would list everybody".into());
        }
        Ok(())
    }

    fn turn_off(&self, why: String) {
        let mut off = self.off.lock();
        if off.as_ref() != Some(&why) {
            tracing::warn!(list = self.zone(), why, "a list does not count");
        }
        *off = Some(why);
    }

    /// The code that the list has the client under.
    async fn look_up(&self, client: IpAddr) -> Option<Ipv4Addr> {
        if self.off.lock().is_some() {
            return None;
        }
        let now = self.runtime.monotonic();
        if let Some((until, known)) = self.known.get(&client)
            && now < until
        {
            return known;
        }
        let mut waiting = Waiting {
            list: self,
            answered: false,
        };
        let codes = self.names.ipv4(&query(client, self.zone())).await.ok()?;
        waiting.answered = true;
        drop(waiting);
        let code = match codes_that_count(&codes) {
            Ok(codes) => codes.into_iter().find(|code| self.setting.counts(*code)),
            Err(why) => {
                self.turn_off(why);
                return None;
            }
        };
        self.known.insert(client, (now.after(LIST_KEPT), code));
        code
    }
}

impl Check for List {
    fn name(&self) -> &'static str {
        "list"
    }

    fn phase(&self) -> Phase {
        Phase::Connect
    }

    fn manner(&self) -> Manner {
        Manner::Together(LIST_PATIENCE)
    }

    fn check<'a>(&'a self, asked: Asked<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let Some(code) = self.look_up(asked.client()).await else {
                return Verdict::pass();
            };
            let detail = format!("{} says {code}", self.zone());
            Verdict {
                findings: vec![Finding::new("listed", self.points(), detail)],
                ..Verdict::pass()
            }
        })
    }
}

/// A question under way: given up or without an answer, it is a silence.
struct Waiting<'a> {
    list: &'a List,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.answered {
            return self.list.silences.store(0, Ordering::Relaxed);
        }
        let silences = self.list.silences.fetch_add(1, Ordering::Relaxed) + 1;
        if silences >= LIST_SILENCES_MAX {
            self.list.turn_off("it does not answer".to_owned());
        }
    }
}

/// The codes that are listings.
///
/// # Errors
/// What the answer shows about the list as a whole.
fn codes_that_count(codes: &[Ipv4Addr]) -> Result<Vec<Ipv4Addr>, String> {
    for code in codes {
        match code.octets() {
            [127, 255, 255, _] => {
                return Err(format!(
                    "it refuses to answer us ({code}): it wants to be asked by a resolver of your own"
                ));
            }
            [127, ..] => {}
            _ => {
                return Err(format!(
                    "it answers {code}, which is no code: its zone is gone, or the resolver redirects"
                ));
            }
        }
    }
    // RFC 5782 §2.1: 127.0.0.1 is no listing.
    let listings = codes.iter().filter(|code| code.octets() != [127, 0, 0, 1]);
    Ok(listings.copied().collect())
}

/// RFC 5782 §2.1, §2.4: octets or nibbles, the last one first.
fn query(client: IpAddr, zone: &str) -> String {
    let mut name = String::with_capacity(zone.len() + 65);
    // Writing to a String cannot fail.
    match client {
        IpAddr::V4(v4) => {
            for octet in v4.octets().iter().rev() {
                let _ = write!(name, "{octet}.");
            }
        }
        IpAddr::V6(v6) => {
            for octet in v6.octets().iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
            }
        }
    }
    name.push_str(zone);
    name
}

#[cfg(test)]
mod tests;
