//! The store without its server.

use super::mail::id_in;
use anyhow::{Context as _, Result, ensure};
use directory::Directory;
use engine::{EmbeddedEngine, Options};
use envelope::AccountId;
use mailstore::{Account, Mailstore, Witness};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a message in which its id stands.
const HEADER_BYTES: u64 = 4096;

/// What only grows, over all lives.
#[derive(Debug)]
pub struct Inside {
    store: PathBuf,
    witnesses: HashMap<AccountId, Witness>,
}

impl Inside {
    pub fn new(store: PathBuf) -> Self {
        Self {
            store,
            witnesses: HashMap::new(),
        }
    }

    /// UIDs, mod-sequences and UIDVALIDITYs only grow and mean what they meant,
    /// and opening met no damage.
    pub fn check(&mut self) -> Result<()> {
        let witnesses = &mut self.witnesses;
        open(&self.store, async |address, account| {
            let witness = witnesses.entry(account.id()).or_default();
            let broken = witness.observe(&account.view());
            ensure!(broken.is_empty(), "{address}: {broken:?}");
            Ok(())
        })
    }
}

/// The ids of all messages of each account of a store.
pub fn ids(store: &Path) -> Result<BTreeMap<String, HashSet<String>>> {
    let mut all = BTreeMap::new();
    open(store, async |address, account| {
        let mut ids = HashSet::new();
        for mailbox in account.view().mailboxes() {
            for entry in mailbox.entries() {
                let record = account.email_record(entry.email).await?;
                let text = account.read_message(&record, 0..HEADER_BYTES).await?;
                ids.insert(id_in(&text).context("a message without an id")?);
            }
        }
        all.insert(address, ids);
        Ok(())
    })?;
    Ok(all)
}

/// Opens a store and shows every account with its address.
fn open(store: &Path, mut look: impl AsyncFnMut(String, Arc<Account>) -> Result<()>) -> Result<()> {
    let executor = runtime::process::build(Some(1))?;
    let runtime = executor.runtime();
    let mut options = Options::default();
    options.segment_bytes = 4 << 20;
    let engine = Arc::new(EmbeddedEngine::open(store, &options)?);
    ensure!(
        engine.findings().is_empty(),
        "opening found damage: {:?}",
        engine.findings()
    );
    let blobs = Arc::new(blobs::Blobs::new(engine.clone()));
    let options = mailstore::Options::default();
    let mail = Mailstore::new(engine.clone(), blobs, runtime.clone(), options);
    let options = directory::Options::default();
    let directory = Directory::new(engine.clone(), runtime, options);
    executor.block_on(async {
        for entry in directory.account_list(None).await? {
            let account = mail.account(entry.id).await?;
            look(entry.address.to_string(), account).await?;
        }
        mail.close().await;
        anyhow::Ok(())
    })?;
    engine.close();
    Ok(())
}
