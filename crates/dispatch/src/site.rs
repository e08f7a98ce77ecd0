//! What a site is, and how the ways of mail name it.

use std::net::IpAddr;
use std::sync::Arc;

use envelope::Domain;

/// Where mail goes together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Site {
    /// Mailboxes here.
    Local,
    /// The relay that takes all mail for elsewhere.
    SmartHost,
    /// A domain's own servers.
    Domain(Domain),
    /// The same, from these addresses of ours.
    From(Domain, Arc<[IpAddr]>),
    /// The primary of a domain that we are a backup of.
    Primary(Domain),
    /// Transports of the rules file, tried in this order.
    Named(Arc<[String]>),
}

impl Site {
    /// The way that a person has given a domain's mail: `mx`, `smart-host`, or
    /// names of transports with commas between them.
    #[must_use]
    pub fn by_way(way: &str, domain: &Domain) -> Self {
        match way {
            "mx" => Self::Domain(domain.clone()),
            "smart-host" => Self::SmartHost,
            names => Self::Named(
                names
                    .split(',')
                    .map(|name| name.trim().to_owned())
                    .collect(),
            ),
        }
    }
}

impl std::fmt::Display for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::SmartHost => f.write_str("smart host"),
            Self::Domain(domain) | Self::Primary(domain) => domain.fmt(f),
            Self::From(domain, sources) => {
                let sources: Vec<String> = sources.iter().map(IpAddr::to_string).collect();
                write!(f, "{domain} from {}", sources.join(" or "))
            }
            Self::Named(names) => write!(f, "transport {}", names.join(", then ")),
        }
    }
}
