//! Everything that owns state, opened from the settings: engine, bodies, mail, queue, directory.
//!
//! Invariant: the engine's lock is held as long as a [`Store`] lives, so there is one per data folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, anyhow};
use blobs::Blobs;
use bounces::{Counts, Returns, Suppressed};
use directory::{Directory, Tokens};
use engine::SharedEngine;
use engine::embedded::{EmbeddedEngine, OpenError, Options};
use mailstore::Mailstore;
use oauth::{Issuer, Keys, Verifier};
use policy::rules::CurrentRules;
use queue::Queue;
use resolver::Resolver;
use runtime::Runtime;
use search::Search;
use settings::{Settings, Suppressing};
use tls_reports::TlsReports;
use tokio::sync::Mutex;

use crate::acts::{Acting, BackingUp, Checking};
use crate::backups::Places;
use crate::door::Door;
use crate::memory::Shares;
use crate::sealing;

/// The opened store.
pub(crate) struct Store {
    pub(crate) engine: Arc<EmbeddedEngine>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) mailstore: Mailstore,
    pub(crate) queue: Queue,
    pub(crate) directory: Directory,
    /// Senders that are rewritten, and known again.
    pub(crate) returns: Returns,
    /// Addresses that nothing is sent to.
    pub(crate) suppressed: Suppressed,
    /// How TLS with other servers went.
    pub(crate) search: Search,
    pub(crate) tls_reports: TlsReports,
    /// Who sends reports about it, while a server runs and reports are on.
    pub(crate) tls_sender: OnceLock<tls_reports::Sender>,
    /// Who is told what became of mail, while a server runs.
    pub(crate) webhooks: OnceLock<webhooks::Webhooks>,
    /// Who checks bearer tokens, where there is an issuer.
    pub(crate) tokens: Option<Arc<Verifier>>,
    pub(crate) runtime: Runtime,
    pub(crate) checking: Arc<Checking>,
    pub(crate) acting: Arc<Acting>,
    /// Who begins or ends a standing order of the queue.
    pub(crate) ordering: Mutex<()>,
    /// How mail leaves, once it does.
    pub(crate) outgoing: OnceLock<dispatch::Watch>,
    /// What is said to other servers, for who looks on.
    pub(crate) transcripts: deliver::Transcripts,
    pub(crate) data_dir: PathBuf,
    pub(crate) places: Places,
    pub(crate) backing_up: Arc<BackingUp>,
    pub(crate) shares: Shares,
    /// What the configuration said when it was opened.
    pub(crate) settings: Arc<Settings>,
    pub(crate) door: Arc<Door>,
    /// What may come in, and where it goes.
    pub(crate) rules: CurrentRules,
    /// Held while it changes which accounts share which limits.
    pub(crate) sharing: Mutex<()>,
}

impl Store {
    /// Opens the store of the settings' data folder, which must be there.
    pub(crate) async fn open(settings: &Settings, runtime: &Runtime) -> anyhow::Result<Self> {
        let data_dir = settings.general.data_dir.clone();
        let mut options = Options::default();
        options.segment_bytes = settings.store.segment_bytes.0;
        let shares = Shares::of(settings);
        options.cache_bytes = shares.index_blocks;
        options.memtable_bytes = shares.memtable;
        options.pending_bytes = usize::try_from(shares.journal).unwrap_or(usize::MAX);
        let engine = runtime
            .blocking(move || open_engine(&data_dir, &options))
            .await?;
        let engine = Arc::new(engine);
        let shared: SharedEngine = engine.clone();
        let blobs = Blobs::with_memory(
            shared.clone(),
            usize::try_from(shares.receiving).unwrap_or(usize::MAX),
            usize::try_from(shares.reading).unwrap_or(usize::MAX),
        );
        let blobs = Arc::new(blobs);
        let mailstore = Mailstore::new(
            shared.clone(),
            blobs.clone(),
            runtime.clone(),
            mailstore::Options {
                cache_bytes_max: shares.views,
                ..mailstore::Options::default()
            },
        );
        let queue = Queue::new(shared.clone(), blobs.clone(), runtime.clone());
        queue.learn_drain().await?;
        let tokens = tokens(settings, runtime)?;
        let options = directory_options(settings, runtime, tokens.clone())?;
        let directory = Directory::new(shared.clone(), runtime.clone(), options);
        let returns = Returns::new(shared.clone(), runtime.clone());
        let counts = match settings.outbound.suppress {
            Suppressing::Off => Counts::Nothing,
            Suppressing::Operator => Counts::Operators,
            Suppressing::All => Counts::All,
        };
        let suppressed = Suppressed::new(shared.clone(), runtime.clone(), counts);
        let door = Door::open(settings, &shared, &directory, runtime).await?;
        let searching = search::Options::within(shares.searching);
        let store = Self {
            engine,
            blobs,
            mailstore,
            queue,
            directory,
            returns,
            suppressed,
            search: Search::new(shared.clone(), runtime.clone(), searching),
            tls_reports: TlsReports::new(shared.clone(), runtime.clone()),
            tls_sender: OnceLock::new(),
            webhooks: OnceLock::new(),
            tokens,
            runtime: runtime.clone(),
            checking: Arc::default(),
            acting: Arc::default(),
            ordering: Mutex::default(),
            outgoing: OnceLock::new(),
            transcripts: deliver::Transcripts::default(),
            data_dir: settings.general.data_dir.clone(),
            places: Places::of(settings)?,
            backing_up: Arc::default(),
            shares,
            settings: Arc::new(settings.clone()),
            door: Arc::new(door),
            rules: crate::rules::load(&settings.policy.rules)?,
            sharing: Mutex::default(),
        };
        if let Err(error) = store.share_quotas().await {
            // Mail goes on, and so does the check that can mend it.
            tracing::error!("domains may go over their quotas, see `posthouse fsck`: {error:#}");
        }
        Ok(store)
    }

    /// True if a store's folder holds nothing that anybody would miss.
    pub(crate) fn holds_nothing(folder: &Path) -> anyhow::Result<bool> {
        let data_dir = folder.parent().unwrap_or(folder);
        let engine = EmbeddedEngine::open(folder, &Options::default())
            .map_err(|error| open_error(error, data_dir))?;
        let engine = Arc::new(engine);
        let shared: SharedEngine = engine.clone();
        let empty = backup::restore::is_empty(&shared);
        engine.close();
        Ok(empty?)
    }

    /// Writes what makes the next start quick, and lets go of the data folder.
    pub(crate) async fn close(&self) {
        self.search.settle().await;
        self.mailstore.close().await;
        let engine = self.engine.clone();
        self.runtime.blocking(move || engine.close()).await;
    }
}

fn open_engine(data_dir: &Path, options: &Options) -> anyhow::Result<EmbeddedEngine> {
    if !data_dir.is_dir() {
        return Err(anyhow!(
            "there is no data folder {}; make one with `posthouse init`, or set data_dir",
            data_dir.display()
        ));
    }
    let folder = data_dir.join("store");
    EmbeddedEngine::open(&folder, options).map_err(|error| open_error(error, data_dir))
}

/// Another process has the folder: a server that has not bound its control socket yet, or a second one.
#[derive(Debug)]
pub(crate) struct FolderInUse(String);

impl std::fmt::Display for FolderInUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FolderInUse {}

fn open_error(error: OpenError, data_dir: &Path) -> anyhow::Error {
    let data_dir = data_dir.display();
    match error {
        OpenError::InUse { pid } => FolderInUse(format!(
            "the data folder {data_dir} is in use by process {pid}; end that one first (kill {pid})"
        ))
        .into(),
        error => anyhow!(error).context(format!("cannot open the store in {data_dir}")),
    }
}

fn directory_options(
    settings: &Settings,
    runtime: &Runtime,
    tokens: Option<Arc<Verifier>>,
) -> anyhow::Result<directory::Options> {
    let data_dir = &settings.general.data_dir;
    let sealing = settings.auth.cram_md5;
    let sealing = sealing.then(|| sealing::find_or_make(data_dir, runtime));
    Ok(directory::Options {
        subaddress_separator: settings.delivery.subaddress_separator.chars().next(),
        scram: settings.auth.scram,
        tokens: tokens.map(|tokens| -> Arc<dyn Tokens> { tokens }),
        sealing: sealing.transpose()?,
        ..directory::Options::default()
    })
}

fn tokens(settings: &Settings, runtime: &Runtime) -> anyhow::Result<Option<Arc<Verifier>>> {
    let oauth = &settings.oauth;
    if oauth.issuer.is_empty() {
        return Ok(None);
    }
    let keys = if oauth.jwks.as_os_str().is_empty() {
        let dns = Resolver::new(&settings.resolver.servers);
        Keys::Issuer(Box::new(dns.context("cannot set up name look-ups")?))
    } else {
        Keys::File(oauth.jwks.clone())
    };
    let audiences = oauth.audiences.iter().map(|word| word.0.clone());
    let issuer = Issuer {
        issuer: oauth.issuer.clone(),
        audiences: audiences.collect(),
        claim: oauth.claim.clone(),
        verified_only: oauth.verified_only,
        scope: oauth.scope.clone(),
        keys,
    };
    let verifier = Verifier::new(issuer, runtime).context("logins by token (oauth.issuer)")?;
    Ok(Some(Arc::new(verifier)))
}
