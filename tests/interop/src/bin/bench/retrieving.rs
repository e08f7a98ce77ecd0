//! Mail that is read by POP3.

use crate::measure::{Work, compare, number};
use crate::side::Server;
use anyhow::Result;
use interop::cyrus;
use interop::world::World;

const READER: &str = "user0@demo.test";

/// RETR of messages of 10 kB, one at a time and pipelined; ours against each peer.
pub(crate) fn pop3(world: &mut World) -> Result<()> {
    let ours = Server::ours(world)?;
    let setup = cyrus::Setup {
        pop3: true,
        ..cyrus::Setup::default()
    };
    let peers = Server::peers_with(world, &setup)?;
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 2000);
    ours.fill(READER, messages, 10_000)?;
    for peer in &peers {
        peer.fill(READER, messages, 10_000)?;
    }
    for (what, pipelined) in [("one at a time", 1), ("pipelined", 100)] {
        for peer in &peers {
            // It waits 40 ms for an acknowledgement each time.
            let of_peer = match peer.is_cyrus() {
                true => messages / 20,
                false => 4 * messages,
            };
            let work = |server: &Server, messages: u64| {
                let words = format!(
                    "--addr {} --messages {messages} --user {READER} retrieve --pipelined {pipelined}",
                    server.addr(110)
                );
                Work::new(&words, &[server.pid()])
            };
            compare(
                &format!("RETR of 10 kB, {what} ({})", peer.name),
                &work(&ours, 8 * messages),
                &work(peer, of_peer),
                &["per_second", "cpu_s_per_1000"],
            )?;
        }
    }
    Ok(())
}
