//! Greeting, capabilities, TLS, logins (RFC 9051 §6.1, §6.2).

use super::World;
use crate::{Config, Sessions, TlsMode};
use mailstore::QuotaLimits;
use runtime::net::Conn;
use runtime::tls::{ClientTls, ServerTls};
use std::sync::Arc;

const BEFORE_LOGIN: &str = "IMAP4rev1 IMAP4rev2 SASL-IR ID ENABLE LANGUAGE LITERAL-";

#[tokio::test]
async fn what_is_offered_depends_on_the_state() {
    let world = World::new().await;
    // No TLS and no permission for plain text: there is no way to log in.
    let mut strict = world.connect_with(|_| ());
    assert_eq!(
        strict.hear().await,
        format!("* OK [CAPABILITY {BEFORE_LOGIN} LOGINDISABLED] imap.demo.test Posthouse is ready")
    );
    strict
        .check(
            "LOGIN bob@demo.test \"pass word\"",
            &["NO [PRIVACYREQUIRED] …"],
        )
        .await;
    strict
        .check(
            "AUTHENTICATE PLAIN AGJvYgBwYXNz",
            &["NO [PRIVACYREQUIRED] …"],
        )
        .await;
    strict
        .check("STARTTLS", &["BAD TLS is not offered here"])
        .await;

    let mut client = world.connect();
    client.hear().await;
    let offered = format!("* CAPABILITY {BEFORE_LOGIN} AUTH=PLAIN AUTH=LOGIN");
    client.check("CAPABILITY", &[&offered, "OK …"]).await;
    client
        .check(
            "LOGIN bob@demo.test \"pass word\"",
            &["OK [CAPABILITY IMAP4rev1 IMAP4rev2 …LITERAL+ IDLE…] welcome"],
        )
        .await;
    let after = client.ok("CAPABILITY").await;
    for gone in ["LITERAL-", "STARTTLS", " AUTH=", "LOGINDISABLED"] {
        assert!(!after[0].contains(gone), "{after:?}");
    }
    // RFC 5550 §3.2: what a message store of that profile has, but for CONVERT.
    for offered in [
        "BINARY",
        "CATENATE",
        "COMPRESS=DEFLATE",
        "CONDSTORE",
        "CONTEXT=SEARCH",
        "CONTEXT=SORT",
        "ENABLE",
        "ESEARCH",
        "ESORT",
        "I18NLEVEL=2",
        "IDLE",
        "LITERAL+",
        "NAMESPACE",
        "NOTIFY",
        "QRESYNC",
        "SASL-IR",
        "SORT",
        "UIDPLUS",
        "URLAUTH",
        "URL-PARTIAL",
    ] {
        assert!(after[0].split(' ').any(|one| one == offered), "{offered}");
    }
    // RFC 9051 §6.3.1: ENABLE does not change them.
    client.ok("ENABLE IMAP4rev2 CONDSTORE").await;
    assert_eq!(client.ok("CAPABILITY").await, after);
}

#[tokio::test]
async fn every_command_is_refused_in_the_wrong_state() {
    let world = World::new().await;
    let mut client = world.connect();
    client.hear().await;
    let authenticated = [
        "ENABLE X",
        "SELECT INBOX",
        "EXAMINE INBOX",
        "CREATE x",
        "DELETE x",
        "RENAME x y",
        "SUBSCRIBE x",
        "UNSUBSCRIBE x",
        "LIST \"\" *",
        "LSUB \"\" *",
        "NAMESPACE",
        "GETQUOTA \"\"",
        "GETQUOTAROOT INBOX",
        "GENURLAUTH x INTERNAL",
        "URLFETCH x",
        "RESETKEY",
        "GETMETADATA INBOX /private/comment",
        "COMPRESS DEFLATE",
        "ESEARCH IN (inboxes) ALL",
        "STATUS INBOX (MESSAGES)",
        "IDLE",
    ];
    let selected = [
        "CHECK",
        "CLOSE",
        "UNSELECT",
        "EXPUNGE",
        "UID EXPUNGE 1",
        "SEARCH ALL",
        "UID SEARCH ALL",
        "FETCH 1 UID",
        "UID FETCH 1 UID",
        "STORE 1 FLAGS ()",
        "UID STORE 1 FLAGS ()",
        "COPY 1 x",
        "UID COPY 1 x",
        "MOVE 1 x",
        "UID MOVE 1 x",
    ];
    for command in authenticated.iter().chain(&selected) {
        client.check(command, &["BAD log in first"]).await;
    }
    // A message that was not asked for is not swallowed either.
    client.check("APPEND INBOX {3+}\r\nabc", &["BAD …"]).await;
    client.ok("NOOP").await;
    client.ok("LOGIN bob@demo.test \"pass word\"").await;
    for command in selected {
        client.check(command, &["BAD select a mailbox first"]).await;
    }
    for command in ["LOGIN a b", "AUTHENTICATE PLAIN", "STARTTLS"] {
        client
            .check(command, &["BAD you are logged in already"])
            .await;
    }
    client.ok("SELECT INBOX").await;
    client.ok("UNSELECT").await;
    client
        .check("FETCH 1 UID", &["BAD select a mailbox first"])
        .await;
    client
        .check("LOGOUT", &["* BYE goodbye", "OK logged out"])
        .await;
    assert_eq!(client.hear().await, "");
}

#[tokio::test]
async fn authenticate_plain_with_and_without_initial_response_and_its_failures() {
    let world = World::new().await;
    let plain = wire::base64::encode(b"\0bob@demo.test\0pass word");
    let wrong = wire::base64::encode(b"\0bob@demo.test\0wrong");
    let mut client = world.connect();
    client.hear().await;
    client
        .check(
            &format!("AUTHENTICATE PLAIN {wrong}"),
            &["NO [AUTHENTICATIONFAILED] …"],
        )
        .await;
    client
        .check("AUTHENTICATE SCRAM-SHA-256", &["NO [CANNOT] …"])
        .await;
    // RFC 9051 §6.2.2: cancelled, or no base64: BAD.
    for line in ["*", "=AAA", "AAA=BBB", "§"] {
        client
            .check(&format!("AUTHENTICATE PLAIN\r\n{line}"), &["+ ", "BAD …"])
            .await;
    }
    client.check("AUTHENTICATE PLAIN =AAA", &["BAD …"]).await;
    client
        .check(
            &format!("AUTHENTICATE PLAIN\r\n{plain}"),
            &["+ ", "OK [CAPABILITY …] welcome"],
        )
        .await;
    let mut another = world.connect();
    another.hear().await;
    another
        .check(
            &format!("authenticate plain {plain}"),
            &["OK [CAPABILITY …] welcome"],
        )
        .await;
}

#[tokio::test]
async fn the_fifth_wrong_password_ends_the_session() {
    let world = World::new().await;
    let mut client = world.connect();
    client.hear().await;
    for _ in 0..4 {
        client
            .check("LOGIN bob@demo.test x", &["NO [AUTHENTICATIONFAILED] …"])
            .await;
    }
    client.send("a LOGIN bob@demo.test x\r\n").await;
    client
        .hears_bye("* BYE [AUTHENTICATIONFAILED] too many failed logins")
        .await;
}

#[tokio::test]
async fn a_refusal_says_which_limit_it_was() {
    let world = World::with(QuotaLimits::default(), Sessions::new(2, 1)).await;
    let _one = world.bob().await;
    let mut two = world.bob().await;
    let mut three = world.connect();
    three.hear().await;
    three
        .check(
            "LOGIN bob@demo.test \"pass word\"",
            &["NO [LIMIT] you have 2 sessions already, the most allowed"],
        )
        .await;
    two.ok("LOGOUT").await;
    let _ = two.serving.join().await;
    three.ok("LOGIN bob@demo.test \"pass word\"").await;

    let far = |port| std::net::SocketAddr::from(([192, 0, 2, 1], port));
    let near = std::net::SocketAddr::from(([192, 0, 2, 9], 143));
    let connect = |port| {
        let (client, server) = Conn::pair_between(far(port), near);
        world.attach(client, server, |_| ())
    };
    let mut first = connect(1000);
    assert!(first.hear().await.starts_with("* OK"));
    let mut second = connect(1001);
    second
        .hears_bye("* BYE [LIMIT] there are 1 sessions from your address already, the most allowed")
        .await;
}

#[tokio::test]
async fn starttls_forgets_and_changes_what_is_offered() {
    let world = World::new().await;
    let mut client =
        world.connect_with(|config: &mut Config| config.tls = TlsMode::StartTls(tls()));
    let greeting = client.hear().await;
    assert!(greeting.contains("STARTTLS LOGINDISABLED]"), "{greeting}");
    client.start_tls().await;
    let offered = format!("* CAPABILITY {BEFORE_LOGIN} AUTH=PLAIN AUTH=LOGIN");
    client.check("CAPABILITY", &[&offered, "OK …"]).await;
    client.check("STARTTLS", &["BAD TLS is on already"]).await;
    client.ok("LOGIN bob@demo.test \"pass word\"").await;
}

#[tokio::test]
async fn threat_02_what_is_sent_in_the_clear_behind_starttls_is_never_obeyed() {
    // THREATS 2
    let world = World::new().await;
    let mut client = world.connect_with(|config| config.tls = TlsMode::StartTls(tls()));
    client.hear().await;
    client.send("a STARTTLS\r\nb NOOP\r\n").await;
    assert_eq!(client.hear().await, "a OK begin TLS now");
    assert_eq!(client.hear().await, "");
}

#[tokio::test]
async fn id_is_answered_in_every_state() {
    // RFC 2971 §3.1
    let world = World::new().await;
    let mut client = world.connect();
    client.hear().await;
    let answer = ["* ID (\"name\" \"Posthouse\")", "OK …"];
    client.check("ID NIL", &answer).await;
    client.ok("LOGIN bob@demo.test \"pass word\"").await;
    client
        .check("ID (\"name\" \"x\" \"os\" NIL)", &answer)
        .await;
    client.ok("SELECT INBOX").await;
    client.check("ID ()", &answer).await;
    client.check("ID (\"name\")", &["BAD …"]).await;
}

pub(super) fn tls() -> ServerTls {
    #[derive(Debug)]
    struct Always(Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Always {
        fn resolve(
            &self,
            _: rustls::server::ClientHello<'_>,
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }
    let made = rcgen::generate_simple_self_signed(vec!["imap.demo.test".into()]).expect("made");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let provider = runtime::tls::provider();
    let key = provider
        .key_provider
        .load_private_key(key.expect("a key"))
        .expect("loaded");
    let certified = rustls::sign::CertifiedKey::new(vec![made.cert.der().clone()], key);
    ServerTls::new(Arc::new(Always(Arc::new(certified)))).expect("a configuration")
}

/// The contract of `directory::Logins`: the client keeps its password and comes again.
#[tokio::test]
async fn a_directory_that_is_down_is_unavailable_and_never_wrong() {
    let mut world = World::new().await;
    let ports = Arc::get_mut(&mut world.ports).expect("no session yet");
    ports.logins = Arc::new(directory::Unreachable);
    let mut client = world.connect();
    client.hear().await;
    // More often than wrong passwords may come.
    for _ in 0..8 {
        for command in [
            "LOGIN bob@demo.test \"pass word\"",
            "AUTHENTICATE PLAIN AGJvYgB4",
            "AUTHENTICATE SCRAM-SHA-1 biwsbj1ib2Iscj14",
        ] {
            client.check(command, &["NO [UNAVAILABLE] …"]).await;
        }
    }
}

/// RFC 9051 §6.2.1.
#[tokio::test]
async fn starttls_is_bad_where_tls_is_there_from_the_first_byte() {
    let world = World::new().await;
    let mut client = world.connect_with(|config| config.tls = TlsMode::Implicit(tls()));
    let trusting = ClientTls::opportunistic().expect("a configuration");
    client
        .conn
        .connect_tls(&trusting, "imap.demo.test")
        .await
        .expect("a handshake");
    let greeting = client.hear().await;
    assert!(
        greeting.contains(" AUTH=PLAIN") && !greeting.contains("STARTTLS"),
        "{greeting}"
    );
    client
        .check("STARTTLS", &["BAD TLS is not offered here"])
        .await;
    client.ok("LOGIN bob@demo.test \"pass word\"").await;
}
