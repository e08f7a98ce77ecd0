//! Reports to other organisations, from the settings.

use std::sync::Arc;

use resolver::Resolver;
use runtime::Task;
use settings::Settings;
use tls_reports::{Identity, Internet, Sender};

use crate::limits::REPORTS_ROUND;
use crate::store::Store;

/// Starts sending what is due, if reports are on; it ends with the drain. Receivers are where
/// mail may go too.
pub(super) fn start(
    settings: &Settings,
    hostname: &str,
    store: &Arc<Store>,
    dns: &Resolver,
    ports: &deliver::Ports,
) -> Option<Task<()>> {
    let reports = &settings.reports;
    if reports.contact.is_empty() || !reports.tls {
        return None;
    }
    let organisation = match reports.organisation.as_str() {
        "" => hostname,
        named => named,
    };
    let identity = Identity {
        organisation: organisation.to_owned(),
        contact: reports.contact.clone(),
        hostname: hostname.to_owned(),
    };
    let (runtime, verified) = (store.runtime.clone(), ports.verified.clone());
    let reachable = Arc::clone(&ports.options);
    let may = move |ip| deliver::may_reach(&reachable, ip);
    let receivers = Internet::new(dns.clone(), verified, runtime.clone(), may);
    let sender = Sender::new(store.tls_reports.clone(), Arc::new(receivers), identity);
    // A store has one server.
    let _ = store.tls_sender.set(sender.clone());
    let sending = async move {
        let shutdown = runtime.shutdown();
        while !shutdown.is_draining() {
            tokio::select! {
                result = sender.round() => if let Err(error) = result {
                    tracing::error!(%error, "reports on TLS are not sent for now");
                },
                () = shutdown.draining() => return,
            }
            tokio::select! {
                () = runtime.sleep(REPORTS_ROUND) => {}
                () = shutdown.draining() => {}
            }
        }
    };
    Some(store.runtime.spawn("reports", sending))
}
