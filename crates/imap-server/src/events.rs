//! Scripts behind what clients do: IMAP events in Sieve (RFC 6785).
//!
//! A command that puts messages into a mailbox or changes their flags is carried out first. Then, before its tagged
//! response, the script that the mailbox's annotation names runs over each of the messages (`run`), and what
//! it asks for is done to the owner's account (`act`). What scripts do is no event: nothing runs behind it.
//!
//! Where no annotation names a script, a command pays for one look at a number in memory.
//!
//! Invariants: a script that fails, is not there or asks for what can't be done changes nothing of the command, and
//! the message stays as the command left it; no lane is held while a script runs; a script that has begun goes on to the
//! end when its session ends; an account has one run at a time.

mod act;
mod compiled;
mod run;
mod world;

use crate::limits::EVENT_RUNS_MAX;
use crate::session::Session;
use bytes::Bytes;
use compiled::Compiled;
use envelope::{AccountId, Address};
use mailbox_model::{Entry, FlagId, MailboxId, ModSeq, Uid, UidSet, View};
use mailstore::{Account, Appended, Transferred};
use parking_lot::Mutex;
use run::{Job, Subject};
use runtime::Tasks;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use tokio::sync::{Semaphore, oneshot};

pub use world::EventTold;

/// A message that a script sends on.
#[derive(Debug, Clone)]
pub struct Redirecting {
    /// Whose script it is.
    pub owner: AccountId,
    /// The owner's primary address: RFC 6785 §3.4 makes it the sender.
    pub from: Address,
    /// To whom.
    pub to: Address,
    /// The message, header and body.
    pub message: Bytes,
}

/// What became of it: how it is called where it waits now, or why it is not sent.
pub type Redirected<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

/// Where what scripts send goes out.
pub trait Outgoing: Send + Sync + std::fmt::Debug {
    /// Takes a message; when it says so the message is on stable storage.
    fn redirect(&self, message: Redirecting) -> Redirected<'_>;
}

/// What the scripts of all sessions share.
#[derive(Debug, Clone)]
pub struct Events {
    outgoing: Option<Arc<dyn Outgoing>>,
    sieve_url: Option<Arc<str>>,
    tasks: Tasks,
    room: Arc<Semaphore>,
    /// One run at a time for an account: its commands wait for each other, and nobody else for them.
    turns: Arc<Mutex<HashMap<AccountId, Weak<Semaphore>>>>,
    compiled: Arc<Compiled>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            outgoing: None,
            sieve_url: None,
            tasks: Tasks::new(),
            room: Arc::new(Semaphore::new(EVENT_RUNS_MAX)),
            turns: Arc::default(),
            compiled: Arc::default(),
        }
    }
}

impl Events {
    /// What scripts send leaves by this door. Without it, `redirect` is an error.
    #[must_use]
    pub fn sending_by(mut self, outgoing: Arc<dyn Outgoing>) -> Self {
        self.outgoing = Some(outgoing);
        self
    }

    /// The ManageSieve server (RFC 5804 §3: `sieve://…`) where clients store scripts. RFC 6785 §2.1: only with it
    /// the capability is told; scripts run without it too.
    #[must_use]
    pub fn managed_at(mut self, url: &str) -> Self {
        self.sieve_url = Some(url.into());
        self
    }

    pub(crate) fn sieve_url(&self) -> Option<&str> {
        self.sieve_url.as_deref()
    }

    /// Returns when no script runs.
    pub async fn wait(&self) {
        self.tasks.wait().await;
    }

    #[cfg(test)]
    pub(crate) fn compiled(&self) -> usize {
        self.compiled.made()
    }

    fn turns_of(&self, account: AccountId) -> Arc<Semaphore> {
        let mut turns = self.turns.lock();
        if let Some(known) = turns.get(&account).and_then(Weak::upgrade) {
            return known;
        }
        turns.retain(|_, turns| turns.strong_count() > 0);
        let new = Arc::new(Semaphore::new(1));
        turns.insert(account, Arc::downgrade(&new));
        new
    }
}

/// RFC 6785 §4.3. A MOVE puts messages into a mailbox as COPY does, and REPLACE as APPEND does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Append,
    Copy,
    Flag,
}

impl Cause {
    fn as_str(self) -> &'static str {
        match self {
            Self::Append => "APPEND",
            Self::Copy => "COPY",
            Self::Flag => "FLAG",
        }
    }
}

/// A mailbox that has a script, before something is done there.
pub(crate) struct Armed {
    account: Arc<Account>,
    mailbox: MailboxId,
    script: String,
    before: Arc<View>,
}

/// The script that runs at events in a mailbox, if one does.
pub(crate) async fn arm(
    session: &Session,
    account: &Arc<Account>,
    mailbox: MailboxId,
) -> Option<Armed> {
    match account.event_script(mailbox).await {
        Ok(script) => Some(Armed {
            account: Arc::clone(account),
            mailbox,
            script: script?,
            before: account.view(),
        }),
        Err(error) => {
            tracing::error!(session = session.id, account = %account.id(), %error, "imap: no script runs, the annotations cannot be read");
            None
        }
    }
}

/// What is wrong with a script that is to run at events, in ASCII. One that is not there may come later
/// (RFC 6785 §2.3.1).
pub(crate) async fn refusal_of(
    session: &Session,
    account: &Arc<Account>,
    name: &str,
) -> Option<String> {
    let scripts = account.scripts().await.ok()?;
    let source = scripts.source(name)?.to_owned();
    let compiled = Arc::clone(&session.ports.events.compiled);
    let work = move || compiled.script(&source);
    let said = session.ports.runtime.blocking(work).await.err()?;
    let first = said.lines().next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii() { c } else { '?' };
    Some(first.chars().map(plain).collect())
}

/// Behind an APPEND or a REPLACE.
pub(crate) async fn appended(
    session: &Session,
    account: &Arc<Account>,
    mailbox: MailboxId,
    done: &Appended,
) {
    let uids = done.emails.iter().map(|(_, uid)| *uid);
    added(session, account, mailbox, Cause::Append, uids).await;
}

/// Behind a COPY or a MOVE.
pub(crate) async fn copied(
    session: &Session,
    account: &Arc<Account>,
    mailbox: MailboxId,
    done: &Transferred,
) {
    let uids = done.uids.iter().map(|(_, uid)| *uid);
    added(session, account, mailbox, Cause::Copy, uids).await;
}

async fn added(
    session: &Session,
    account: &Arc<Account>,
    mailbox: MailboxId,
    cause: Cause,
    uids: impl Iterator<Item = Uid>,
) {
    if let Some(armed) = arm(session, account, mailbox).await {
        let subject = |uid| Subject {
            uid,
            changed: String::new(),
        };
        let mut subjects: Vec<Subject> = uids.map(subject).collect();
        subjects.sort_by_key(|subject| subject.uid);
        armed.run(session, cause, subjects).await;
    }
}

impl Armed {
    /// Behind a change of flags that has this number: true if a script ran. What others have
    /// changed meanwhile is theirs.
    pub(crate) async fn flags_changed(
        self,
        session: &Session,
        uids: &UidSet,
        modseq: Option<ModSeq>,
    ) -> bool {
        let after = self.account.view();
        let (Some(was), Some(is)) = (
            self.before.mailbox(self.mailbox),
            after.mailbox(self.mailbox),
        ) else {
            return false;
        };
        let mut subjects = Vec::new();
        for uid in uids.iter() {
            let (Some((_, was)), Some((_, is))) = (was.find(uid), is.find(uid)) else {
                continue;
            };
            let changed = changed_flags(&after, was, is);
            if Some(is.modseq) == modseq && !changed.is_empty() {
                subjects.push(Subject { uid, changed });
            }
        }
        !subjects.is_empty() && {
            self.run(session, Cause::Flag, subjects).await;
            true
        }
    }

    /// Runs the script over each message, and waits until all that it asks for is done.
    async fn run(self, session: &Session, cause: Cause, subjects: Vec<Subject>) {
        let Some(login) = session.login.as_ref().filter(|_| !subjects.is_empty()) else {
            return;
        };
        let view = self.account.view();
        let Some(mailbox) = view.mailbox(self.mailbox) else {
            return;
        };
        let environment =
            world::environment(session, login, cause.as_str(), mailbox.name().as_str());
        let ports = Arc::clone(&session.ports);
        let job = Job {
            session: session.id,
            ports: Arc::clone(&ports),
            account: self.account,
            mailbox: self.mailbox,
            script: self.script,
            cause: cause.as_str(),
            environment,
            subjects,
        };
        let (ended, waiting) = oneshot::channel();
        let room = Arc::clone(&ports.events.room);
        // Waited for by the session: a client that goes away before leaves a command without its script, and
        // nothing behind that piles up.
        let turns = ports.events.turns_of(job.account.id());
        let Ok(turn) = turns.clone().acquire_owned().await else {
            return;
        };
        // Of its own, so that a client that goes away leaves nothing half done.
        ports.events.tasks.spawn(&ports.runtime, async move {
            let room = room.acquire().await;
            Box::pin(job.run()).await;
            drop((room, turn, turns));
            // Nobody may be waiting any more.
            let _ = ended.send(());
        });
        // An error says that it panicked: our mistake, and none of the client's.
        let _ = waiting.await;
    }
}

/// The flags that one entry has and the other has not, separated by spaces (RFC 6785 §4.5).
fn changed_flags(view: &View, was: &Entry, is: &Entry) -> String {
    let gone = was.flags().filter(|flag| !is.has(*flag));
    let come = is.flags().filter(|flag| !was.has(*flag));
    let name = |flag: FlagId| view.flag(flag).as_str().to_owned();
    gone.chain(come).map(name).collect::<Vec<_>>().join(" ")
}
