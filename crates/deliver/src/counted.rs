//! How the TLS of a session went, for whoever counts it (RFC 8460 §4.3).
//!
//! A policy in testing mode is tried as if it were enforced, so that its domain hears of
//! what would fail; the mail goes all the same (RFC 8461 §5).

use std::sync::Arc;

use envelope::Domain;
use runtime::tls::{CertificateTrouble, certificate_trouble};
use smtp_proto::client::Failure;
use sts::Trouble;
use tls_policy::reporting::{Applied, Failed, PolicyType, ResultType};
use tls_policy::{Mode, Policy, Tlsa};

use crate::connection::{Broken, Connection};
use crate::{Ports, Target, TlsPolicy};

/// What a host's TLS is counted for.
#[derive(Debug, Clone)]
pub struct Counted {
    pub(crate) domain: Domain,
    pub(crate) applied: Arc<Applied>,
    /// A good certificate is asked for, and mail goes without one.
    pub(crate) testing: bool,
}

impl Counted {
    pub(crate) fn none(domain: &Domain) -> Self {
        Self::of(domain, Applied::none())
    }

    pub(crate) fn of(domain: &Domain, applied: Applied) -> Self {
        Self {
            domain: domain.clone(),
            applied: Arc::new(applied),
            testing: false,
        }
    }

    /// A policy whose hosts are named well.
    pub(crate) fn by_sts(domain: &Domain, policy: &Policy) -> Self {
        Self {
            testing: policy.mode == Mode::Testing,
            ..Self::of(domain, of_sts(policy))
        }
    }

    pub(crate) fn by_dane(domain: &Domain, records: &[Tlsa]) -> Self {
        let applied = Applied {
            kind: PolicyType::Tlsa,
            strings: records.iter().map(Tlsa::to_text).collect(),
            hosts: Vec::new(),
        };
        Self::of(domain, applied)
    }

    /// There was no session with this host, for a reason of the policy.
    pub(crate) fn without_session(&self, ports: &Ports, result: ResultType, host: &str, why: &str) {
        let failed = Failed {
            result,
            host: host.to_owned(),
            address: None,
            reason: why.to_owned(),
        };
        if let Some(reports) = &ports.tls_reports {
            reports.count(&self.domain, &self.applied, Err(failed));
        }
    }
}

/// The policy was announced, and could not be had.
pub(crate) fn policy_missing(ports: &Ports, domain: &Domain, trouble: &Trouble) {
    let (result, why) = match trouble {
        Trouble::Fetch(why) => (ResultType::StsPolicyFetchError, why),
        Trouble::Invalid(why) => (ResultType::StsPolicyInvalid, why),
        Trouble::Certificate(why) => (ResultType::StsWebpkiInvalid, why),
    };
    let applied = Applied {
        kind: PolicyType::Sts,
        strings: Vec::new(),
        hosts: Vec::new(),
    };
    Counted::of(domain, applied).without_session(ports, result, "", why);
}

fn of_sts(policy: &Policy) -> Applied {
    Applied {
        kind: PolicyType::Sts,
        strings: policy.to_text().lines().map(str::to_owned).collect(),
        hosts: policy.hosts.clone(),
    }
}

/// Counts a connection that was opened, or not; one that failed before TLS says nothing.
pub(crate) fn session(ports: &Ports, target: &Target, opened: Result<&Connection, &Broken>) {
    let (Some(reports), Some(counted)) = (&ports.tls_reports, &target.counted) else {
        return;
    };
    let failed = |(result, reason)| Failed {
        result,
        host: target.host.clone(),
        address: Some(target.address.ip()),
        reason,
    };
    let result = match opened {
        Ok(connection) if connection.is_tls() => Ok(()),
        Ok(_) => Err(failed((ResultType::StarttlsNotSupported, String::new()))),
        Err(broken) => match of_broken(broken, target) {
            Some(trouble) => Err(failed(trouble)),
            None => return,
        },
    };
    reports.count(&counted.domain, &counted.applied, result);
}

/// What about TLS broke a connection.
fn of_broken(broken: &Broken, target: &Target) -> Option<(ResultType, String)> {
    let error = match broken {
        Broken::Failure(Failure::NoStartTls) => {
            return Some((ResultType::StarttlsNotSupported, String::new()));
        }
        Broken::Handshake(error) => error,
        _ => return None,
    };
    let by_records = target
        .demand
        .as_ref()
        .is_some_and(|d| d.certificates.is_some());
    let result = match certificate_trouble(error) {
        Some(_) if by_records => ResultType::TlsaInvalid,
        Some(CertificateTrouble::OtherName) => ResultType::CertificateHostMismatch,
        Some(CertificateTrouble::Expired) => ResultType::CertificateExpired,
        Some(CertificateTrouble::NotTrusted) => ResultType::CertificateNotTrusted,
        Some(CertificateTrouble::Other) | None => ResultType::ValidationFailure,
    };
    Some((result, error.to_string()))
}

/// Whether a connection is tried as if the policy were enforced.
pub(crate) fn is_tested(ports: &Ports, target: &Target, tls: TlsPolicy) -> bool {
    let testing = target
        .counted
        .as_ref()
        .is_some_and(|counted| counted.testing);
    testing
        && tls == TlsPolicy::Opportunistic
        && ports.verified.is_some()
        && ports.tls_reports.is_some()
}
