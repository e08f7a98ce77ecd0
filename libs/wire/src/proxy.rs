//! The header of the PROXY protocol, versions 1 and 2: who is behind a proxy.
//!
//! The specification is HAProxy's `proxy-protocol.txt`. A header stands before
//! everything else, TLS too, and must be read without an octet of what follows:
//! [`needs`] says how many octets may be read next. Not here: whom to believe.
//!
//! | version | form |
//! |---|---|
//! | 1 | `PROXY TCP4 source destination port port CRLF`, or `PROXY UNKNOWN … CRLF`; at most 107 octets |
//! | 2 | 12 octets of signature; version and command; family and protocol; 2 octets of length; addresses; extensions |

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use memchr::memchr;
use thiserror::Error;

/// Octets of a version 1 header with its CRLF (§2.1).
pub const LINE_BYTES_MAX: usize = 107;
/// Octets behind the fixed part of a version 2 header. Addresses take 36 at most;
/// the rest are extensions, which are not looked at.
pub const EXTENDED_BYTES_MAX: usize = 4096;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const FIXED_BYTES: usize = 16;

/// What a proxy says about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxied {
    /// It is the proxy's own (a health check), or it does not know: the addresses
    /// of the connection itself count.
    Local,
    /// Somebody's.
    Client {
        /// Who it is.
        source: SocketAddr,
        /// Whom it has called.
        destination: SocketAddr,
    },
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Read up to so many octets more, and ask again.
    Read(usize),
    /// The octets are a whole header, and nothing more.
    Done(Proxied),
}

/// What is no header.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum ProxyError {
    /// The first octets belong to neither version.
    #[error("it does not begin with a PROXY header")]
    NoHeader,
    /// A version 1 line that is none.
    #[error("the PROXY line is malformed")]
    Line,
    /// A version, command, family or length that is not known.
    #[error("the binary PROXY header is malformed")]
    Binary,
}

/// Looks at all octets that were read so far.
///
/// # Errors
/// [`ProxyError`]: close the connection without a word.
pub fn needs(octets: &[u8]) -> Result<Next, ProxyError> {
    let head = &octets[..octets.len().min(SIGNATURE.len())];
    if SIGNATURE.starts_with(head) {
        return match octets.len().checked_sub(SIGNATURE.len()) {
            None => Ok(Next::Read(SIGNATURE.len() - octets.len())),
            Some(_) => needs_binary(octets),
        };
    }
    let word = &octets[..octets.len().min(6)];
    if !b"PROXY ".starts_with(word) {
        return Err(ProxyError::NoHeader);
    }
    match memchr(b'\n', octets) {
        Some(end) if end + 1 == octets.len() => parse_line(octets).map(Next::Done),
        // The shortest line is longer than the signature; behind that its end may be next.
        None if octets.len() < SIGNATURE.len() => Ok(Next::Read(SIGNATURE.len() - octets.len())),
        None if octets.len() < LINE_BYTES_MAX => Ok(Next::Read(1)),
        _ => Err(ProxyError::Line),
    }
}

fn parse_line(line: &[u8]) -> Result<Proxied, ProxyError> {
    let line = line.strip_suffix(b"\r\n").ok_or(ProxyError::Line)?;
    let line = core::str::from_utf8(line).map_err(|_| ProxyError::Line)?;
    let mut words = line.split(' ').skip(1);
    let mut next = || words.next().ok_or(ProxyError::Line);
    let four = match next()? {
        "UNKNOWN" => return Ok(Proxied::Local),
        "TCP4" => true,
        "TCP6" => false,
        _ => return Err(ProxyError::Line),
    };
    let ip = |text: &str| {
        let ip: IpAddr = text.parse().map_err(|_| ProxyError::Line)?;
        (ip.is_ipv4() == four).then_some(ip).ok_or(ProxyError::Line)
    };
    let (source, destination) = (ip(next()?)?, ip(next()?)?);
    let (source_port, destination_port) = (port(next()?)?, port(next()?)?);
    match words.next() {
        None => Ok(Proxied::Client {
            source: SocketAddr::new(source, source_port),
            destination: SocketAddr::new(destination, destination_port),
        }),
        Some(_) => Err(ProxyError::Line),
    }
}

/// §2.1: no leading zeros.
fn port(text: &str) -> Result<u16, ProxyError> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(ProxyError::Line)
}

fn needs_binary(octets: &[u8]) -> Result<Next, ProxyError> {
    let Some((fixed, rest)) = octets.split_first_chunk::<FIXED_BYTES>() else {
        return Ok(Next::Read(FIXED_BYTES - octets.len()));
    };
    let [.., version, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if version & 0xf0 != 0x20 || version & 0x0f > 1 || length > EXTENDED_BYTES_MAX {
        return Err(ProxyError::Binary);
    }
    match length.checked_sub(rest.len()) {
        Some(0) => {}
        Some(missing) => return Ok(Next::Read(missing)),
        None => return Err(ProxyError::Binary),
    }
    let local = version & 0x0f == 0;
    match family {
        _ if local => Ok(Next::Done(Proxied::Local)),
        // Unspecified, and unix sockets: the connection's own addresses count.
        0x00 | 0x31 => Ok(Next::Done(Proxied::Local)),
        0x11 => addresses(rest, |octets: [u8; 4]| Ipv4Addr::from(octets).into()),
        0x21 => addresses(rest, |octets: [u8; 16]| {
            Ipv6Addr::from(octets).to_canonical()
        }),
        _ => Err(ProxyError::Binary),
    }
}

fn addresses<const N: usize>(
    rest: &[u8],
    ip: impl Fn([u8; N]) -> IpAddr,
) -> Result<Next, ProxyError> {
    let (source, rest) = rest.split_first_chunk().ok_or(ProxyError::Binary)?;
    let (destination, rest) = rest.split_first_chunk().ok_or(ProxyError::Binary)?;
    let (source_port, rest) = rest.split_first_chunk().ok_or(ProxyError::Binary)?;
    let (destination_port, _) = rest.split_first_chunk().ok_or(ProxyError::Binary)?;
    Ok(Next::Done(Proxied::Client {
        source: SocketAddr::new(ip(*source), u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new(ip(*destination), u16::from_be_bytes(*destination_port)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads as a connection would; what was read, and what came of it.
    fn read(stream: &[u8]) -> (usize, Result<Next, ProxyError>) {
        let mut taken = 0;
        loop {
            match needs(&stream[..taken]) {
                Ok(Next::Read(more)) if taken < stream.len() => {
                    assert!(more > 0);
                    taken = (taken + more).min(stream.len());
                }
                result => return (taken, result),
            }
        }
    }

    fn client(source: &str, destination: &str) -> Proxied {
        Proxied::Client {
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
        }
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[test]
    fn version_1_ends_with_its_line_and_takes_nothing_of_what_follows() {
        for (line, want) in [
            (
                "PROXY TCP4 192.0.2.7 203.0.113.1 40000 25\r\n",
                client("192.0.2.7:40000", "203.0.113.1:25"),
            ),
            (
                "PROXY TCP6 2001:db8::7 2001:db8::1 65535 0\r\n",
                client("[2001:db8::7]:65535", "[2001:db8::1]:0"),
            ),
            ("PROXY UNKNOWN\r\n", Proxied::Local),
            ("PROXY UNKNOWN whatever it says\r\n", Proxied::Local),
        ] {
            let stream = format!("{line}EHLO a\r\n");
            assert_eq!(read(stream.as_bytes()), (line.len(), Ok(Next::Done(want))));
        }
    }

    #[test]
    fn version_2_with_addresses_extensions_and_without() {
        let four = [192, 0, 2, 7, 203, 0, 113, 1, 0x9c, 0x40, 0, 25];
        let want = client("192.0.2.7:40000", "203.0.113.1:25");
        let plain = binary(0x21, 0x11, &four);
        assert_eq!(read(&plain), (plain.len(), Ok(Next::Done(want))));
        let extended = binary(0x21, 0x11, &[&four[..], &[4, 0, 1, 0]].concat());
        let stream = [&extended[..], b"\x16\x03\x01"].concat();
        assert_eq!(read(&stream), (extended.len(), Ok(Next::Done(want))));
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
        six[15] = 7;
        six[31] = 1;
        let six = binary(0x21, 0x21, &six);
        let want = client("[2001:db8::7]:0", "[::1]:0");
        assert_eq!(read(&six).1, Ok(Next::Done(want)));
        for local in [
            binary(0x20, 0x11, &four),
            binary(0x21, 0x00, b""),
            binary(0x20, 0, b"xy"),
        ] {
            assert_eq!(read(&local), (local.len(), Ok(Next::Done(Proxied::Local))));
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_it_is_seen() {
        assert_eq!(read(b"EHLO a\r\n"), (8, Err(ProxyError::NoHeader)));
        assert_eq!(read(b"\x16\x03\x01").1, Err(ProxyError::NoHeader));
        for line in [
            "PROXY TCP4 192.0.2.7 203.0.113.1 40000\r\n",
            "PROXY TCP4 192.0.2.7 203.0.113.1 40000 25 x\r\n",
            "PROXY TCP4 192.0.2.7 203.0.113.1 40000 25\n",
            "PROXY TCP4 192.0.2.7 203.0.113.1 040000 25\r\n",
            "PROXY TCP4 192.0.2.7 203.0.113.1 +1 25\r\n",
            "PROXY TCP4 192.0.2.7 203.0.113.1 65536 25\r\n",
            "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
            "PROXY TCP4 192.0.2.7  203.0.113.1 1 2\r\n",
            "PROXY UDP4 192.0.2.7 203.0.113.1 1 2\r\n",
            "PROXY \r\n....\r\n",
        ] {
            assert_eq!(read(line.as_bytes()).1, Err(ProxyError::Line), "{line}");
        }
        let endless = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE_BYTES_MAX));
        assert_eq!(
            read(endless.as_bytes()),
            (LINE_BYTES_MAX, Err(ProxyError::Line))
        );
        for bad in [
            binary(0x11, 0x11, &[0; 12]),
            binary(0x22, 0x11, &[0; 12]),
            binary(0x21, 0x12, &[0; 12]),
            binary(0x21, 0x11, &[0; 11]),
            binary(0x21, 0x21, &[0; 35]),
            binary(0x21, 0x11, &vec![0; EXTENDED_BYTES_MAX + 1]),
        ] {
            assert_eq!(read(&bad).1, Err(ProxyError::Binary));
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics_and_reading_ends(
            start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", &SIGNATURE]),
            rest: Vec<u8>,
        ) {
            let stream = [start, &rest].concat();
            let (taken, _) = read(&stream);
            prop_assert!(taken <= FIXED_BYTES + EXTENDED_BYTES_MAX);
        }
    }
}
