//! A day's record, version 1.
//!
//! | key | value |
//! |---|---|
//! | `S` `t` day since 1970, 4 bytes; domain as A-labels | version byte 1; policies: varint count, then each: |
//! | | kind, byte (0 TLSA, 1 MTA-STS, 2 none) · its strings · its hosts (varint count, then texts) |
//! | | successful · failures of further kinds, varints |
//! | | failures: varint count, then each: result, byte (its place in `ResultType::ALL`) · host, text · address, 0, 4 or 16 bytes · reason, text · count, varint |
//!
//! All fixed numbers are high byte first.

use std::net::IpAddr;

use engine::keys;
use tls_policy::reporting::{Applied, Counted, DayOfDomain, Failed, PolicyType, ResultType};
use wire::codec::{DecodeError, Reader, Writer};

const REPORTS: u8 = b't';
const VERSION: u8 = 1;

/// How keys of this crate begin.
pub const REPORTS_PREFIX: [u8; 2] = [keys::Space::System as u8, REPORTS];

pub(crate) fn day_key(day: u32) -> Vec<u8> {
    let mut key = REPORTS_PREFIX.to_vec();
    key.extend_from_slice(&day.to_be_bytes());
    key
}

pub(crate) fn key(day: u32, domain: &str) -> Vec<u8> {
    let mut key = day_key(day);
    key.extend_from_slice(domain.as_bytes());
    key
}

pub(crate) fn named(key: &[u8]) -> Option<(u32, &str)> {
    named_behind(&REPORTS_PREFIX, key)
}

/// The day and the domain of a key that begins so.
pub(crate) fn named_behind<'a>(prefix: &[u8; 2], key: &'a [u8]) -> Option<(u32, &'a str)> {
    let (day, domain) = key.strip_prefix(prefix)?.split_first_chunk()?;
    let domain = core::str::from_utf8(domain)
        .ok()
        .filter(|name| !name.is_empty())?;
    Some((u32::from_be_bytes(*day), domain))
}

/// What is wrong with a record, if anything is.
#[must_use]
pub fn check_day(key: &[u8], value: &[u8]) -> Option<String> {
    if named(key).is_none() {
        return Some("its key names no day and domain".into());
    }
    decode(value).err().map(|error| error.to_string())
}

pub(crate) fn encode(day: &DayOfDomain) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(VERSION).varint(day.policies.len() as u64);
    for (applied, counted) in &day.policies {
        out.u8(match applied.kind {
            PolicyType::Tlsa => 0,
            PolicyType::Sts => 1,
            PolicyType::None => 2,
        });
        for texts in [&applied.strings, &applied.hosts] {
            out.varint(texts.len() as u64);
            for text in texts {
                out.text(text);
            }
        }
        out.varint(counted.successful).varint(counted.more_failures);
        out.varint(counted.failures.len() as u64);
        for (failed, count) in &counted.failures {
            let place = ResultType::ALL
                .iter()
                .position(|known| *known == failed.result);
            out.u8(u8::try_from(place.unwrap_or_default()).unwrap_or_default());
            out.text(&failed.host);
            match failed.address {
                None => out.bytes(&[]),
                Some(IpAddr::V4(v4)) => out.bytes(&v4.octets()),
                Some(IpAddr::V6(v6)) => out.bytes(&v6.octets()),
            };
            out.text(&failed.reason).varint(*count);
        }
    }
    out.finish()
}

pub(crate) fn decode(record: &[u8]) -> Result<DayOfDomain, DecodeError> {
    let mut reader = Reader::new(record);
    match reader.u8()? {
        VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    let mut day = DayOfDomain::default();
    for _ in 0..reader.varint()? {
        let kind = match reader.u8()? {
            0 => PolicyType::Tlsa,
            1 => PolicyType::Sts,
            2 => PolicyType::None,
            other => return Err(DecodeError::Tag(other)),
        };
        let applied = Applied {
            kind,
            strings: texts(&mut reader)?,
            hosts: texts(&mut reader)?,
        };
        let mut counted = Counted {
            successful: reader.varint()?,
            more_failures: reader.varint()?,
            ..Counted::default()
        };
        for _ in 0..reader.varint()? {
            let place = reader.u8()?;
            let result = ResultType::ALL.get(usize::from(place)).copied();
            let failed = Failed {
                result: result.ok_or(DecodeError::Tag(place))?,
                host: reader.text()?.to_owned(),
                address: address(reader.bytes()?)?,
                reason: reader.text()?.to_owned(),
            };
            counted.failures.insert(failed, reader.varint()?);
        }
        day.policies.insert(applied, counted);
    }
    reader.finish()?;
    Ok(day)
}

fn texts(reader: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    let mut texts = Vec::new();
    for _ in 0..reader.varint()? {
        texts.push(reader.text()?.to_owned());
    }
    Ok(texts)
}

fn address(octets: &[u8]) -> Result<Option<IpAddr>, DecodeError> {
    if octets.is_empty() {
        return Ok(None);
    }
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Ok(Some(v4.into()));
    }
    let v6 = <[u8; 16]>::try_from(octets).map_err(|_| DecodeError::OutOfRange)?;
    Ok(Some(v6.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let sts = Applied {
            kind: PolicyType::Sts,
            strings: vec!["v".into()],
            hosts: vec!["h".into()],
        };
        let mut day = DayOfDomain::default();
        day.count(&sts, Ok(()));
        let failed = Failed {
            result: ResultType::CertificateExpired,
            host: "mx".into(),
            address: "192.0.2.1".parse().ok(),
            reason: "r".into(),
        };
        day.count(&sts, Err(failed));
        let record = encode(&day);
        let golden =
            b"\x01\x01\x01\x01\x01v\x01\x01h\x01\0\x01\x02\x02mx\x04\xc0\0\x02\x01\x01r\x01";
        assert_eq!(record, golden);
        assert_eq!(decode(golden), Ok(day));
        let key = key(0x0102, "far.test");
        assert_eq!(key, b"St\0\0\x01\x02far.test");
        assert_eq!(named(&key), Some((0x0102, "far.test")));
        assert_eq!(check_day(&key, golden), None);
        for end in 0..golden.len() {
            assert!(check_day(&key, &golden[..end]).is_some());
        }
        assert!(check_day(&key[..6], golden).is_some());
    }
}
