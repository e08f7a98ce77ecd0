//! The ways out: into a gateway of the rules file, or by SMTP.

use deliver::Report;
use dispatch::{BoxFuture, DetourStatus, Site, SmtpTransport, Transport};
use envelope::Envelope;
use gateway::Gateways;
use policy::rules::CurrentRules;
use queue_model::Party;
use settings::rules::{self, Gateway};

/// Which of the two a site is.
pub(super) struct Ways {
    pub(super) smtp: SmtpTransport,
    pub(super) rules: CurrentRules,
    pub(super) gateways: Gateways,
}

impl Ways {
    fn gateway<'a>(&self, site: &'a Site) -> Option<(&'a str, Gateway)> {
        let Site::Named(names) = site else {
            return None;
        };
        let [name] = &names[..] else {
            return None;
        };
        match self.rules.get().transports.get(name)? {
            rules::Transport::Gateway(gateway) => Some((name, gateway.clone())),
            rules::Transport::Server(_) | rules::Transport::Direct(_) => None,
        }
    }
}

impl Transport for Ways {
    fn deliver<'a>(
        &'a self,
        site: &'a Site,
        envelope: &'a Envelope,
        message: &'a dyn deliver::Message,
    ) -> BoxFuture<'a, Report> {
        let Some((name, gateway)) = self.gateway(site) else {
            return self.smtp.deliver(site, envelope, message);
        };
        Box::pin(async move {
            self.gateways
                .deliver(name, &gateway, envelope, message)
                .await
        })
    }

    fn detours(&self) -> Vec<DetourStatus> {
        self.smtp.detours()
    }

    fn party<'a>(&'a self, site: &'a Site) -> BoxFuture<'a, Option<Party>> {
        match self.gateway(site) {
            Some(_) => Box::pin(std::future::ready(None)),
            None => self.smtp.party(site),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use dispatch::{NoRoutes, SmartHost};
    use envelope::Domain;
    use runtime::Runtime;
    use settings::rules::Rules;

    use super::*;
    use crate::acts::testing;
    use crate::wire::outgoing;

    /// Without it, attempts take messages in hand before there is a seat for them.
    #[tokio::test(flavor = "multi_thread")]
    async fn whose_servers_a_site_has_is_known_but_for_gateways() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::for_tests();
        let acts = testing::acts(folder.path(), &runtime).await;
        let store = &acts.store;
        let dns = outgoing::resolver(&store.settings, &runtime).unwrap();
        let ports = outgoing::deliver_ports(&store.settings, "mx.demo.test", store, dns).unwrap();
        let relay = SmartHost::new("127.0.0.9", 25, None);
        let rules = Rules::parse("[transport.build]\nkind = \"worker\"\n").unwrap();
        let ways = Ways {
            smtp: SmtpTransport::new(ports, Some(relay), Arc::new(NoRoutes)),
            rules: CurrentRules::new(rules),
            gateways: Gateways::new(runtime, "mx.demo.test"),
        };
        let party = ways.party(&Site::SmartHost).await;
        assert!(party.is_some_and(|party| party.as_str().contains("127.0.0.9")));
        let build = Site::by_way("build", &Domain::parse("x.test").unwrap());
        assert_eq!(ways.party(&build).await, None);
        store.close().await;
    }
}
