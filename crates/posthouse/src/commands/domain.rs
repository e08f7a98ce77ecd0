//! `posthouse domain`.

use std::process::ExitCode;

use serde_json::Value;

use super::Context;
use crate::acts::{DomainAdd, DomainQuota, DomainRemove, DomainRetention, Named, request};
use crate::cli::Domain;

pub(super) fn run(context: &Context<'_>, command: Domain) -> anyhow::Result<ExitCode> {
    context.act(match command {
        Domain::Add {
            domain,
            administrator,
            catch_all,
        } => request(
            "domain.add",
            &DomainAdd {
                domain,
                administrator,
                catch_all,
            },
        ),
        Domain::List => request("domain.list", &Value::Null),
        Domain::Show { domain } => request("domain.show", &Named { name: domain }),
        Domain::Retention { domain, days, .. } => {
            request("domain.retention", &DomainRetention { domain, days })
        }
        Domain::Quota {
            domain,
            bytes,
            messages,
            none,
        } => request(
            "domain.quota",
            &DomainQuota {
                domain,
                bytes,
                messages,
                none,
            },
        ),
        Domain::Remove { domain, force } => {
            request("domain.remove", &DomainRemove { domain, force })
        }
    }?)
}
