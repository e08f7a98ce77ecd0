//! ATRN at the protocol: who may have which domain's mail. RFC 2645.

use envelope::Domain;
use policy::primary::BoxFuture;
use settings::rules::Rules;

use super::*;
use crate::{Turn, TurnRefusal, Turning};

/// Mail waits for `a.test`; somebody fetches `busy.test`.
#[derive(Debug)]
pub(super) struct Fetching;

struct Through(Vec<Domain>);

impl Turn for Fetching {
    fn begin<'a>(
        &'a self,
        domains: &'a [Domain],
    ) -> BoxFuture<'a, Result<Box<dyn Turning>, TurnRefusal>> {
        let has = |name: &str| domains.iter().any(|domain| domain.as_str() == name);
        let begun = match () {
            () if has("busy.test") => Err(TurnRefusal::Busy),
            () if has("a.test") => Ok(Box::new(Through(domains.to_vec())) as Box<dyn Turning>),
            () => Err(TurnRefusal::NoMail),
        };
        Box::pin(std::future::ready(begun))
    }
}

impl Turning for Through {
    /// Repeats what it hears first, with what it is for.
    fn run(
        self: Box<Self>,
        mut conn: Conn,
        mut input: BytesMut,
        host: String,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            while !input.ends_with(b"\r\n") {
                conn.read(&mut input).await.unwrap();
            }
            let heard = String::from_utf8(input.to_vec()).unwrap();
            let names: Vec<&str> = self.0.iter().map(Domain::as_str).collect();
            let line = format!("000 {host} for {}: {heard}", names.join(" "));
            conn.write_all(line.as_bytes()).await.unwrap();
        })
    }
}

async fn customer(world: &World) -> Client {
    let text = "[relay_domain.\"a.test\"]\natrn = [\"Alice@demo.test\", \"bob@demo.test\"]\n\
                [relay_domain.\"b.test\"]\natrn = [\"alice@demo.test\"]\n\
                [relay_domain.\"busy.test\"]\natrn = [\"bob@demo.test\"]\n\
                [relay_domain.\"nobodys.test\"]\n";
    world
        .ports
        .policy
        .rules()
        .replace(Rules::parse(text).unwrap());
    let config = Config::new(Role::Submission, "mx.demo.test", TlsMode::None);
    let mut client = world.connect(config.for_atrn().with_plaintext_login(), NEAR);
    client.hear().await;
    let hello = client.say("EHLO site.test").await;
    assert!(hello.contains("250 ATRN\r\n"), "{hello}");
    client
}

#[tokio::test]
async fn rfc_2645_the_connection_is_turned_for_those_whose_domain_it_is() {
    let world = World::new().await;
    let mut client = customer(&world).await;
    client
        .dialogue(&[
            ("ATRN a.test", "530 5.7.0"),
            ("MAIL FROM:<alice@demo.test>", "502 5.5.1"),
            (&plain_auth("alice@demo.test", "demo"), "235"),
            // One that is not hers refuses them all.
            ("ATRN a.test,nobodys.test", "450 4.7.1"),
            ("ATRN elsewhere.test", "450 4.7.1"),
            ("ATRN b.test", "453"),
        ])
        .await;
    // All that she may have; what was said too early is not lost.
    client.send("ATRN\r\n220 site.test\r\n").await;
    assert!(
        client
            .hear()
            .await
            .starts_with("250 2.0.0 OK now reversing")
    );
    let turned = client.hear().await;
    assert_eq!(
        turned,
        "000 alice@demo.test (ATRN) for a.test b.test: 220 site.test\r\n"
    );
    assert_eq!(client.hear().await, "");
}

#[tokio::test]
async fn rfc_2645_what_is_being_fetched_is_not_fetched_twice() {
    let world = World::new().await;
    let mut client = customer(&world).await;
    client
        .dialogue(&[
            (&plain_auth("bob@demo.test", "demo"), "235"),
            ("ATRN busy.test", "450 4.2.1"),
            ("ATRN b.test", "450 4.7.1"),
            ("ATRN A.test", "250 2.0.0"),
        ])
        .await;
}

#[tokio::test]
async fn who_may_fetch_nothing_hears_so() {
    let world = World::new().await;
    let mut client = customer(&world).await;
    client
        .dialogue(&[
            (&plain_auth("carol@other.test", "demo"), "235"),
            ("ATRN", "450 4.7.1"),
            ("QUIT", "221"),
        ])
        .await;
}
