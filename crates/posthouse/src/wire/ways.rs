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
