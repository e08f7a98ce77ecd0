//! Programs that read, that do not, that fail and that never end.

use super::*;

fn shell(script: &str, arguments: &[&str]) -> Gateway {
    let mut command = vec![
        "/bin/sh".to_owned(),
        "-c".into(),
        script.to_owned(),
        "sh".into(),
    ];
    command.extend(arguments.iter().map(|&argument| argument.to_owned()));
    Gateway::Program {
        command,
        timeout: Duration::from_secs(60),
    }
}

fn status(outcome: &Outcome) -> (u8, u16, u16) {
    let status = outcome.reply().enhanced.expect("a status");
    (status.class, status.subject, status.detail)
}

#[tokio::test]
async fn a_program_gets_message_and_envelope() {
    let folder = folder();
    let out = folder.path().join("out");
    let name = out.to_str().expect("text");
    let script =
        format!("cat > {name}; echo \"$1|$2|$SENDER|$RECIPIENT|$HOME\" >> {name}; echo thanks");
    let gateway = shell(&script, &["{local}", "{recipient}"]);
    let outcomes = hand(&gateway, &["Bob@there.test"], TEXT).await;
    assert_eq!(outcomes[0].reply().text(), "the program took it: thanks");
    assert_eq!(
        read(&out),
        "Return-Path: <ann@here.test>\nSubject: x\n\nhello\n.\nFrom here\n>From there\nFro\n\
         bob|Bob@there.test|ann@here.test|Bob@there.test|\n"
    );
}

#[tokio::test]
async fn it_runs_once_for_all_unless_it_names_one() {
    let folder = folder();
    let out = folder.path().join("out");
    let script = format!("cat > /dev/null; echo \"$RECIPIENT\" >> {}", out.display());
    let both = ["bob@there.test", "eve@there.test"];
    taken(&shell(&script, &[]), &both).await;
    assert_eq!(read(&out), "bob@there.test eve@there.test\n");
    taken(&shell(&script, &["{recipient}"]), &both).await;
    assert!(read(&out).ends_with("bob@there.test\neve@there.test\n"));
}

#[tokio::test]
async fn its_code_says_what_becomes_of_the_message() {
    for (code, expected) in [
        (65, (5, 6, 0)),
        (67, (5, 1, 1)),
        (68, (5, 1, 2)),
        (69, (5, 3, 0)),
        (73, (5, 2, 0)),
        (77, (5, 7, 1)),
        (75, (4, 3, 0)),
        (78, (4, 3, 0)),
        // A mistake in a script.
        (1, (4, 3, 0)),
        (127, (4, 3, 0)),
    ] {
        let script = format!("echo no such ticket >&2; exit {code}");
        let outcomes = hand(&shell(&script, &[]), &["bob@there.test"], TEXT).await;
        assert_eq!(status(&outcomes[0]), expected, "{code}");
        let text = outcomes[0].reply().text();
        assert!(
            text.ends_with(&format!("it ended with code {code}: no such ticket")),
            "{text}"
        );
    }
    let outcomes = hand(&shell("kill -9 $$", &[]), &["bob@there.test"], TEXT).await;
    assert_eq!(status(&outcomes[0]), (4, 3, 0));
}

#[tokio::test]
async fn a_program_that_is_not_there_delays() {
    let gateway = Gateway::Program {
        command: vec!["/no/such/program".into()],
        timeout: Duration::from_secs(60),
    };
    let outcomes = hand(&gateway, &["bob@there.test"], TEXT).await;
    assert_eq!(status(&outcomes[0]), (4, 3, 0));
    assert!(
        outcomes[0]
            .reply()
            .text()
            .contains("/no/such/program could not be started")
    );
}

#[tokio::test]
async fn what_never_ends_is_ended_with_all_that_it_has_started() {
    static LARGE: [u8; 1 << 20] = [b'x'; 1 << 20];
    let folder = folder();
    let pid = folder.path().join("pid");
    // It reads nothing, and something of it has its output open.
    let script = format!("sleep 1000 & echo $! > {}; sleep 1000", pid.display());
    let Gateway::Program { command, .. } = shell(&script, &[]) else {
        unreachable!()
    };
    let gateway = Gateway::Program {
        command,
        timeout: Duration::from_secs(1),
    };
    let outcomes = hand(&gateway, &["bob@there.test"], &LARGE).await;
    assert_eq!(status(&outcomes[0]), (4, 3, 0));
    assert!(
        outcomes[0]
            .reply()
            .text()
            .contains("it was ended after 1 seconds")
    );
    let left = read(&pid);
    let status = std::fs::read_to_string(format!("/proc/{}/stat", left.trim()));
    // Gone, or nobody has reaped it yet.
    assert!(status.map_or(true, |status| status.contains(") Z ")));
}

#[tokio::test]
async fn what_floods_is_read_and_thrown_away() {
    let script = "head -c 3000000 /dev/zero | tr '\\0' 'y'; echo; echo done; exit 67";
    let outcomes = hand(&shell(script, &[]), &["bob@there.test"], TEXT).await;
    assert_eq!(status(&outcomes[0]), (5, 1, 1));
    assert!(outcomes[0].reply().text().len() < 1000);
}

#[tokio::test]
async fn an_address_is_no_option() {
    let outcomes = hand(&shell("cat", &["{recipient}"]), &["-rf@there.test"], TEXT).await;
    assert_eq!(status(&outcomes[0]), (5, 1, 3));
    taken(&shell("cat", &["--to={recipient}"]), &["-rf@there.test"]).await;
}
