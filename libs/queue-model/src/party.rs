//! Whose servers they are: domains with the same ones share what these take.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::limits::PARTY_NAMES_MAX;

/// Whoever stands behind a set of servers. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party(Arc<str>);

impl Party {
    /// By the MX records of a domain: the names of those with the best preference, which
    /// are the ones that mail goes to. Domains that name the same ones, in whatever order
    /// and case, are one party; nothing is guessed from parts of names.
    #[must_use]
    pub fn of_mx<'a>(records: impl IntoIterator<Item = (u16, &'a str)>) -> Self {
        let mut all: Vec<(u16, String)> = records
            .into_iter()
            .map(|(preference, host)| (preference, host.trim_end_matches('.').to_lowercase()))
            .collect();
        all.sort();
        let best = all.first().map(|(preference, _)| *preference);
        let mut names: Vec<String> = all
            .into_iter()
            .filter(|(preference, _)| Some(*preference) == best)
            .map(|(_, host)| host)
            .collect();
        names.dedup();
        if names.len() <= PARTY_NAMES_MAX {
            return Self(names.join(" ").into());
        }
        // A stranger's DNS does not decide how long our keys are.
        let (first, rest) = names.split_at(PARTY_NAMES_MAX - 1);
        let text = format!("{} +{}#{:016x}", first.join(" "), rest.len(), hash(rest));
        Self(text.into())
    }

    /// A host that the operator named.
    #[must_use]
    pub fn of_host(host: &str, port: u16) -> Self {
        Self(format!("{}:{port}", host.to_lowercase()).into())
    }

    /// The names of its hosts; of very many only some.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let names = self.0.split(' ').filter(|name| !name.starts_with('+'));
        names.map(|name| match name.rsplit_once(':') {
            // A host that the operator named stands with its port.
            Some((host, port)) if port.parse::<u16>().is_ok() => host,
            _ => name,
        })
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Looked up by its name: it compares and hashes as that.
impl Borrow<str> for Party {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// FNV-1a.
fn hash(names: &[String]) -> u64 {
    let bytes = names.iter().flat_map(|name| name.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_with_the_same_best_hosts_are_one_party() {
        let one = Party::of_mx([
            (10, "b.example."),
            (10, "A.example"),
            (20, "spare.one.example"),
        ]);
        let other = Party::of_mx([(5, "a.example"), (5, "b.EXAMPLE"), (5, "b.example")]);
        assert_eq!(one, other);
        assert_eq!(one.as_str(), "a.example b.example");
        let third = Party::of_mx([(10, "a.example")]);
        assert_ne!(one, third);
    }

    #[test]
    fn a_partys_name_is_bounded_and_still_tells_sets_apart() {
        let hosts =
            |n: usize| -> Vec<String> { (0..n).map(|i| format!("mx{i:02}.example")).collect() };
        let party = |hosts: &[String]| Party::of_mx(hosts.iter().map(|host| (1, host.as_str())));
        let (nine, ten) = (party(&hosts(9)), party(&hosts(10)));
        assert_ne!(nine, ten);
        assert!(
            nine.as_str().starts_with("mx00.example mx01.example +7#"),
            "{nine}"
        );
        assert_eq!(party(&hosts(9)), nine);
        let names: Vec<&str> = nine.hosts().collect();
        assert_eq!(names, ["mx00.example", "mx01.example"]);
        let named = Party::of_host("[2001:db8::1]", 25);
        assert_eq!(named.hosts().collect::<Vec<_>>(), ["[2001:db8::1]"]);
    }
}
