//! iprev: does a name of the client's address lead back to it? RFC 8601 §2.7.3.
//!
//! | finding | when |
//! |---|---|
//! | `iprev-none` | the address has no name |
//! | `iprev-fail` | it has, and none leads back |
//!
//! The answer is kept for each address ([`IPREV_KEPT`]), besides what the
//! resolver keeps of each question; that nobody could say is not kept.

use std::net::IpAddr;
use std::sync::Arc;

use envelope::Reply;
use quick_cache::sync::Cache;
use resolver::AddressAnswer;
use runtime::{Monotonic, Runtime};

use super::{Action, Asked, BoxFuture, Check, Finding, IpRev, Manner, Mode, Names, Phase, Verdict};
use crate::limits::{DNS_PATIENCE, IPREV_ENTRIES, IPREV_KEPT, IPREV_NAMES_MAX, MARK_POINTS};

/// Asks for the names of the client's address and where they lead.
pub struct ReverseName {
    mode: Mode,
    names: Arc<dyn Names>,
    runtime: Runtime,
    known: Cache<IpAddr, (Monotonic, IpRev)>,
}

impl std::fmt::Debug for ReverseName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReverseName")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl ReverseName {
    /// The check, with nothing known yet.
    #[must_use]
    pub fn new(mode: Mode, names: Arc<dyn Names>, runtime: &Runtime) -> Self {
        Self {
            mode,
            names,
            runtime: runtime.clone(),
            known: Cache::new(IPREV_ENTRIES),
        }
    }

    async fn look_up(&self, client: IpAddr) -> IpRev {
        let now = self.runtime.monotonic();
        if let Some((until, known)) = self.known.get(&client)
            && now < until
        {
            return known;
        }
        let found = self.ask(client).await;
        if found != IpRev::Unknown {
            let until = now.after(IPREV_KEPT);
            self.known.insert(client, (until, found.clone()));
        }
        found
    }

    async fn ask(&self, client: IpAddr) -> IpRev {
        let Ok(names) = self.names.ptr(client).await else {
            return IpRev::Unknown;
        };
        let mut sure = true;
        for name in names.iter().take(IPREV_NAMES_MAX) {
            match self.names.addresses(name).await {
                Ok(AddressAnswer::Addresses(all)) => {
                    if all.iter().any(|ip| ip.to_canonical() == client) {
                        return IpRev::Pass(name.clone());
                    }
                }
                Ok(AddressAnswer::None | AddressAnswer::NxDomain) => {}
                Err(_) => sure = false,
            }
        }
        match names.into_iter().next() {
            None => IpRev::None,
            Some(first) if sure => IpRev::Fail(first),
            Some(_) => IpRev::Unknown,
        }
    }
}

impl Check for ReverseName {
    fn name(&self) -> &'static str {
        "iprev"
    }

    fn phase(&self) -> Phase {
        Phase::Connect
    }

    fn manner(&self) -> Manner {
        Manner::Together(DNS_PATIENCE)
    }

    fn check<'a>(&'a self, asked: Asked<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let iprev = self.look_up(asked.client()).await;
            let client = asked.client_literal();
            let (found, text) = match &iprev {
                IpRev::Pass(_) | IpRev::Unknown => (None, String::new()),
                IpRev::None => (
                    Some(Finding::new("iprev-none", MARK_POINTS, "")),
                    format!("{client} has no name in the DNS (PTR)"),
                ),
                IpRev::Fail(name) => (
                    Some(Finding::new("iprev-fail", MARK_POINTS, name.clone())),
                    format!("{client} has the name {name}, which does not lead back to it"),
                ),
            };
            let verdict = found.map(|found| {
                // RFC 7372 §3.3
                let advice = "ask the owner of your address to correct its reverse name";
                let reply = Reply::enhanced(550, (5, 7, 25), &format!("{text}; {advice}"));
                Verdict::found(found, self.mode, Action::Refuse(reply))
            });
            Verdict {
                iprev: Some(iprev),
                ..verdict.unwrap_or_default()
            }
        })
    }
}
