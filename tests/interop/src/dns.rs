//! nsd, an authoritative name server, with the zones that a test writes.

use crate::Result;
use crate::world::{World, wait_for};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Where the name server answers: our server's `resolver.servers`.
pub const ADDR: &str = "127.0.0.53:53";

/// Starts nsd with `zones`: a name and its records as in a zone file (without
/// SOA and NS, which every zone gets here).
pub fn start(world: &mut World, zones: &[(&str, &str)]) -> Result<()> {
    start_lasting(world, zones, 1)
}

/// The same with answers, those that say no too, that hold for so many seconds.
pub fn start_lasting(world: &mut World, zones: &[(&str, &str)], seconds: u32) -> Result<()> {
    let dir = world.folder("nsd")?;
    let mut conf = configuration(&dir);
    for (zone, records) in zones {
        write_zone(&dir, zone, records, seconds, 1)?;
        conf.push_str(&format!(
            "zone:\n name: \"{zone}\"\n zonefile: {zone}.zone\n"
        ));
    }
    std::fs::write(dir.join("nsd.conf"), conf)?;
    run(world, &dir).map(drop)
}

fn configuration(dir: &Path) -> String {
    let d = dir.display();
    format!(
        "server:\n ip-address: 127.0.0.53\n username: \"\"\n zonesdir: {d}\n database: \"\"\n \
         pidfile: {d}/pid\n xfrdfile: {d}/xfrd\n zonelistfile: {d}/zones\n xfrdir: {d}\n \
         server-count: 1\n rrl-ratelimit: 0\nremote-control:\n control-enable: no\n"
    )
}

fn write_zone(dir: &Path, zone: &str, records: &str, seconds: u32, serial: u32) -> Result<()> {
    let text = format!(
        "$ORIGIN {zone}.\n$TTL {seconds}\n@ SOA ns.{zone}. hostmaster.{zone}. {serial} 3600 600 86400 {seconds}\n@ NS ns.{zone}.\nns A 127.0.0.53\n{records}\n"
    );
    Ok(std::fs::write(dir.join(format!("{zone}.zone")), text)?)
}

fn run(world: &mut World, dir: &Path) -> Result<u32> {
    let pid = world.start(
        "nsd",
        Command::new("nsd")
            .args(["-d", "-c"])
            .arg(dir.join("nsd.conf")),
    )?;
    wait_for("nsd to answer", Duration::from_secs(10), || {
        Ok(answers().then_some(()))
    })?;
    Ok(pid)
}

/// Sends one query for the root's SOA; any answer will do.
fn answers() -> bool {
    let ask = || -> std::io::Result<usize> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.connect(ADDR)?;
        socket.send(&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1])?;
        socket.recv(&mut [0; 512])
    };
    ask().is_ok()
}

/// A zone below `test.`, and whether it is signed.
pub struct Zone<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its records, as [`start`] has them.
    pub records: &'a str,
    /// How it is signed.
    pub signed: Signed,
}

/// How a zone is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// Not at all; its parent says so.
    No,
    /// As it should be.
    Well,
    /// Its signatures have had their time.
    Expired,
}

/// nsd with zones below a signed `test.`.
pub struct SignedZones {
    pid: u32,
    dir: PathBuf,
}

impl SignedZones {
    /// Starts it. Answers hold for a second.
    pub fn start(world: &mut World, zones: &[Zone<'_>]) -> Result<Self> {
        let dir = world.folder("nsd")?;
        let mut conf = configuration(&dir);
        let mut parent = String::from(
            "$ORIGIN test.\n$TTL 1\n@ SOA ns.test. h.test. 1 3600 600 86400 1\n@ NS ns.test.\nns A 127.0.0.53\n",
        );
        conf.push_str("zone:\n name: \"test\"\n zonefile: test.zone\n");
        for zone in zones {
            let name = zone.name;
            write_zone(&dir, name, zone.records, 1, 1)?;
            if zone.signed != Signed::No {
                sign(world, &dir, name, zone.signed)?;
                parent.push_str(&std::fs::read_to_string(dir.join(format!("{name}.ds")))?);
            }
            parent.push_str(&format!("{name}. NS ns.{name}.\nns.{name}. A 127.0.0.53\n"));
            conf.push_str(&format!(
                "zone:\n name: \"{name}\"\n zonefile: {name}.zone\n"
            ));
        }
        std::fs::write(dir.join("test.zone"), parent)?;
        sign(world, &dir, "test", Signed::Well)?;
        std::fs::write(dir.join("nsd.conf"), conf)?;
        let pid = run(world, &dir)?;
        Ok(Self { pid, dir })
    }

    /// The key that everything signed leads to: our server's `resolver.trust_anchors`.
    #[must_use]
    pub fn anchors(&self) -> PathBuf {
        self.dir.join("test.key")
    }

    /// Gives an unsigned zone other records.
    pub fn change(&self, world: &mut World, name: &str, records: &str, serial: u32) -> Result<()> {
        write_zone(&self.dir, name, records, 1, serial)?;
        world.signal(self.pid, "HUP")
    }
}

/// Makes a key for the zone in `NAME.zone` and signs it; the key is in `NAME.key`, its
/// DS record in `NAME.ds`.
fn sign(world: &World, dir: &Path, name: &str, how: Signed) -> Result<()> {
    let dates = match how {
        Signed::Expired => "-i 20200101000000 -e 20200201000000",
        _ => "",
    };
    world.sh(&format!(
        "cd {d} && k=$(ldns-keygen -a ECDSAP256SHA256 -k {name}) && mv $k.key {name}.key && mv $k.ds {name}.ds && \
         mv $k.private {name}.private && ldns-signzone {dates} -o {name} -f {name}.signed {name}.zone {name} && \
         mv {name}.signed {name}.zone",
        d = dir.display()
    ))
}
