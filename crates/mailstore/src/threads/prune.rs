//! What is kept of emails that are gone for good goes too, once it is much.
//!
//! A thread lives as long as one of its emails has a record. The keys of one that does not lead nowhere, and nobody
//! holds its name: they go, and emails without a record leave the pages. Of a thread that lives the keys stay,
//! those of emails that are gone too: an answer to one of them still finds it.

use super::{Head, damaged, first_of, put, read_page, write_page};
use crate::account::Account;
use crate::error::StoreError;
use crate::keys;
use crate::limits::{COMMIT_BYTES_SOFT, THREADS_GONE_MIN};
use crate::load::for_each;
use crate::reading::EmailReader;
use engine::{Batch, Expect, Snapshot, SubmitError, Ticket};
use envelope::AccountId;
use mailbox_model::{EmailId, Threads};
use std::collections::HashSet;
use std::ops::ControlFlow;

impl Account {
    /// Notes that so many emails went for good, and throws away what nobody can ask for, when it may be half of all.
    ///
    /// # Errors
    /// A record of threads is damaged; the engine can't be read or written.
    ///
    /// # Cancel safety
    /// What was thrown away stays away; the rest goes with the next ones.
    pub(crate) async fn prune_threads(&self, gone: u64) -> Result<(), StoreError> {
        let mut known = self.threads.lock().await;
        let reader = self.email_reader();
        let emails = self.view().usage().emails;
        let work = move || prune(&reader, gone, emails);
        let pruned = match self.shared.runtime.blocking(work).await {
            Err(StoreError::Submit(SubmitError::Conflict { .. })) => None,
            pruned => pruned?,
        };
        if let Some(ticket) = pruned {
            ticket.done().await;
            *known = Threads::default();
            self.weigh_threads(0);
        }
        Ok(())
    }
}

/// The last commit, if anything was thrown away.
fn prune(reader: &EmailReader, gone: u64, emails: u64) -> Result<Option<Ticket>, StoreError> {
    let (snapshot, account) = (reader.snapshot(), reader.account());
    let Some((mut head, version)) = Head::stored(&*snapshot, account)? else {
        return Ok(None);
    };
    head.gone += gone;
    let mut pruning = Pruning {
        reader,
        head,
        version: Expect::Version(version),
        batch: Batch::new(),
        ticket: None,
    };
    if head.gone < THREADS_GONE_MIN.max(emails) {
        pruning.submit()?;
        return Ok(None);
    }
    pruning.head.gone = 0;
    let alive = with_records(&*snapshot, account)?;
    let living = pruning.pages(&*snapshot, &alive)?;
    pruning.keys(&*snapshot, &living)?;
    pruning.submit()?;
    Ok(pruning.ticket)
}

/// The emails that have one.
fn with_records(
    snapshot: &dyn Snapshot,
    account: AccountId,
) -> Result<HashSet<EmailId>, StoreError> {
    let (start, end) = keys::emails(account);
    let mut alive = HashSet::new();
    snapshot.visit(&start, &end, &mut |key, _| {
        alive.extend(keys::email_of(key));
        ControlFlow::Continue(())
    })?;
    Ok(alive)
}

struct Pruning<'a> {
    reader: &'a EmailReader,
    head: Head,
    version: Expect,
    batch: Batch,
    ticket: Option<Ticket>,
}

impl Pruning<'_> {
    /// Takes emails without a record out of the pages. The threads that have one with a record.
    fn pages(
        &mut self,
        snapshot: &dyn Snapshot,
        alive: &HashSet<EmailId>,
    ) -> Result<HashSet<EmailId>, StoreError> {
        let account = self.reader.account();
        // Who is in no page is the first of his thread.
        let mut living = alive.clone();
        let start = keys::thread_page(account, 0);
        let (_, end) = keys::threads(account);
        for_each(snapshot, start, &end, |key, record| {
            let mut page = Vec::new();
            read_page(&key, &record.value, |email, first| {
                page.push((email, first));
            })
            .map_err(damaged(account))?;
            let before = page.len();
            page.retain(|(email, _)| alive.contains(email));
            for (email, first) in &page {
                living.remove(email);
                living.insert(*first);
            }
            if page.is_empty() {
                self.batch.delete(key);
            } else if page.len() < before {
                write_page(&mut self.batch, key, &page);
            }
            self.submit_if_full()
        })?;
        Ok(living)
    }

    /// Throws away what leads to threads that do not live.
    fn keys(
        &mut self,
        snapshot: &dyn Snapshot,
        living: &HashSet<EmailId>,
    ) -> Result<(), StoreError> {
        let account = self.reader.account();
        let start = keys::thread_key(account, &Default::default());
        let end = keys::thread_page(account, 0);
        for_each(snapshot, start, &end, |key, record| {
            let first = first_of(&key, &record.value).map_err(damaged(account))?;
            if !living.contains(&first) {
                self.batch.delete(key);
            }
            self.submit_if_full()
        })
    }

    fn submit_if_full(&mut self) -> Result<(), StoreError> {
        match self.batch.size_bytes() > COMMIT_BYTES_SOFT {
            true => self.submit(),
            false => Ok(()),
        }
    }

    /// Whoever lets emails join meanwhile, elsewhere, has to look again.
    fn submit(&mut self) -> Result<(), StoreError> {
        let mut batch = std::mem::take(&mut self.batch);
        let key = keys::threads_head(self.reader.account());
        batch.expect(key.clone(), self.version);
        put(&mut batch, key, self.head.encode());
        let ticket = self.reader.engine().submit(batch)?;
        self.version = Expect::Version(ticket.commit());
        self.ticket = Some(ticket);
        Ok(())
    }
}
