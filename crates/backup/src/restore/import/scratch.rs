//! A store of its own, in a folder that goes with it, for an account as it was.

use crate::archive::Run;
use crate::error::BackupError;
use crate::pass::Pass;
use crate::restore::{Destination, Store};
use crate::run::Watch;
use crate::table::Part;
use blobs::Blobs;
use directory::{Directory, DirectoryError};
use engine::keys::Space;
use engine::{EmbeddedEngine, SharedEngine};
use envelope::Address;
use mailstore::{Account, Mailstore, StoreError};
use runtime::Runtime;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a segment: most accounts are small.
const SEGMENT_BYTES: u64 = 16 << 20;

pub(super) struct Scratch {
    pub(super) into: Destination,
    pub(super) mailstore: Mailstore,
    directory: Directory,
    runtime: Runtime,
    engine: Arc<EmbeddedEngine>,
    // Dropped last: the engine has its files open.
    _folder: tempfile::TempDir,
}

impl Scratch {
    pub(super) fn new(folder: &Path, runtime: &Runtime) -> Result<Self, BackupError> {
        let folder = tempfile::Builder::new()
            .prefix("restore-")
            .tempdir_in(folder)?;
        let mut options = engine::Options::default();
        options.segment_bytes = SEGMENT_BYTES;
        let engine = EmbeddedEngine::open(folder.path(), &options)
            .map_err(|error| BackupError::Scratch(std::io::Error::other(error)))?;
        let engine = Arc::new(engine);
        let shared: SharedEngine = engine.clone();
        let blobs = Arc::new(Blobs::new(Arc::clone(&shared)));
        let mailstore = Mailstore::new(
            Arc::clone(&shared),
            Arc::clone(&blobs),
            runtime.clone(),
            mailstore::Options::default(),
        );
        let options = directory::Options::default();
        let directory = Directory::new(Arc::clone(&shared), runtime.clone(), options);
        Ok(Self {
            into: Destination {
                engine: shared,
                blobs,
            },
            mailstore,
            directory,
            runtime: runtime.clone(),
            engine,
            _folder: folder,
        })
    }

    /// Restores an account's records as they were; the bodies are another pass.
    pub(super) fn account(
        &self,
        pass: &mut Pass<'_>,
        run: &Run,
        address: &Address,
        watch: &mut dyn Watch,
    ) -> Result<Arc<Account>, BackupError> {
        let directory = Space::Directory as u8;
        let is_directory =
            |part: &Part| matches!(part, Part::Space(space, _) if *space == directory);
        self.records(pass, run, is_directory, watch)?;
        let no_account = || BackupError::NoAccount {
            run: run.id.to_string(),
            account: address.to_string(),
        };
        let id = match self.runtime.block_on(self.directory.account_show(address)) {
            Ok(account) => account.id,
            Err(DirectoryError::NoSuchAccount(_)) => return Err(no_account()),
            Err(error) => return Err(error.into()),
        };
        let is_account = |part: &Part| matches!(part, Part::Account(_, account) if *account == id);
        self.records(pass, run, is_account, watch)?;
        match self.runtime.block_on(self.mailstore.account(id)) {
            Err(StoreError::NoAccount(_)) => Err(no_account()),
            other => Ok(other?),
        }
    }

    fn records(
        &self,
        pass: &mut Pass<'_>,
        run: &Run,
        choose: impl Fn(&Part) -> bool,
        watch: &mut dyn Watch,
    ) -> Result<(), BackupError> {
        pass.table(run, &choose, |_| {})?;
        let mut store = Store::new(&self.into);
        pass.records(&mut store, watch)?;
        store.settle()?;
        pass.tell_lost_stretches(run, choose)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.engine.close();
    }
}
