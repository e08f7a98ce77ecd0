//! Sites whose servers cannot do TLS, remembered for a day.
//!
//! After a failed handshake mail goes in the clear on a new connection. A site
//! where that has happened is spoken to in the clear at once for a day, then TLS
//! is tried again. In memory only: a restart tries TLS anew. Sites where
//! something demands TLS never get here.

use std::collections::HashMap;

use parking_lot::Mutex;
use runtime::{Monotonic, Runtime};

use crate::limits::{CLEAR_SITES_MAX, CLEAR_TIME};
use crate::site::Site;

#[derive(Debug)]
pub(crate) struct ClearSites {
    runtime: Runtime,
    until: Mutex<HashMap<Site, Monotonic>>,
}

impl ClearSites {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            until: Mutex::default(),
        }
    }

    /// True while TLS need not be tried.
    pub(crate) fn contains(&self, site: &Site) -> bool {
        let now = self.runtime.monotonic();
        self.until
            .lock()
            .get(site)
            .is_some_and(|until| *until > now)
    }

    pub(crate) fn remember(&self, site: &Site) {
        let now = self.runtime.monotonic();
        let mut sites = self.until.lock();
        if sites.len() >= CLEAR_SITES_MAX {
            sites.retain(|_, until| *until > now);
        }
        if sites.len() < CLEAR_SITES_MAX {
            sites.insert(site.clone(), now.after(CLEAR_TIME));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use envelope::Domain;
    use std::time::Duration;

    fn site(number: usize) -> Site {
        Site::Domain(Domain::parse(&format!("x{number}.test")).expect("a domain"))
    }

    #[test]
    fn a_site_is_remembered_for_a_day_and_not_too_many_are() {
        let runtime = Runtime::for_tests();
        let sites = ClearSites::new(runtime.clone());
        sites.remember(&site(0));
        assert!(sites.contains(&site(0)) && !sites.contains(&site(1)));
        runtime.advance(CLEAR_TIME - Duration::from_secs(1));
        assert!(sites.contains(&site(0)));
        runtime.advance(Duration::from_secs(1));
        assert!(!sites.contains(&site(0)));
        for number in 0..CLEAR_SITES_MAX + 5 {
            sites.remember(&site(number));
        }
        assert!(!sites.contains(&site(CLEAR_SITES_MAX)));
        runtime.advance(CLEAR_TIME);
        sites.remember(&site(CLEAR_SITES_MAX));
        assert!(sites.contains(&site(CLEAR_SITES_MAX)));
        assert_eq!(sites.until.lock().len(), 1);
    }
}
