//! Mail that comes in and goes on.

use crate::limits;
use crate::measure::{Work, alone, alternate, compare, number};
use crate::servers::{USERS, ours, postfix_and_dovecot};
use anyhow::{Context as _, Result};
use interop::dovecot::{Dovecot, Fsync};
use interop::exim::{self, Exim};
use interop::opensmtpd::OpenSmtpd;
use interop::postfix::Postfix;
use interop::posthouse::{PASSWORD, Posthouse};
use interop::world::{World, wait_for_port};
use serde_json::{Value, json};
use std::process::Command;

/// Durable delivery into mailboxes by SMTP: ours against Postfix with Dovecot.
pub(crate) fn deliver(world: &mut World) -> Result<()> {
    let (ours, pid) = ours(world)?;
    let (postfix, dovecot) = postfix_and_dovecot(world)?;
    // Postfix says 250 when a message is in its queue; it counts when it is in the mailbox.
    let queue: String = postfix
        .queue_folders()
        .iter()
        .map(|folder| format!(" --queue {}", folder.display()))
        .collect();
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 5000);
    for connections in [16, 64] {
        let work = |addr: &str| {
            format!(
                "--addr {addr} --connections {connections} --messages {messages} --size 10000 --users {USERS} deliver --to user{{n}}@demo.test"
            )
        };
        compare(
            &format!("deliver 10 kB, {connections} connections"),
            &Work::new(&work(&ours.addr(25)), &[pid]),
            &Work::new(
                &(work("127.0.0.3:25") + &queue),
                &[postfix.pid(), dovecot.pid],
            ),
            &["per_second", "cpu_s_per_1000", "p99_ms", "written_per_byte"],
        )?;
    }
    Ok(())
}

/// The same by LMTP, against Dovecot alone.
pub(crate) fn lmtp(world: &mut World) -> Result<()> {
    let (ours, pid) = ours(world)?;
    let dovecot = Dovecot::start(world, "127.0.0.5", PASSWORD, Fsync::Always)?;
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 5000);
    let work = |addr: &str| {
        format!(
            "--addr {addr} --connections 16 --messages {messages} --users {USERS} deliver --lmtp --to user{{n}}@demo.test"
        )
    };
    compare(
        "LMTP 10 kB, 16 connections",
        &Work::new(&work(&ours.addr(24)), &[pid]),
        &Work::new(&work("127.0.0.5:24"), &[dovecot.pid]),
        &["per_second", "cpu_s_per_1000", "p99_ms"],
    )
}

/// Ours with the sink as smart host.
fn relaying(world: &mut World) -> Result<(Posthouse, u32)> {
    let (mut ours, _) = ours(world)?;
    ours.end(world, "TERM")?;
    ours.set("outbound.smart_host", "\"127.0.0.1:2625\"")?;
    let pid = ours.serve(world)?;
    Ok((ours, pid))
}

/// Relay of large messages against what the disk and the loopback can do. Each octet is written
/// once, and goes over the loopback twice.
pub(crate) fn relay_large(world: &mut World) -> Result<()> {
    const SIZE: f64 = 100_000.0;
    let (ours, pid) = relaying(world)?;
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 2000);
    let words = format!(
        "--addr {} --connections 16 --messages {messages} --size {SIZE} --user user0@demo.test relay --from user0@demo.test --to someone@far.test --auth",
        ours.addr(587)
    );
    let work = Work::new(&words, &[pid]);
    let through = |times: f64| {
        let measured = work.measure()?;
        let messages = measured["per_second"].as_f64().context("a rate")?;
        Ok(json!({ "mb_per_second": messages * SIZE * times / 1e6 }))
    };
    let dir = world.folder("written")?;
    let figures = ["mb_per_second"];
    let what = "relay 100 kB, 16 connections: octets written, against the disk";
    alternate(what, &figures, || through(1.0), || limits::disk(&dir))?;
    let what = "the same: octets over the loopback, against one stream";
    alternate(what, &figures, || through(2.0), limits::loopback)?;
    // Where there is a network that binds before the cores do.
    for gigabits in [1, 5] {
        let limited = limits::LoopbackOf::gigabits(gigabits)?;
        let what = format!("the same over a loopback of {gigabits} Gbit/s, against one stream");
        alternate(&what, &figures, || through(2.0), || limited.measure())?;
    }
    Ok(())
}

/// Submission to relay to a sink: ours against Postfix, each with the sink as smart host.
pub(crate) fn relay(world: &mut World) -> Result<()> {
    let (ours, pid) = relaying(world)?;
    let settings = "relayhost = [127.0.0.1]:2625\nmynetworks = 127.0.0.0/8\nsmtpd_peername_lookup = no\ndisable_dns_lookups = yes\n\
                    smtp_host_lookup = native\ndefault_destination_concurrency_limit = 20\n";
    let postfix = Postfix::start_with(world, "127.0.0.3", "near.test", &[], settings)?;
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 2000);
    let size = number("POSTHOUSE_BENCH_SIZE", 10_000);
    let work = |addr: &str, more: &str| {
        format!(
            "--addr {addr} --connections 16 --messages {messages} --size {size} --user user0@demo.test relay --from user0@demo.test --to someone@far.test{more}"
        )
    };
    compare(
        &format!("relay of {size} octets, 16 connections"),
        &Work::new(&work(&ours.addr(587), " --auth"), &[pid]),
        &Work::new(&work("127.0.0.3:25", ""), &[postfix.pid()]),
        &["per_second", "cpu_s_per_1000", "written_per_byte"],
    )
}

/// Where the sink listens, as fifty servers.
fn destination(n: u32) -> String {
    format!("127.0.1.{}", n + 1)
}

const DESTINATIONS: u32 = 50;

/// OpenSMTPD takes a hundred messages in a session unless told otherwise.
const MANY_MAILS: &str = "smtp limit max-mails 1000000\n";

/// Relay to fifty destinations: ours against Postfix, Exim and OpenSMTPD.
pub(crate) fn relays(world: &mut World) -> Result<()> {
    let domains = || (0..DESTINATIONS).map(|n| (format!("d{n}.test"), destination(n)));
    let (mut ours, _) = ours(world)?;
    ours.end(world, "TERM")?;
    let file = ours.dir().join("rules.toml");
    let rules = domains().map(|(domain, at)| {
        let name = domain.trim_end_matches(".test");
        format!(
            "[transport.{name}]\nhost = \"{at}:2625\"\n[[rule]]\nname = \"{name}\"\n\
             when = {{ domain = \"{domain}\" }}\nvia = \"{name}\"\n"
        )
    });
    std::fs::write(&file, rules.collect::<String>())?;
    ours.set("policy.rules", &format!("{:?}", file.display().to_string()))?;
    ours.set("outbound.mode", "\"direct\"")?;
    let pid = ours.serve(world)?;

    let maps = domains().map(|(domain, at)| format!(" {{{domain}=smtp:[{at}]:2625}}"));
    let settings = format!(
        "transport_maps = inline:{{{} }}\nmynetworks = 127.0.0.0/8\nsmtpd_peername_lookup = no\ndisable_dns_lookups = yes\n\
         smtp_host_lookup = native\n",
        maps.collect::<Vec<_>>().join(",")
    );
    let postfix = Postfix::start_with(world, "127.0.0.3", "near.test", &[], &settings)?;
    let routes = domains().map(|(domain, at)| format!("{domain} {at}::2625"));
    let router = format!(
        "fifty:\n  driver = manualroute\n  domains = *.test\n  transport = remote\n  self = send\n  route_list = {}\n",
        routes.collect::<Vec<_>>().join(" ; ")
    );
    let exim = Exim::start_with(world, "127.0.0.4", "near.test", exim::Tls::Off, &router)?;
    let actions = domains()
        .map(|(domain, at)| format!("action \"to {domain}\" relay host smtp://{at}:2625\n"));
    let matches = domains().map(|(domain, _)| {
        format!("match from any for domain \"{domain}\" action \"to {domain}\"\n")
    });
    let more = (
        &(MANY_MAILS.to_owned() + &actions.collect::<String>())[..],
        &matches.collect::<String>()[..],
    );
    let opensmtpd = OpenSmtpd::start_with(world, "127.0.0.5", "near.test", more)?;

    let messages = number("POSTHOUSE_BENCH_MESSAGES", 2000);
    let work = |addr: &str, (connections, messages): (u32, u64), pid: u32, more: &str| {
        let words = format!(
            "--addr {addr} --connections {connections} --messages {messages} --user user0@demo.test --users {DESTINATIONS} relay \
             --sink 0.0.0.0:2625 --from user0@demo.test --to someone@d{{n}}.test{more}"
        );
        Work::new(&words, &[pid])
    };
    // The last one takes no sixteen connections, and after a round opens none to its destinations
    // for a while.
    for (name, at, many, theirs) in [
        ("Postfix", "127.0.0.3:25", (16, messages), postfix.pid()),
        ("Exim", "127.0.0.4:25", (16, messages), exim.pid),
        (
            "OpenSMTPD",
            "127.0.0.5:25",
            (8, messages / 10),
            opensmtpd.pid,
        ),
    ] {
        compare(
            &format!("relay 10 kB to 50 destinations, {name}"),
            &work(&ours.addr(587), many, pid, " --auth"),
            &work(at, many, theirs, ""),
            &["per_second", "cpu_s_per_1000", "written_per_byte"],
        )?;
    }
    Ok(())
}

/// The accept rate with 100,000 messages in the mailbox against that with few.
pub(crate) fn growth(world: &mut World) -> Result<()> {
    let (ours, pid) = ours(world)?;
    let full = number("POSTHOUSE_BENCH_FULL", 100_000);
    let fill = format!(
        "--addr {} --connections 64 --messages {full} --size 1000 deliver --to user0@demo.test",
        ours.addr(25)
    );
    Work::new(&fill, &[pid]).measure()?;
    let work = |user: &str| {
        format!(
            "--addr {} --connections 16 --messages 3000 --size 10000 deliver --to {user}@demo.test",
            ours.addr(25)
        )
    };
    compare(
        &format!("deliver into {full} messages against few"),
        &Work::new(&work("user0"), &[pid]),
        &Work::new(&work("user1"), &[pid]),
        &["per_second", "cpu_s_per_1000"],
    )
}

/// One account with 64 writers against 64 accounts with one each, and a lone writer.
pub(crate) fn writers(world: &mut World) -> Result<()> {
    let (ours, pid) = ours(world)?;
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 5000);
    let work = |to: &str, connections: u32| {
        let words = format!(
            "--addr {} --connections {connections} --messages {messages} --size 10000 --users {USERS} deliver --lmtp --to {to}@demo.test",
            ours.addr(24)
        );
        Work::new(&words, &[pid])
    };
    compare(
        "64 writers to one account against many",
        &work("user0", 64),
        &work("user{n}", 64),
        &["per_second", "cpu_s_per_1000", "p99_ms"],
    )?;
    let lone = work("user0", 1);
    alone("a lone writer", &["per_second", "p50_ms", "p99_ms"], || {
        lone.measure()
    })
}

/// Delivery against a server that writes the same journal and does nothing else.
pub(crate) fn limit(world: &mut World) -> Result<()> {
    let (ours, pid) = ours(world)?;
    let dir = world.folder("bare")?;
    let program = std::env::current_exe()?.with_file_name("posthouse-load");
    let bare = world.start(
        "bare",
        Command::new(program)
            .args(["--addr", "127.0.0.9:25", "bare", "--dir"])
            .arg(&dir),
    )?;
    wait_for_port("127.0.0.9:25")?;
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 5000);
    for connections in [16, 64] {
        let work = |addr: &str, pid: u32| {
            let words = format!(
                "--addr {addr} --connections {connections} --messages {messages} --size 10000 --users {USERS} deliver --to user{{n}}@demo.test"
            );
            Work::new(&words, &[pid])
        };
        compare(
            &format!("deliver against the bare journal, {connections} connections"),
            &work(&ours.addr(25), pid),
            &work("127.0.0.9:25", bare),
            &["per_second", "cpu_s_per_1000", "written_per_byte"],
        )?;
    }
    Ok(())
}

/// Bytes that reach the disk for each byte delivered, told apart. Long enough
/// for the index to be flushed and compacted many times.
pub(crate) fn written(world: &mut World) -> Result<()> {
    let (ours, pid) = ours(world)?;
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 50_000);
    let words = format!(
        "--addr {} --connections 64 --messages {messages} --size 10000 --users {USERS} deliver --to user{{n}}@demo.test",
        ours.addr(25)
    );
    let work = Work::new(&words, &[pid]);
    let parts = ["body", "records", "index", "all_but_fill", "fill"];
    alone("bytes written per byte delivered", &parts, || {
        let before = Counted::read(world, &ours)?;
        let all = work.measure()?;
        Counted::read(world, &ours)?.since(&before, &all)
    })
}

/// The store's counters of bytes.
struct Counted {
    bodies: f64,
    journal: f64,
    fill: f64,
}

impl Counted {
    fn read(world: &World, ours: &Posthouse) -> Result<Self> {
        let page = world.output(
            "curl",
            ["-sf", &format!("http://{}/metrics", ours.addr(80))],
        )?;
        let value = |name: &str| -> Result<f64> {
            let line = page
                .lines()
                .find_map(|line| line.strip_prefix(&format!("posthouse_store_{name}_total ")));
            Ok(line.context(format!("no counter {name}"))?.trim().parse()?)
        };
        Ok(Self {
            bodies: value("body_bytes")?,
            journal: value("bytes_written")?,
            fill: value("bytes_filled")?,
        })
    }

    /// The parts of what one run wrote, per byte of its messages.
    fn since(&self, before: &Self, run: &Value) -> Result<Value> {
        let of = |name: &str| run.get(name).and_then(Value::as_f64).context("no figure");
        let per_byte = of("written_per_byte")?;
        let delivered = of("written_per_message")? * of("messages")? / per_byte;
        let body = (self.bodies - before.bodies) / delivered;
        let journal = (self.journal - before.journal) / delivered;
        let fill = (self.fill - before.fill) / delivered;
        Ok(json!({
            "body": body,
            "records": journal - body,
            "index": per_byte - journal - fill,
            "all_but_fill": per_byte - fill,
            "fill": fill,
        }))
    }
}
