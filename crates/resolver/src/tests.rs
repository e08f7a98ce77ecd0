//! Against a name server of a few lines on loopback.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use envelope::Domain;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, MX, NS, PTR};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use crate::{AddressAnswer, Mx, MxAnswer, Resolver};

/// What the server says of a name and a type; of others that they do not exist.
#[derive(Clone)]
enum Say {
    Records(Vec<RData>),
    Code(ResponseCode),
    Referral,
    Nothing,
}

struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

fn mx(preference: u16, host: &str) -> RData {
    RData::MX(MX::new(preference, name(host)))
}

fn ip(text: &str) -> RData {
    RData::from(text.parse::<IpAddr>().expect("an address"))
}

fn serve(zone: &[(&str, RecordType, Say)]) -> Server {
    let zone: HashMap<(String, RecordType), Say> = zone
        .iter()
        .map(|(name, record, say)| (((*name).to_owned(), *record), say.clone()))
        .collect();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let address = socket.local_addr().expect("an address");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // Ends with the process: the socket has no other owner.
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((len, peer)) = socket.recv_from(&mut buffer) {
            count.fetch_add(1, Ordering::SeqCst);
            let question = Message::from_vec(&buffer[..len]).expect("a question");
            if let Some(answer) = answer(&question, &zone) {
                let _ = socket.send_to(&answer.to_vec().expect("encoded"), peer);
            }
        }
    });
    Server { address, asked }
}

fn answer(question: &Message, zone: &HashMap<(String, RecordType), Say>) -> Option<Message> {
    let query = question.queries.first()?.clone();
    let key = query.name().to_ascii().to_lowercase();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_available = true;
    let cname = zone.get(&(key.clone(), RecordType::CNAME)).cloned();
    let exists = zone.keys().any(|(name, _)| *name == key);
    let said = cname.or_else(|| zone.get(&(key, query.query_type())).cloned());
    match said {
        Some(Say::Records(records)) => {
            for data in records {
                answer.add_answer(Record::from_rdata(query.name().clone(), 60, data));
            }
        }
        Some(Say::Code(code)) => answer.metadata.response_code = code,
        Some(Say::Referral) => {
            let ns = RData::NS(NS(name("ns.else.test.")));
            answer.add_authority(Record::from_rdata(query.name().clone(), 60, ns));
        }
        Some(Say::Nothing) => {}
        None if exists => {}
        None => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.add_query(query);
    Some(answer)
}

fn world() -> (Server, Resolver) {
    let many: Vec<RData> = (0..12)
        .map(|n| mx(n, &format!("mx{n}.many.test.")))
        .collect();
    let server = serve(&[
        (
            "two.test.",
            RecordType::MX,
            Say::Records(vec![mx(20, "B.two.test."), mx(10, "a.two.test.")]),
        ),
        ("null.test.", RecordType::MX, Say::Records(vec![mx(0, ".")])),
        (
            "odd.test.",
            RecordType::MX,
            Say::Records(vec![mx(0, "."), mx(5, "mx.odd.test.")]),
        ),
        (
            "only-a.test.",
            RecordType::A,
            Say::Records(vec![ip("192.0.2.1")]),
        ),
        (
            "broken.test.",
            RecordType::MX,
            Say::Code(ResponseCode::ServFail),
        ),
        (
            "refused.test.",
            RecordType::MX,
            Say::Code(ResponseCode::Refused),
        ),
        ("lame.test.", RecordType::MX, Say::Referral),
        (
            "alias.test.",
            RecordType::CNAME,
            Say::Records(vec![RData::CNAME(CNAME(name("two.test.")))]),
        ),
        (
            "loop.test.",
            RecordType::CNAME,
            Say::Records(vec![RData::CNAME(CNAME(name("pool.test.")))]),
        ),
        (
            "pool.test.",
            RecordType::CNAME,
            Say::Records(vec![RData::CNAME(CNAME(name("loop.test.")))]),
        ),
        (
            "gone.test.",
            RecordType::CNAME,
            Say::Records(vec![RData::CNAME(CNAME(name("nowhere.test.")))]),
        ),
        (
            "xn--bcher-kva.test.",
            RecordType::MX,
            Say::Records(vec![mx(1, "mx.two.test.")]),
        ),
        ("many.test.", RecordType::MX, Say::Records(many)),
        (
            "both.test.",
            RecordType::A,
            Say::Records(vec![ip("192.0.2.1"), ip("192.0.2.2")]),
        ),
        (
            "both.test.",
            RecordType::AAAA,
            Say::Records(vec![ip("2001:db8::1")]),
        ),
        (
            "half.test.",
            RecordType::A,
            Say::Records(vec![ip("192.0.2.1")]),
        ),
        (
            "half.test.",
            RecordType::AAAA,
            Say::Code(ResponseCode::ServFail),
        ),
        ("half-none.test.", RecordType::A, Say::Nothing),
        (
            "half-none.test.",
            RecordType::AAAA,
            Say::Code(ResponseCode::ServFail),
        ),
        (
            "1.2.0.192.in-addr.arpa.",
            RecordType::PTR,
            Say::Records(vec![RData::PTR(PTR(name("Mail.two.test.")))]),
        ),
    ]);
    let resolver = Resolver::new(&[server.address]).expect("set up");
    (server, resolver)
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("a domain")
}

fn records(list: &[(u16, &str)]) -> MxAnswer {
    let mx = |(preference, host): &(u16, &str)| Mx {
        preference: *preference,
        host: (*host).into(),
    };
    MxAnswer::Records(list.iter().map(mx).collect())
}

#[tokio::test]
async fn mx_in_order_of_preference_and_what_else_a_name_can_say() {
    let (_server, resolver) = world();
    let cases = [
        (
            "two.test",
            records(&[(10, "a.two.test"), (20, "b.two.test")]),
        ),
        ("null.test", MxAnswer::NullMx),
        ("odd.test", records(&[(5, "mx.odd.test")])),
        ("only-a.test", MxAnswer::NoMx),
        ("nowhere.test", MxAnswer::NxDomain),
        (
            "alias.test",
            records(&[(10, "a.two.test"), (20, "b.two.test")]),
        ),
        ("gone.test", MxAnswer::NxDomain),
        ("bücher.test", records(&[(1, "mx.two.test")])),
    ];
    for (name, answer) in cases {
        assert_eq!(resolver.mx(&domain(name)).await, Ok(answer), "{name}");
    }
    let MxAnswer::Records(many) = resolver.mx(&domain("many.test")).await.expect("an answer")
    else {
        panic!("records")
    };
    assert_eq!(many.len(), 12);
}

#[tokio::test]
async fn what_is_not_known_is_temporary() {
    let (_server, resolver) = world();
    for name in ["broken.test", "refused.test", "lame.test"] {
        let error = resolver.mx(&domain(name)).await.expect_err(name);
        assert_eq!(error.name, name);
    }
}

#[tokio::test]
async fn a_loop_of_aliases_ends() {
    let (server, resolver) = world();
    assert_ne!(
        resolver.mx(&domain("loop.test")).await,
        Ok(MxAnswer::NxDomain)
    );
    assert!(server.asked.load(Ordering::SeqCst) <= 10);
}

#[tokio::test]
async fn addresses_of_both_families() {
    let (_server, resolver) = world();
    let found = |list: &[&str]| {
        let parse = |text: &&str| text.parse().expect("an address");
        Ok(AddressAnswer::Addresses(list.iter().map(parse).collect()))
    };
    let both = found(&["2001:db8::1", "192.0.2.1", "192.0.2.2"]);
    assert_eq!(resolver.addresses("both.test").await, both);
    assert_eq!(resolver.addresses("both.test.").await, both);
    assert_eq!(resolver.addresses("half.test").await, found(&["192.0.2.1"]));
    assert!(resolver.addresses("half-none.test").await.is_err());
    assert_eq!(
        resolver.addresses("two.test").await,
        Ok(AddressAnswer::None)
    );
    assert_eq!(
        resolver.addresses("nowhere.test").await,
        Ok(AddressAnswer::NxDomain)
    );
    let too_long = "a".repeat(300);
    assert_eq!(
        resolver.addresses(&too_long).await,
        Ok(AddressAnswer::NxDomain)
    );
}

#[tokio::test]
async fn reverse_names() {
    let (_server, resolver) = world();
    let ask = async |text: &str| resolver.ptr(text.parse().expect("an address")).await;
    assert_eq!(ask("192.0.2.1").await, Ok(vec!["mail.two.test".to_owned()]));
    assert_eq!(
        ask("::ffff:192.0.2.1").await,
        Ok(vec!["mail.two.test".to_owned()])
    );
    assert_eq!(ask("192.0.2.9").await, Ok(Vec::new()));
}

#[tokio::test]
async fn lists_answer_with_ipv4_addresses() {
    let (_server, resolver) = world();
    let two = Ok(vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()]);
    assert_eq!(resolver.ipv4("both.test").await, two);
    assert_eq!(resolver.ipv4("two.test").await, Ok(Vec::new()));
    assert_eq!(resolver.ipv4("nowhere.test").await, Ok(Vec::new()));
}

#[tokio::test]
async fn an_answer_is_remembered() {
    let (server, resolver) = world();
    for _ in 0..3 {
        resolver.mx(&domain("two.test")).await.expect("an answer");
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn trust_anchors_that_cannot_be_used_are_told_by_their_file() {
    let runtime = runtime::Runtime::for_tests();
    let file = std::env::temp_dir().join(format!("posthouse-anchors-{}", std::process::id()));
    let try_it = |text: Option<&str>| {
        match text {
            Some(text) => std::fs::write(&file, text).expect("written"),
            None => std::fs::remove_file(&file).unwrap_or_default(),
        }
        let told = Resolver::proving(&[], &crate::Dnssec::On(file.clone()), &runtime);
        told.err().map(|error| error.to_string())
    };
    for bad in [
        None,
        Some(""),
        Some("; nothing yet\n"),
        Some("x DNSKEY what\n"),
    ] {
        let told = try_it(bad).expect("refused");
        let name = file.display().to_string();
        assert!(told.contains(&name) && told.contains("DNSKEY"), "{told}");
    }
    std::fs::remove_file(&file).expect("removed");
}
