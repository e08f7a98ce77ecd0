//! Nodes that share what other servers allow them, over a real database.

use anyhow::{Context as _, Result, ensure};
use cluster::{Board as _, BoardError, Config, PostgresBoard, Use};
use interop::limited::{self, Limited};
use interop::postgres::Postgres;
use interop::posthouse::Posthouse;
use interop::smtp;
use interop::world::{Needs, World, run, wait_for};
use resolver::Resolver;
use runtime::Runtime;
use runtime::tls::ClientTls;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use std::time::Duration;

const ZONES: [(&str, &str); 3] = [
    limited::ZONES[0],
    limited::ZONES[1],
    ("db.test", "@ A 127.0.0.5"),
];

/// A node whose clients on this machine may send to anywhere.
fn node(world: &World, ip: &str, name: &str, database: &Postgres) -> Result<Posthouse> {
    let node = Posthouse::init(world, ip, "near.test", &["ann"])?;
    node.set("relay.networks", "[\"127.0.0.0/8\"]")?;
    node.set("outbound.connections_per_site", "5")?;
    let address = format!("{:?}", database.address());
    let password = format!("{:?}", database.password_file());
    let name = format!("{name:?}");
    let keys = [
        ("cluster.database", &address),
        ("cluster.password_file", &password),
        ("cluster.node", &name),
    ];
    let set = ["config", "set"].into_iter();
    let set = set.chain(keys.iter().flat_map(|(key, value)| [*key, value.as_str()]));
    node.cli(&set.collect::<Vec<_>>())?;
    Ok(node)
}

fn send(node: &Posthouse, messages: usize) -> Result<()> {
    let mut client = smtp::Client::connect(&node.addr(25))?;
    client.expect("EHLO client.test", 250)?;
    for n in 0..messages {
        let text = format!("Subject: message {n}\r\n\r\nx\r\n");
        let (code, said) = client.send("ann@near.test", &["bea@far.test"], text.as_bytes())?;
        ensure!(code == 250, "{said}");
    }
    Ok(())
}

fn stats(node: &Posthouse) -> Result<Value> {
    let stats = node.cli(&["queue", "stats", "--json"])?;
    Ok(serde_json::from_str(&stats)?)
}

fn share(node: &Posthouse) -> Result<u64> {
    Ok(stats(node)?["servers"][0]["share"].as_u64().unwrap_or(0))
}

fn waiting(node: &Posthouse) -> Result<u64> {
    stats(node)?["messages"].as_u64().context("a number")
}

/// The Postfix refuses a sixth connection, from whichever node it comes.
#[test]
fn two_nodes_together_keep_to_what_a_postfix_takes() {
    run(
        "nodes::two_nodes_together_keep_to_what_a_postfix_takes",
        Needs::Peers,
        |world| {
            interop::dns::start(world, &ZONES)?;
            let there = Limited::start(world)?;
            let mut database = Postgres::start(world, "127.0.0.5", None)?;
            let mut one = node(world, "127.0.0.2", "one", &database)?;
            let mut other = node(world, "127.0.0.4", "other", &database)?;
            one.serve(world)?;
            other.serve(world)?;
            let nodes = |node: &Posthouse| anyhow::Ok(stats(node)?["nodes"]["count"] == 2);
            wait_for(
                "the nodes to know each other",
                Duration::from_secs(20),
                || Ok((nodes(&one)? && nodes(&other)?).then_some(())),
            )?;

            // Alone with all of it, then parted; both go on.
            send(&one, 120)?;
            wait_for("one node to have all", Duration::from_secs(20), || {
                Ok((share(&one)? == 5).then_some(()))
            })?;
            send(&other, 15)?;
            wait_for("the limit to be parted", Duration::from_secs(20), || {
                let (one, other) = (share(&one)?, share(&other)?);
                ensure!(one + other <= 5, "{one} and {other}");
                Ok((one.min(other) == 2 && one + other == 5).then_some(()))
            })?;
            wait_for(
                "the smaller queue to be empty",
                Duration::from_secs(60),
                || Ok((waiting(&other)? == 0).then_some(())),
            )?;
            ensure!(waiting(&one)? > 0, "the large one was first");
            ensure!(there.seen().refused == 0, "{:?}", there.seen());

            // A node that is killed gives its share back when its lease ends.
            one.kill(world)?;
            send(&other, 60)?;
            wait_for("what it held to be free", Duration::from_secs(40), || {
                Ok((share(&other)? == 5).then_some(()))
            })?;

            // Without the database mail goes on, and afterwards it is shared again.
            one.serve(world)?;
            wait_for("both to have some", Duration::from_secs(20), || {
                Ok((share(&one)?.min(share(&other)?) >= 2).then_some(()))
            })?;
            database.stop(world)?;
            let away = |node: &Posthouse| anyhow::Ok(stats(node)?["nodes"]["away"].is_string());
            wait_for("both to be alone", Duration::from_secs(40), || {
                Ok((away(&one)? && away(&other)?).then_some(()))
            })?;
            let before = (waiting(&one)?, waiting(&other)?);
            wait_for("mail to go on", Duration::from_secs(60), || {
                let now = (waiting(&one)?, waiting(&other)?);
                let is_over = now == (0, 0);
                Ok((is_over || (now.0 < before.0 || now.1 < before.1)).then_some(()))
            })?;
            database.start_again(world)?;
            wait_for("both to be back", Duration::from_secs(40), || {
                Ok((!away(&one)? && !away(&other)?).then_some(()))
            })?;
            wait_for("the queues to be empty", Duration::from_secs(120), || {
                Ok((waiting(&one)? + waiting(&other)? == 0).then_some(()))
            })?;
            // What is over is given back.
            wait_for("nothing to be held", Duration::from_secs(20), || {
                let left =
                    database.sql(world, "posthouse", "SELECT count(*) FROM posthouse_shares")?;
                Ok((left.trim() == "0").then_some(()))
            })?;
            one.end(world, "TERM")?;
            other.end(world, "TERM")?;
            let nodes = database.sql(world, "posthouse", "SELECT count(*) FROM posthouse_nodes")?;
            ensure!(nodes.trim() == "0", "a node that stops says so: {nodes}");
            let seen = there.seen();
            ensure!(seen.taken >= 175, "{seen:?}");
            one.assert_sound()?;
            other.assert_sound()
        },
    );
}

fn board(runtime: &Runtime, address: &str, name: &str) -> Result<PostgresBoard> {
    let config = Config::parse(address, Some(interop::posthouse::PASSWORD))?;
    let resolver = Resolver::new(&[interop::dns::ADDR.parse()?])?;
    Ok(PostgresBoard::new(runtime, config, name, (resolver, None)))
}

fn asked(party: usize, keeps: u32, wanted: u32) -> Use {
    Use {
        party: format!("mx{party}.far.test"),
        limit: 7,
        keeps,
        wanted,
        paced: wanted > 0,
        keeps_part: 0,
        refused: false,
        rest: Duration::ZERO,
    }
}

/// Five nodes ask at random, all at once; after every commit the sums are within the limit.
#[test]
fn boards_that_ask_at_once_never_hold_more_than_there_is() {
    run(
        "nodes::boards_that_ask_at_once_never_hold_more_than_there_is",
        Needs::Peers,
        |world| {
            let database = Postgres::start(world, "127.0.0.5", None)?;
            let check = "CREATE FUNCTION too_much() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                IF (SELECT max(sum) FROM (SELECT sum(held) FROM posthouse_shares \
                    WHERE until > clock_timestamp() GROUP BY party) AS sums) > 7 \
                OR (SELECT max(sum) FROM (SELECT sum(part) FROM posthouse_shares \
                    WHERE until > clock_timestamp() GROUP BY party) AS sums) > 1000 \
                THEN RAISE 'too much is held'; END IF; RETURN NULL; END $$; \
                CREATE CONSTRAINT TRIGGER too_much AFTER INSERT OR UPDATE ON posthouse_shares \
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION too_much()";
            let executor = runtime::process::build(Some(2))?;
            let runtime = executor.runtime();
            executor.block_on(async {
                board(&runtime, &database.address(), "first")?
                    .exchange(&[])
                    .await?;
                database.sql(world, "posthouse", check)?;
                let mut tasks = Vec::new();
                for node in 0..5u64 {
                    let board = board(&runtime, &database.address(), &format!("node{node}"))?;
                    tasks.push(runtime.spawn("node", ask_at_random(board, node)));
                }
                let mut got = 0;
                for task in tasks {
                    got += task.join().await??;
                }
                ensure!(got > 500, "nobody got anything: {got}");
                anyhow::Ok(())
            })?;
            // Everyone has stopped.
            let left = database.sql(world, "posthouse", "SELECT count(*) FROM posthouse_shares")?;
            ensure!(left.trim() == "0", "{left}");
            Ok(())
        },
    );
}

/// What it was given in all.
async fn ask_at_random(board: PostgresBoard, seed: u64) -> Result<u32> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut used = [0u32; 4];
    let mut got = 0;
    for _ in 0..200 {
        let mut uses: Vec<Use> = (0..4)
            .map(|party| asked(party, used[party], chance.u32(0..9)))
            .collect();
        uses.retain(|_| chance.bool());
        let answer = board.exchange(&uses).await?;
        ensure!(answer.shares.len() == uses.len());
        for (one, share) in uses.iter().zip(&answer.shares) {
            let party = usize::from(one.party.as_bytes()[2] - b'0');
            got += share.connections;
            used[party] = match used[party] > share.connections {
                true => used[party] - chance.u32(0..=1),
                false => chance.u32(0..=share.connections),
            };
        }
    }
    board.leave().await;
    Ok(got)
}

#[test]
fn a_database_under_tls_is_known_by_its_certificate_and_a_name_by_its_process() {
    run(
        "nodes::a_database_under_tls_is_known_by_its_certificate_and_a_name_by_its_process",
        Needs::Peers,
        |world| {
            interop::dns::start(world, &ZONES)?;
            let dir = world.folder("certificate")?;
            let authority = interop::web::certificates(world, &[("db.test", &dir)])?;
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(authority)?)?;
            let roots = ClientTls::verifying(roots)?;
            let mut database = Postgres::start(world, "127.0.0.5", Some(&dir))?;
            let executor = runtime::process::build(Some(2))?;
            let runtime = executor.runtime();
            let at = |name: &str, roots: &ClientTls, node: &str| {
                let address = format!("postgresql://posthouse@{name}/posthouse?sslmode=require");
                let config = Config::parse(&address, Some(interop::posthouse::PASSWORD))?;
                let resolver = Resolver::new(&[interop::dns::ADDR.parse()?])?;
                let tls = Some(roots.clone());
                anyhow::Ok(PostgresBoard::new(&runtime, config, node, (resolver, tls)))
            };
            executor.block_on(async {
                let one = at("db.test", &roots, "one")?;
                ensure!(one.exchange(&[asked(0, 0, 9)]).await?.shares[0].connections == 7);
                // Not the name of the certificate.
                let wrong = at("127.0.0.5", &roots, "two")?.exchange(&[]).await;
                let Err(BoardError::Away(why)) = wrong else {
                    anyhow::bail!("{wrong:?}");
                };
                ensure!(why.contains("certificate"), "{why}");
                // In the clear nobody is let in.
                let clear = board(&runtime, &database.address(), "two")?
                    .exchange(&[])
                    .await;
                ensure!(matches!(clear, Err(BoardError::Away(_))), "{clear:?}");

                // Another process of the name begins anew, and the one before hears of it.
                let again = at("db.test", &roots, "one")?;
                let answer = again.exchange(&[asked(0, 0, 9)]).await?;
                ensure!((answer.nodes, answer.shares[0].connections) == (1, 7));
                let before = one.exchange(&[asked(0, 1, 9)]).await;
                let taken = matches!(&before, Err(BoardError::NameTaken(name)) if name == "one");
                ensure!(taken, "{before:?}");

                // A database that was away is found again by whoever has the name.
                database.stop(world)?;
                let away = again.exchange(&[]).await;
                ensure!(matches!(away, Err(BoardError::Away(_))), "{away:?}");
                database.start_again(world)?;
                let answer = again.exchange(&[asked(0, 3, 9)]).await?;
                ensure!(answer.shares[0].connections == 7);
                let other = at("db.test,db.test:5433", &roots, "other")?;
                ensure!(other.exchange(&[asked(0, 0, 9)]).await?.shares[0].connections == 0);
                // What one has met is a limit for all, and of the pace each has a part.
                let refused = Use {
                    refused: true,
                    rest: Duration::from_secs(9),
                    ..asked(0, 4, 9)
                };
                ensure!(again.exchange(&[refused]).await?.shares[0].connections == 2);
                let share = &other.exchange(&[asked(0, 0, 9)]).await?.shares[0];
                ensure!(share.connections == 0 && share.others == 4, "{share:?}");
                ensure!((1..=9).contains(&share.rest.as_secs()), "{share:?}");
                ensure!(share.part == 500, "{share:?}");
                let share = &again.exchange(&[asked(0, 1, 9)]).await?.shares[0];
                ensure!((share.connections, share.part) == (2, 500), "{share:?}");
                again.leave().await;
                let all = other.exchange(&[asked(0, 0, 9)]).await?;
                ensure!((all.nodes, all.shares[0].connections) == (1, 4), "{all:?}");
                anyhow::Ok(())
            })
        },
    );
}
