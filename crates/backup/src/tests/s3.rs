//! A bucket as a target, against a real server that speaks S3.
//!
//! The server is moto's, fetched into `target/peers/s3` when it is not there. Without it the test is
//! skipped and counted; with `POSTHOUSE_CI=1` that is a failure.

use super::world::{World, large, open, secret};
use crate::restore::{self, OnDamage};
use crate::target::s3::{Access, Bucket};
use crate::verify::verify;
use crate::{BackupError, Options, Target as _};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

struct Server {
    process: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn succeeds(command: &mut Command) -> bool {
    let run = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

/// The server's program, fetched at first.
fn program() -> Option<PathBuf> {
    let venv = tree().join("target/peers/s3");
    let program = venv.join("bin/moto_server");
    let runs = || succeeds(Command::new(&program).arg("--help"));
    let fetch = || {
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(&venv))
            && succeeds(Command::new(venv.join("bin/pip")).args([
                "install",
                "-q",
                "moto[s3,server]==5.2.5",
            ]))
    };
    (runs() || fetch() && runs()).then_some(program)
}

fn start() -> Option<Server> {
    let mut process = Command::new(program()?)
        .args(["-H", "127.0.0.1", "-p", "0"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let told = BufReader::new(process.stderr.take()?);
    let mut lines = told.lines().map_while(Result::ok);
    let address = lines.find_map(|line| {
        let (_, address) = line.split_once("Running on http://")?;
        Some(address.trim().to_owned())
    })?;
    // It goes on telling; nobody wants to hear it.
    std::thread::spawn(move || lines.for_each(drop));
    Some(Server { process, address })
}

fn make_bucket(server: &Server, name: &str) {
    let mut conn = TcpStream::connect(&server.address).expect("it listens");
    write!(
        conn,
        "PUT /{name} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        server.address
    )
    .expect("sent");
    let mut answer = String::new();
    conn.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn note_skip(line: &str) {
    assert!(
        std::env::var_os("POSTHOUSE_CI").is_none_or(|value| value != "1"),
        "{line}"
    );
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(tree().join("target/skipped"));
    if let Ok(mut file) = file {
        let _ = writeln!(file, "{line}");
    }
}

#[test]
fn a_bucket_is_as_good_as_a_folder() {
    let Some(server) = start() else {
        note_skip("skipped: backup to S3 (moto could not be fetched or started)");
        return;
    };
    make_bucket(&server, "backups");
    let (world, people) = World::in_memory().populated();
    // More than one part.
    world.mail(people[0], "INBOX", &large(9 << 20), &[]);
    let access = Access {
        endpoint: Some(format!("http://{}", server.address)),
        region: Some("us-east-1".into()),
        key: Some(("id".into(), "secret".into())),
    };
    let bucket = |url: &str| Bucket::new(url, &access, world.runtime.clone()).expect("an address");
    let target = bucket("s3://backups/mail/of us");
    let secret = secret();
    let options = Options {
        passphrase: Some(secret.clone()),
        ..Options::default()
    };
    let first = world
        .back_up_as(&target, &options, &mut ())
        .expect("backed up");
    assert!(first.progress.added.bytes > 9 << 20);
    world.mail(people[1], "INBOX", b"Subject: one more\r\n\r\n", &[]);
    let second = world
        .back_up_as(&target, &options, &mut ())
        .expect("backed up");
    assert_eq!(
        (second.progress.unchanged, second.progress.added.bodies),
        (3, 1)
    );
    let backup = open(&target, Some(&secret));
    let found = verify(&backup, None, &mut ()).expect("checked");
    assert_eq!((found.runs, found.findings), (2, vec![]));
    let run = backup.run_at(None).expect("a run");
    let fresh = world.empty();
    restore::everything(
        &backup,
        &run,
        &fresh.destination(),
        OnDamage::Refuse,
        &mut (),
    )
    .expect("restored");
    super::world::assert_same(&fresh.everything(), &world.everything(), "restored");
    // Runs go there too.
    let pruned = crate::prune::prune(&backup, 1).expect("pruned");
    assert_eq!(pruned.runs, [first.run]);
    assert_eq!(
        verify(&backup, None, &mut ()).expect("checked").findings,
        [] as [String; 0]
    );

    // What is not finished does not show.
    let before = target.list("").expect("listed");
    let mut unfinished = target.create("packs/unfinished").expect("begun");
    unfinished.write_all(&large(9 << 20)).expect("sent");
    drop(unfinished);
    assert_eq!(target.list("").expect("listed"), before);
    let missing = target.open("nothing").err().expect("not there");
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    target.remove("nothing").expect("no error");
    // Another prefix is another place, and a bucket that is not there is told.
    let other = crate::Backup::open(&bucket("s3://backups/else"), None).map(drop);
    assert!(
        matches!(other, Err(BackupError::NotABackup(_))),
        "{other:?}"
    );
    let nowhere = world.back_up(&bucket("s3://no-such-bucket"));
    assert!(
        matches!(nowhere, Err(BackupError::Target { .. })),
        "{nowhere:?}"
    );
    assert!(Bucket::new("s3://", &access, world.runtime.clone()).is_err());
}
