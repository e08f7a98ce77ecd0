//! Logins by IMAP, and the handshakes of TLS before them.

use crate::measure::{Work, alternate, compare, number};
use crate::servers::USERS;
use crate::side::Server;
use anyhow::Result;
use interop::world::{World, wait_for_port};
use interop::{cyrus, dovecot};
use std::process::Command;

/// Connect, greeting, LOGIN, LOGOUT; with plain text and over TLS 1.3, all with a key on P-256. The
/// password is in the cache. Dovecot and Cyrus have it in plain text, which costs them nothing to
/// check. Then ours over TLS against a server that does nothing but the handshake.
pub(crate) fn logins(world: &mut World) -> Result<()> {
    let folder = world.folder("certificate")?;
    world.certificate(&folder, "mx.demo.test")?;
    let ours = Server::ours(world)?;
    let mut peers = Vec::new();
    for (ip, name, kept_logins) in [
        ("127.0.0.5", "Dovecot as shipped", false),
        ("127.0.0.6", "Dovecot, kept login processes", true),
    ] {
        let setup = dovecot::Setup {
            kept_logins,
            tls: Some(folder.clone()),
            ..dovecot::Setup::default()
        };
        peers.push(Server::dovecot(world, ip, name, &setup)?);
    }
    let setup = cyrus::Setup {
        tls: Some(folder.clone()),
        ..cyrus::Setup::default()
    };
    peers.push(Server::cyrus(world, &setup)?);
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 300);
    let figures = ["per_second", "cpu_s_per_1000"];
    for (what, port) in [("plain text", 143), ("TLS", 993)] {
        for peer in &peers {
            let tls = match (port, peer.is_cyrus()) {
                (143, _) => "",
                // It knows no other.
                (_, true) => " --p256",
                (_, false) => " --tls",
            };
            // Ours does more in the same time.
            let (of_ours, of_peer) = (10 * messages, messages);
            compare(
                &format!("logins, {what} ({})", peer.name),
                &work(&ours, port, &format!("{of_ours} login{tls}")),
                &work(peer, port, &format!("{of_peer} login{tls}")),
                &figures,
            )?;
        }
    }
    let bare = "127.0.0.11:993";
    let program = std::env::current_exe()?.with_file_name("posthouse-load");
    let pid = world.start(
        "handshakes",
        Command::new(program)
            .args(["--addr", bare, "handshakes", "--certificate"])
            .arg(folder.join("certificate"))
            .arg("--key")
            .arg(folder.join("key")),
    )?;
    wait_for_port(bare)?;
    let words = |addr: &str, more: &str| {
        let many = 10 * messages;
        format!(
            "--addr {addr} --connections 16 --messages {many} --user user{{n}}@demo.test --users {USERS} login --tls{more}"
        )
    };
    let handshakes = Work::new(&words(bare, " --greeted"), &[pid]);
    for (what, more) in [
        ("handshake and login", ""),
        ("handshake and greeting", " --greeted"),
    ] {
        let login = Work::new(&words(&ours.addr(993), more), &[ours.pid()]);
        alternate(
            &format!("{what} over TLS against a bare handshake"),
            &figures,
            || login.measure(),
            || handshakes.measure(),
        )?;
    }
    Ok(())
}

fn work(server: &Server, port: u16, more: &str) -> Work {
    let words = format!(
        "--addr {} --connections 16 --user user{{n}}@demo.test --users {USERS} --messages {more}",
        server.addr(port)
    );
    Work::new(&words, &[server.pid()])
}
