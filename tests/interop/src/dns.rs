//! nsd, an authoritative name server, with the zones that a test writes.

use crate::Result;
use crate::world::{World, wait_for};
use std::net::UdpSocket;
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
    let d = dir.display();
    let mut conf = format!(
        "server:\n ip-address: 127.0.0.53\n username: \"\"\n zonesdir: {d}\n database: \"\"\n \
         pidfile: {d}/pid\n xfrdfile: {d}/xfrd\n zonelistfile: {d}/zones\n xfrdir: {d}\n \
         server-count: 1\n rrl-ratelimit: 0\nremote-control:\n control-enable: no\n"
    );
    for (zone, records) in zones {
        let text = format!(
            "$ORIGIN {zone}.\n$TTL {seconds}\n@ SOA ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 {seconds}\n@ NS ns.{zone}.\nns A 127.0.0.53\n{records}\n"
        );
        std::fs::write(dir.join(format!("{zone}.zone")), text)?;
        conf.push_str(&format!(
            "zone:\n name: \"{zone}\"\n zonefile: {zone}.zone\n"
        ));
    }
    std::fs::write(dir.join("nsd.conf"), conf)?;
    world.start(
        "nsd",
        Command::new("nsd")
            .args(["-d", "-c"])
            .arg(dir.join("nsd.conf")),
    )?;
    wait_for("nsd to answer", Duration::from_secs(10), || {
        Ok(answers().then_some(()))
    })
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
