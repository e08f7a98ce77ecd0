//! Who is behind a proxy: the PROXY header is read before anything else.

use std::io;
use std::time::Duration;

use ::wire::proxy::{self, Next, Proxied};
use runtime::Runtime;
use runtime::net::Conn;
use tokio::io::AsyncReadExt;

/// Reads the header of a connection from a proxy that is believed, and no octet
/// more; from then on the connection is its client's.
///
/// # Errors
/// No header, a malformed one, or not within `timeout`: close without a word.
pub(super) async fn identify(
    conn: &mut Conn,
    runtime: &Runtime,
    timeout: Duration,
) -> io::Result<()> {
    let header = match runtime.timeout(timeout, read_header(conn)).await {
        Ok(header) => header?,
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    };
    if let Proxied::Client {
        source,
        destination,
    } = header
    {
        // Loopback has rights of its own (logins in the clear, no limits), which
        // another machine's loopback must not get here.
        if source.ip().is_loopback() && !conn.peer_addr().ip().is_loopback() {
            return Err(invalid("the proxy names a client on this machine"));
        }
        conn.set_addresses(source, destination);
    }
    Ok(())
}

async fn read_header(conn: &mut Conn) -> io::Result<Proxied> {
    let mut octets = Vec::new();
    loop {
        match proxy::needs(&octets) {
            Ok(Next::Done(header)) => return Ok(header),
            Ok(Next::Read(more)) => {
                let from = octets.len();
                octets.resize(from + more, 0);
                // Never more than was asked for: what follows is the session's.
                match AsyncReadExt::read(conn, &mut octets[from..]).await? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => octets.truncate(from + count),
                }
            }
            Err(error) => return Err(invalid(&error.to_string())),
        }
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}
