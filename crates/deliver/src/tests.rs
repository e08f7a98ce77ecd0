//! Delivery to servers that read from a script, over loopback.

#![allow(clippy::unwrap_used)]

mod chunking;
mod demands;
mod gate;
mod hosts;
mod lies;
mod sessions;
mod sources;
mod transcripts;
mod wishes;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use envelope::{Address, Domain, Envelope, Recipient, ReversePath};
use resolver::{AddressAnswer, Mx, MxAnswer, Proved, TemporaryError};
use runtime::net::{Conn, Listener};
use runtime::tls::{ClientTls, ServerTls};
use runtime::{Runtime, Task};
use settings::Network;
use tls_policy::Tlsa;

use crate::*;

/// One connection of a server: what it says first, then for each thing that it
/// is told (the beginning of a line, or `.` for a whole message) what it answers.
/// `BDAT` is heard with its chunk, `?BDAT` without it. `""` as an answer closes, `<wait>`
/// says nothing. `<tls>` behind an answer does a handshake.
type Script = Vec<(&'static str, &'static str)>;

struct Server {
    address: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
    _task: Task<()>,
}

impl Server {
    /// One connection after the other, each by its script.
    fn start(runtime: &Runtime, address: SocketAddr, scripts: Vec<Script>) -> Self {
        Self::start_with(runtime, address, scripts, None)
    }

    fn start_with(
        runtime: &Runtime,
        address: SocketAddr,
        scripts: Vec<Script>,
        tls: Option<ServerTls>,
    ) -> Self {
        let listener = Listener::bind(address).unwrap();
        let address = listener.local_addr();
        let said = Arc::new(Mutex::new(Vec::new()));
        let log = said.clone();
        let task = runtime.spawn("scripted server", async move {
            for script in scripts {
                let conn = listener.accept().await.unwrap();
                play(conn, script, &log, tls.as_ref()).await;
            }
        });
        Self {
            address,
            said,
            _task: task,
        }
    }

    fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }
}

async fn play(mut conn: Conn, script: Script, log: &Mutex<Vec<String>>, tls: Option<&ServerTls>) {
    let mut input = BytesMut::new();
    for (expect, answer) in script {
        if !expect.is_empty() {
            let end: &[u8] = if expect == "." { b"\r\n.\r\n" } else { b"\r\n" };
            let at = loop {
                if let Some(at) = input.windows(end.len()).position(|part| part == end) {
                    break at;
                }
                if conn.read(&mut input).await.unwrap_or(0) == 0 {
                    return;
                }
            };
            let line = input.split_to(at + end.len());
            let line = String::from_utf8_lossy(&line).into_owned();
            let starts = expect == "." || line.starts_with(expect.trim_start_matches('?'));
            log.lock().unwrap().push(line.trim_end().to_owned());
            assert!(starts, "{expect} expected: {line}");
            if expect.starts_with("BDAT") {
                let size: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
                while input.len() < size {
                    if conn.read(&mut input).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let chunk = input.split_to(size);
                let chunk = String::from_utf8_lossy(&chunk).into_owned();
                log.lock().unwrap().push(chunk);
            }
        }
        if answer == "<wait>" {
            continue;
        }
        let (words, handshake) = match answer.strip_suffix("<tls>") {
            Some(words) => (words, true),
            None => (answer, false),
        };
        if words.is_empty() {
            return;
        }
        conn.write_all(words.as_bytes()).await.unwrap();
        if handshake {
            match tls {
                // A client may not like the certificate.
                Some(tls) if conn.start_tls(tls).await.is_err() => return,
                Some(_) => {}
                None => {
                    // Behind the client's first words, or it would be an injection.
                    conn.read(&mut input).await.unwrap();
                    conn.write_all(b"this is no TLS").await.unwrap();
                    return;
                }
            }
        }
    }
    // A polite server waits for the client to go.
    while !input.starts_with(b"QUIT") && conn.read(&mut input).await.unwrap_or(0) > 0 {}
}

#[derive(Default)]
struct Names {
    mx: HashMap<&'static str, MxAnswer>,
    addresses: HashMap<&'static str, Vec<IpAddr>>,
    /// DNSSEC proves all of it.
    secure: bool,
    ptr: HashMap<IpAddr, &'static str>,
    tlsa: HashMap<&'static str, Result<Vec<Tlsa>, &'static str>>,
}

impl Names {
    fn with_mx(mut self, domain: &'static str, records: &[(u16, &str)]) -> Self {
        let records = records
            .iter()
            .map(|&(preference, host)| Mx {
                preference,
                host: host.to_owned(),
            })
            .collect();
        self.mx.insert(domain, MxAnswer::Records(records));
        self
    }

    fn with_address(mut self, host: &'static str, ip: &str) -> Self {
        let ip = ip.parse().unwrap();
        self.addresses.entry(host).or_default().push(ip);
        self
    }
}

impl Dns for Names {
    fn mx<'a>(&'a self, domain: &'a Domain) -> BoxFuture<'a, Result<MxAnswer, TemporaryError>> {
        let known = self.mx.get(domain.as_str()).cloned();
        let answer = match known {
            Some(answer) => Ok(answer),
            None if domain.as_str().starts_with("servfail") => Err(TemporaryError {
                name: domain.to_string(),
                reason: "SERVFAIL".into(),
            }),
            None if self.addresses.contains_key(domain.as_str()) => Ok(MxAnswer::NoMx),
            None => Ok(MxAnswer::NxDomain),
        };
        Box::pin(std::future::ready(answer))
    }

    fn addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> BoxFuture<'a, Result<AddressAnswer, TemporaryError>> {
        let answer = match self.addresses.get(host) {
            Some(addresses) => AddressAnswer::Addresses(addresses.clone()),
            None => AddressAnswer::NxDomain,
        };
        Box::pin(std::future::ready(Ok(answer)))
    }

    fn ptr(&self, ip: IpAddr) -> BoxFuture<'_, Result<Vec<String>, TemporaryError>> {
        let names = self.ptr.get(&ip).map(|name| (*name).to_owned());
        Box::pin(std::future::ready(Ok(names.into_iter().collect())))
    }

    fn proved_mx<'a>(
        &'a self,
        domain: &'a Domain,
    ) -> BoxFuture<'a, Result<Proved<MxAnswer>, TemporaryError>> {
        Box::pin(async {
            let answer = self.mx(domain).await?;
            let secure = self.secure;
            Ok(Proved { answer, secure })
        })
    }

    fn proved_addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> BoxFuture<'a, Result<Proved<AddressAnswer>, TemporaryError>> {
        Box::pin(async {
            let answer = self.addresses(host).await?;
            let secure = self.secure;
            Ok(Proved { answer, secure })
        })
    }

    fn tlsa<'a>(
        &'a self,
        _port: u16,
        host: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Tlsa>, TemporaryError>> {
        let found = self.tlsa.get(host).cloned().unwrap_or(Ok(Vec::new()));
        let found = found.map_err(|reason| TemporaryError {
            name: host.to_owned(),
            reason: reason.to_owned(),
        });
        Box::pin(std::future::ready(found))
    }
}

fn options() -> Options {
    let mut options = Options::new("us.example");
    options.allow_networks = vec![Network::parse("127.0.0.0/8").unwrap()];
    let second = Duration::from_secs(1);
    options.timeouts = Timeouts {
        connect: second,
        greeting: second,
        hello: second,
        mail: second,
        rcpt: second,
        data_start: second,
        data_block: second,
        data_end: second,
    };
    options
}

fn ports(runtime: &Runtime, names: Names, options: Options) -> Ports {
    Ports {
        transcripts: Transcripts::default(),
        runtime: runtime.clone(),
        dns: Arc::new(names),
        opportunistic: ClientTls::opportunistic().unwrap(),
        verified: None,
        gate: None,
        kept: None,
        sts: None,
        tls_reports: None,
        options: Arc::new(options),
    }
}

fn envelope(recipients: &[&str]) -> Envelope {
    let mut envelope = Envelope::new(ReversePath::parse("a@us.example").unwrap());
    envelope.recipients = recipients
        .iter()
        .map(|text| Recipient::new(Address::parse(text).unwrap()))
        .collect();
    envelope
}

fn message() -> MessageBytes {
    MessageBytes(Bytes::from_static(b"Subject: x\r\n\r\n.dot\r\n"))
}

fn local(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), 0)
}

fn target(server: &Server) -> Target {
    Target {
        host: "mx.example".into(),
        address: server.address,
        tls: TlsPolicy::Opportunistic,
        credentials: None,
        demand: None,
        counted: None,
        other: None,
    }
}

/// The code of each outcome, negative where the server did not say it.
fn codes(report: &Report) -> Vec<i32> {
    report
        .outcomes
        .iter()
        .map(|outcome| {
            let code = i32::from(outcome.reply().code);
            match outcome {
                Outcome::Temporary(reason) | Outcome::Permanent(reason)
                    if reason.said_by.is_none() =>
                {
                    -code
                }
                _ => code,
            }
        })
        .collect()
}

const HELLO: (&str, &str) = ("", "220 mx ESMTP\r\n");
const PLAIN: (&str, &str) = ("EHLO us.example", "250 mx\r\n");
const PIPELINING: (&str, &str) = ("EHLO us.example", "250-mx\r\n250 PIPELINING\r\n");
const CHUNKS: (&str, &str) = (
    "EHLO us.example",
    "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
);
const TAKEN: (&str, &str) = (".", "250 2.0.0 queued\r\n");
const QUIT: (&str, &str) = ("QUIT", "221 bye\r\n");

/// A server that takes one message for one recipient.
fn willing() -> Script {
    vec![
        HELLO,
        PLAIN,
        ("MAIL FROM:<a@us.example>", "250 ok\r\n"),
        ("RCPT TO:<b@x.example>", "250 ok\r\n"),
        ("DATA", "354 go\r\n"),
        TAKEN,
        QUIT,
    ]
}
