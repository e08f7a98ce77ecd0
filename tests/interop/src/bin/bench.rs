//! `make bench`: our server and its peers, measured by the same tool in the
//! same run, alternating at least seven times. Prints for each kind of work the
//! median ratio with its quartiles, as a table for docs/performance.md.
//!
//! `make bench BENCH=deliver` runs one kind of work; see [`KINDS`].
//! `POSTHOUSE_BENCH_ROUNDS` and `POSTHOUSE_BENCH_MESSAGES` change the size.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

use anyhow::{Context as _, Result, bail};
use interop::dovecot::{Dovecot, Fsync};
use interop::postfix::Postfix;
use interop::posthouse::{PASSWORD, Posthouse};
use interop::world::{self, Needs, World};
use serde_json::Value;
use std::process::Command;

/// One kind of work that is measured.
struct Kind {
    name: &'static str,
    run: fn(&mut World) -> Result<()>,
}

const KINDS: [Kind; 6] = [
    Kind {
        name: "deliver",
        run: deliver,
    },
    Kind {
        name: "relay",
        run: relay,
    },
    Kind {
        name: "lmtp",
        run: lmtp,
    },
    Kind {
        name: "growth",
        run: growth,
    },
    Kind {
        name: "read",
        run: read,
    },
    Kind {
        name: "idle",
        run: idle,
    },
];

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    if let Some(name) = std::env::var_os("POSTHOUSE_BENCH_INSIDE") {
        let kind = KINDS
            .iter()
            .find(|k| name == *k.name)
            .context("no such bench")?;
        return World::inside(Needs::Peers, kind.run);
    }
    if let Some(unknown) = wanted.iter().find(|w| KINDS.iter().all(|k| k.name != **w)) {
        bail!(
            "there is no bench {unknown}; there are {:?}",
            KINDS.map(|k| k.name)
        );
    }
    for kind in KINDS
        .iter()
        .filter(|k| wanted.is_empty() || wanted.iter().any(|w| w == k.name))
    {
        let status = world::command_inside(&std::env::current_exe()?)
            .env("POSTHOUSE_BENCH_INSIDE", kind.name)
            .status()?;
        if !status.success() {
            bail!("bench {} failed", kind.name);
        }
    }
    Ok(())
}

const USERS: usize = 32;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(default)
}

fn ours(world: &mut World) -> Result<(Posthouse, u32)> {
    let users: Vec<String> = (0..USERS).map(|n| format!("user{n}")).collect();
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &names)?;
    let pid = ours.serve(world)?;
    Ok((ours, pid))
}

fn postfix_and_dovecot(world: &mut World) -> Result<(Postfix, Dovecot)> {
    let dovecot = Dovecot::start(world, "127.0.0.5", PASSWORD, Fsync::Always)?;
    let settings = format!(
        "virtual_transport = lmtp:unix:{}\nvirtual_mailbox_maps = static:all\nlmtp_destination_concurrency_limit = 20\n\
         smtpd_peername_lookup = no\ndisable_dns_lookups = yes\nsmtp_host_lookup = native\n",
        dovecot.lmtp
    );
    let postfix = Postfix::start_with(world, "127.0.0.3", "demo.test", &[], &settings)?;
    Ok((postfix, dovecot))
}

/// One measurement: the load tool with these arguments. What the run before
/// left unwritten is on the disk first, so that nobody pays for the other.
fn load(args: &[String]) -> Result<Value> {
    Command::new("sync").status()?;
    let program = std::env::current_exe()?.with_file_name("posthouse-load");
    let out = Command::new(program).args(args).output()?;
    if !out.status.success() {
        bail!(
            "posthouse-load {args:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
    Ok(serde_json::from_slice(&out.stdout)?)
}

fn arguments(words: &str, pids: &[u32]) -> Vec<String> {
    let mut all: Vec<String> = words.split(' ').map(str::to_owned).collect();
    all.extend(["--password".into(), PASSWORD.into()]);
    for pid in pids {
        all.extend(["--pid".into(), pid.to_string()]);
    }
    all
}

/// Alternates A and B and prints how many times better A is, by each figure.
fn compare(
    what: &str,
    a: &(String, Vec<u32>),
    b: &(String, Vec<u32>),
    figures: &[&str],
) -> Result<()> {
    let rounds = number("POSTHOUSE_BENCH_ROUNDS", 7);
    let (mut all_a, mut all_b) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let one = load(&arguments(&a.0, &a.1))?;
        let two = load(&arguments(&b.0, &b.1))?;
        eprintln!("{what} round {round}: {one} | {two}");
        // The first round warms both up.
        if round > 0 {
            all_a.push(one);
            all_b.push(two);
        }
    }
    for figure in figures {
        let values = |all: &[Value]| -> Vec<f64> {
            all.iter()
                .map(|v| v.get(figure).and_then(Value::as_f64).unwrap_or(0.0))
                .collect()
        };
        let (ours, theirs) = (values(&all_a), values(&all_b));
        let smaller_is_better = !figure.contains("per_second");
        let ratios: Vec<f64> = ours
            .iter()
            .zip(&theirs)
            .map(|(a, b)| if smaller_is_better { b / a } else { a / b })
            .collect();
        let (low, mid, high) = quartiles(ratios);
        println!(
            "| {what} | {figure} | {:.3} | {:.3} | **{mid:.2}** | {low:.2}–{high:.2} |",
            quartiles(ours).1,
            quartiles(theirs).1
        );
    }
    Ok(())
}

fn quartiles(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    (at(0.25), at(0.5), at(0.75))
}

/// Durable delivery into mailboxes by SMTP: ours against Postfix with Dovecot.
fn deliver(world: &mut World) -> Result<()> {
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
            &(work(&ours.addr(25)), vec![pid]),
            &(
                work("127.0.0.3:25") + &queue,
                vec![postfix.pid(), dovecot.pid],
            ),
            &["per_second", "cpu_s_per_1000", "p99_ms", "written_per_byte"],
        )?;
    }
    Ok(())
}

/// The same by LMTP, against Dovecot alone.
fn lmtp(world: &mut World) -> Result<()> {
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
        &(work(&ours.addr(24)), vec![pid]),
        &(work("127.0.0.5:24"), vec![dovecot.pid]),
        &["per_second", "cpu_s_per_1000", "p99_ms"],
    )
}

/// Submission to relay to a sink: ours against Postfix, each with the sink as smart host.
fn relay(world: &mut World) -> Result<()> {
    let (mut ours, _) = ours(world)?;
    ours.end(world, "TERM")?;
    ours.set("outbound.smart_host", "\"127.0.0.1:2625\"")?;
    let pid = ours.serve(world)?;
    let settings = "relayhost = [127.0.0.1]:2625\nmynetworks = 127.0.0.0/8\nsmtpd_peername_lookup = no\ndisable_dns_lookups = yes\n\
                    smtp_host_lookup = native\ndefault_destination_concurrency_limit = 20\n";
    let postfix = Postfix::start_with(world, "127.0.0.3", "near.test", &[], settings)?;
    let messages = number("POSTHOUSE_BENCH_MESSAGES", 2000);
    let work = |addr: &str, more: &str| {
        format!(
            "--addr {addr} --connections 16 --messages {messages} --user user0@demo.test relay --from user0@demo.test --to someone@far.test{more}"
        )
    };
    compare(
        "relay 10 kB, 16 connections",
        &(work(&ours.addr(587), " --auth"), vec![pid]),
        &(work("127.0.0.3:25", ""), vec![postfix.pid()]),
        &["per_second", "cpu_s_per_1000", "written_per_byte"],
    )
}

/// The accept rate with 100,000 messages in the mailbox against that with few.
fn growth(world: &mut World) -> Result<()> {
    let (ours, pid) = ours(world)?;
    let full = number("POSTHOUSE_BENCH_FULL", 100_000);
    let fill = format!(
        "--addr {} --connections 64 --messages {full} --size 1000 deliver --to user0@demo.test",
        ours.addr(25)
    );
    load(&arguments(&fill, &[pid]))?;
    let work = |user: &str| {
        format!(
            "--addr {} --connections 16 --messages 3000 --size 10000 deliver --to {user}@demo.test",
            ours.addr(25)
        )
    };
    compare(
        &format!("deliver into {full} messages against few"),
        &(work("user0"), vec![pid]),
        &(work("user1"), vec![pid]),
        &["per_second", "cpu_s_per_1000"],
    )
}

/// Reading by IMAP: ours against Dovecot.
fn read(world: &mut World) -> Result<()> {
    let (ours, pid) = ours(world)?;
    let dovecot = Dovecot::start(world, "127.0.0.5", PASSWORD, Fsync::Always)?;
    for (addr, pid) in [(ours.addr(24), pid), ("127.0.0.5:24".into(), dovecot.pid)] {
        let fill = format!(
            "--addr {addr} --connections 16 --messages 10000 deliver --lmtp --to user0@demo.test"
        );
        load(&arguments(&fill, &[pid]))?;
    }
    for (what, messages, work) in [
        (
            "FETCH ENVELOPE of 10,000",
            100_000,
            "fetch --items (ENVELOPE)",
        ),
        ("FETCH FLAGS of 10,000", 200_000, "fetch --items (FLAGS)"),
        (
            "FETCH whole bodies of 10,000",
            10_000,
            "fetch --items (BODY.PEEK[])",
        ),
        ("SEARCH SUBJECT in 10,000", 20, "search"),
        ("APPEND 10 kB, 8 connections", 2000, "append"),
    ] {
        let connections = if work == "append" { 8 } else { 1 };
        let user = if work == "append" {
            "user{n}@demo.test"
        } else {
            "user0@demo.test"
        };
        let args = |addr: &str| {
            format!(
                "--addr {addr} --connections {connections} --messages {messages} --user {user} --users {USERS} {work}"
            )
        };
        compare(
            what,
            &(args(&ours.addr(143)), vec![pid]),
            &(args("127.0.0.5:143"), vec![dovecot.pid]),
            &["per_second", "cpu_s_per_1000"],
        )?;
    }
    Ok(())
}

/// Memory at rest with 10 accounts, and per idle session at 5,000.
fn idle(world: &mut World) -> Result<()> {
    let mut ours = Posthouse::init(
        world,
        "127.0.0.10",
        "demo.test",
        &["u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"],
    )?;
    ours.set("imap.sessions_per_user", "10000")?;
    ours.set("limits.connections_per_address", "10000")?;
    let pid = ours.serve(world)?;
    let work = |n: u32| {
        format!(
            "--addr {} --connections {n} --user u{{n}}@demo.test --users 9 idle",
            ours.addr(143)
        )
    };
    let rest = load(&arguments(&work(0), &[pid]))?;
    println!(
        "| at rest, 10 accounts | resident_kb | {} | | | |",
        rest["resident_kb"]
    );
    let many = load(&arguments(&work(5000), &[pid]))?;
    println!(
        "| 5,000 sessions in IDLE | kb_per_session | {} | | | |",
        many["kb_per_session"]
    );
    Ok(())
}
