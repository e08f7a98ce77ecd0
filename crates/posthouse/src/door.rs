//! What the door knows: bans, how strangers behave, whether the house is crowded. The commands change it, the faces ask it.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use directory::Directory;
use engine::{ReadError, SharedEngine};
use policy::check::bans::{Bans, By};
use policy::check::conduct::Conduct;
use policy::check::greylist::Greylist;
use policy::check::lists::List;
use policy::check::rates::Crowd;
use policy::trace::Trace;
use runtime::Runtime;
use settings::{Network, Settings};

/// One for a store.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) bans: Arc<Bans>,
    pub(crate) conduct: Arc<Conduct>,
    pub(crate) crowd: Crowd,
    pub(crate) trace: Arc<Trace>,
    /// Where the settings wish for it.
    pub(crate) greylist: Option<Arc<Greylist>>,
    pub(crate) exempt: Vec<Network>,
    /// The lists that are asked, where a server runs.
    pub(crate) lists: OnceLock<Vec<Arc<List>>>,
    directory: Directory,
}

impl Door {
    pub(crate) async fn open(
        settings: &Settings,
        engine: &SharedEngine,
        directory: &Directory,
        runtime: &Runtime,
    ) -> Result<Self, ReadError> {
        let conduct = Arc::new(Conduct::new(runtime));
        let greylist = settings.door.greylist.then(|| {
            let delay = settings.door.greylist_delay;
            let (engine, conduct) = (engine.clone(), conduct.clone());
            let list = Greylist::new(engine, directory.clone(), conduct, delay, runtime);
            Arc::new(list)
        });
        Ok(Self {
            bans: Arc::new(Bans::open(engine.clone(), runtime.clone()).await?),
            conduct,
            crowd: Crowd::default(),
            trace: Arc::new(Trace::new(engine.clone(), runtime.clone())),
            greylist,
            exempt: settings.door.exempt.clone(),
            lists: OnceLock::new(),
            directory: directory.clone(),
        })
    }

    pub(crate) fn is_exempt(&self, address: IpAddr) -> bool {
        let mut exempt = self.exempt.iter();
        exempt.any(|network| network.contains(address))
    }

    /// An operator's ban holds on every port, but not where somebody logged in well (an administrator, say).
    pub(crate) fn turns_away(&self, address: IpAddr) -> bool {
        let ban = self.bans.find(address);
        ban.is_some_and(|ban| ban.by == By::Operator)
            && !self.is_exempt(address)
            && !self.directory.is_known_address(address)
    }

    /// Whose place is kept when the house is crowded.
    pub(crate) fn favours(&self, address: IpAddr) -> bool {
        self.is_exempt(address)
            || self.conduct.is_good(address)
            || self.directory.is_known_address(address)
    }
}
