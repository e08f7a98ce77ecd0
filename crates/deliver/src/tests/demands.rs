//! What domains demand of the TLS of mail to them: DANE, MTA-STS, and REQUIRETLS over both.

use super::sessions::{self_signed_for, serving};
use super::wishes::encrypted;
use super::*;
use envelope::TlsWish;
use rcgen::PublicKeyData as _;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use sts::{BoxFuture as StsFuture, Source, Sts, Trouble};
use tls_policy::Tlsa;
use tls_reports::TlsReports;

const HOST: &str = "mx.example";
const DOMAIN: &str = "x.example";

/// What a domain publishes of MTA-STS.
struct Published(&'static str);

impl Source for Published {
    fn texts<'a>(&'a self, _: &'a str) -> StsFuture<'a, Result<Vec<Vec<u8>>, TemporaryError>> {
        let record = b"v=STSv1; id=7".to_vec();
        Box::pin(std::future::ready(Ok(vec![record])))
    }

    fn document<'a>(&'a self, _: &'a str) -> StsFuture<'a, Result<Vec<u8>, Trouble>> {
        Box::pin(std::future::ready(Ok(self.0.as_bytes().to_vec())))
    }
}

struct Case {
    script: Script,
    tls: Option<ServerTls>,
    names: Names,
    roots: Vec<CertificateDer<'static>>,
    sts: Option<&'static str>,
    wish: TlsWish,
    policy: TlsPolicy,
    reports: Option<TlsReports>,
}

impl Case {
    fn new(tls: ServerTls) -> Self {
        let mut names = Names::default()
            .with_mx(DOMAIN, &[(10, HOST)])
            .with_address(HOST, "127.0.0.1");
        names.secure = true;
        Self {
            script: encrypted("250 mx\r\n"),
            tls: Some(tls),
            names,
            roots: Vec::new(),
            sts: None,
            wish: TlsWish::Usual,
            policy: TlsPolicy::Opportunistic,
            reports: None,
        }
    }

    fn with_tlsa(mut self, records: Vec<Tlsa>) -> Self {
        self.names.tlsa.insert(HOST, Ok(records));
        self
    }

    /// Delivers; what the outcome was, in one line, and what the server heard.
    async fn deliver(self) -> (String, Vec<String>) {
        let runtime = Runtime::new();
        let scripts = vec![self.script.clone(), self.script];
        let server = Server::start_with(&runtime, local("127.0.0.1"), scripts, self.tls);
        let mut options = options();
        options.port = server.address.port();
        let mut ports = ports(&runtime, self.names, options);
        let mut roots = rustls::RootCertStore::empty();
        for root in self.roots {
            roots.add(root).unwrap();
        }
        if !roots.is_empty() {
            ports.verified = Some(ClientTls::verifying(roots).unwrap());
        }
        ports.sts = self.sts.map(|text| {
            let engine = Arc::new(engine::MemoryEngine::new(1));
            Sts::new(engine, runtime.clone(), Arc::new(Published(text)))
        });
        ports.tls_reports = self.reports;
        let domain = Domain::parse(DOMAIN).unwrap();
        let mut envelope = envelope(&["b@x.example"]);
        envelope.tls = self.wish;
        let report = deliver_to_domain(&ports, &domain, self.policy, &envelope, &message()).await;
        let outcome = match &report.outcomes[0] {
            Outcome::Delivered(_) if report.tls => "delivered by TLS".to_owned(),
            Outcome::Delivered(_) => "delivered in the clear".to_owned(),
            other => other.reply().to_line(),
        };
        (outcome, server.said())
    }

    /// What the outcome was, and what was counted: policy, successes, failures.
    async fn counts(mut self) -> (String, Vec<String>) {
        let engine = Arc::new(engine::MemoryEngine::new(1));
        let reports = TlsReports::new(engine, Runtime::new());
        self.reports = Some(reports.clone());
        let (outcome, _) = self.deliver().await;
        let days = reports.show(Some(DOMAIN), 10).await.unwrap();
        let policies = days.iter().flat_map(|day| &day.counted.policies);
        let counted = policies.map(|(applied, counted)| {
            let failed = counted.failures.iter();
            let failed = failed.map(|(failed, n)| format!(" {n} {}", failed.result.as_str()));
            let (kind, good) = (applied.kind.as_str(), counted.successful);
            format!("{kind} {good}{}", failed.collect::<String>())
        });
        (outcome, counted.collect())
    }

    async fn goes(self, how: &str) {
        let (outcome, said) = self.deliver().await;
        assert_eq!(outcome, how, "{said:?}");
    }

    /// Nothing of the message is said to anybody.
    async fn waits(self, code: &str, why: &str) {
        let (outcome, said) = self.deliver().await;
        assert!(
            outcome.starts_with(code) && outcome.contains(why),
            "{outcome}"
        );
        assert!(
            !said.iter().any(|line| line.starts_with("MAIL")),
            "{said:?}"
        );
    }
}

fn own(selector: u8, data: &[u8]) -> Tlsa {
    Tlsa {
        usage: 3,
        selector,
        matching: 1,
        data: Sha256::digest(data).to_vec(),
    }
}

#[tokio::test]
async fn rfc_7672_a_certificate_that_its_record_names_is_good_whatever_it_says() {
    // Its name is another, and no authority knows it.
    let (tls, certificate) = self_signed_for("elsewhere.example");
    Case::new(tls)
        .with_tlsa(vec![own(0, &certificate)])
        .goes("delivered by TLS")
        .await;
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let key = made.signing_key.subject_public_key_info();
    let tls = serving(vec![made.cert.der().clone()], &made.signing_key);
    // One of several is enough: that is how keys are changed.
    Case::new(tls)
        .with_tlsa(vec![own(1, b"the next one"), own(1, &key)])
        .goes("delivered by TLS")
        .await;
}

#[tokio::test]
async fn rfc_7672_another_certificate_or_none_gets_nothing_and_it_is_said_why() {
    let (tls, certificate) = self_signed_for(HOST);
    let mut case = Case::new(tls).with_tlsa(vec![own(0, b"another")]);
    // Not even where an authority has signed it, or TLS failed there the day before.
    case.roots = vec![certificate];
    case.policy = TlsPolicy::Never;
    case.waits("451 4.7.5", "the TLSA records of mx.example")
        .await;
    let (tls, certificate) = self_signed_for(HOST);
    let mut case = Case::new(tls).with_tlsa(vec![own(0, &certificate)]);
    case.script = willing();
    case.waits("451 4.7.5", "the TLSA records of mx.example")
        .await;
}

#[tokio::test]
async fn rfc_7672_what_cannot_be_known_of_records_is_a_host_that_is_not_used() {
    let (tls, _) = self_signed_for(HOST);
    let mut case = Case::new(tls);
    case.names.tlsa.insert(HOST, Err("SERVFAIL"));
    case.waits("451 4.7.5", "whether mx.example has TLSA records")
        .await;
}

#[tokio::test]
async fn rfc_7672_records_that_nobody_can_use_demand_tls_and_no_more() {
    let mut useless = own(0, b"x");
    useless.usage = 1;
    let (tls, _) = self_signed_for("elsewhere.example");
    Case::new(tls)
        .with_tlsa(vec![useless.clone()])
        .goes("delivered by TLS")
        .await;
    let (tls, _) = self_signed_for(HOST);
    let mut case = Case::new(tls).with_tlsa(vec![useless]);
    case.script = willing();
    case.waits("451 4.7.5", "the TLSA records").await;
}

#[tokio::test]
async fn rfc_7672_names_that_are_not_proved_have_no_records() {
    let (tls, _) = self_signed_for(HOST);
    let mut case = Case::new(tls).with_tlsa(vec![own(0, b"another")]);
    case.names.secure = false;
    case.goes("delivered by TLS").await;
}

/// An authority of one's own, and what it signed for a name.
fn signed_for(name: &str) -> (ServerTls, CertificateDer<'static>) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    let authority = issuer.der().clone();
    (
        serving(vec![leaf.der().clone(), authority.clone()], &key),
        authority,
    )
}

#[tokio::test]
async fn rfc_7672_an_issuer_that_a_record_names_vouches_for_the_hosts_or_the_domains_name() {
    let of_issuer = |authority: &CertificateDer<'_>| Tlsa {
        usage: 2,
        ..own(0, authority)
    };
    for name in [HOST, DOMAIN] {
        let (tls, authority) = signed_for(name);
        Case::new(tls)
            .with_tlsa(vec![of_issuer(&authority)])
            .goes("delivered by TLS")
            .await;
    }
    let (tls, authority) = signed_for("elsewhere.example");
    Case::new(tls)
        .with_tlsa(vec![of_issuer(&authority)])
        .waits("451 4.7.5", "the TLSA records")
        .await;
    let (tls, _) = signed_for(HOST);
    let (_, another) = signed_for(HOST);
    Case::new(tls)
        .with_tlsa(vec![of_issuer(&another)])
        .waits("451 4.7.5", "the TLSA records")
        .await;
}

const ENFORCE: &str = "version: STSv1\nmode: enforce\nmx: mx.example\nmax_age: 60\n";

#[tokio::test]
async fn rfc_8461_hosts_of_the_policy_show_good_certificates_or_get_nothing() {
    let (tls, certificate) = self_signed_for(HOST);
    let mut case = Case::new(tls);
    case.sts = Some(ENFORCE);
    case.roots = vec![certificate];
    case.goes("delivered by TLS").await;
    for (name, trusted) in [(HOST, false), ("elsewhere.example", true)] {
        let (tls, certificate) = self_signed_for(name);
        let (_, another) = self_signed_for(HOST);
        let mut case = Case::new(tls);
        case.sts = Some(ENFORCE);
        case.roots = vec![if trusted { certificate } else { another }];
        case.policy = TlsPolicy::Never;
        case.waits("451 4.7.5", "the MTA-STS policy 7 of x.example")
            .await;
    }
    let (tls, certificate) = self_signed_for(HOST);
    let mut case = Case::new(tls);
    case.sts = Some(ENFORCE);
    case.roots = vec![certificate];
    case.script = willing();
    case.waits("451 4.7.5", "the MTA-STS policy").await;
}

#[tokio::test]
async fn rfc_8461_a_host_that_the_policy_does_not_name_is_not_used_but_while_testing() {
    let other = "version: STSv1\nmode: enforce\nmx: *.other.example\nmax_age: 60\n";
    let (tls, certificate) = self_signed_for(HOST);
    let mut case = Case::new(tls);
    case.sts = Some(other);
    case.roots = vec![certificate];
    case.waits("451 4.7.0", "does not name it").await;
    let (tls, _) = self_signed_for(HOST);
    let mut case = Case::new(tls);
    case.sts = Some("version: STSv1\nmode: testing\nmx: *.other.example\nmax_age: 60\n");
    case.goes("delivered by TLS").await;
}

#[tokio::test]
async fn rfc_8461_a_policy_never_stands_in_for_records_that_fail() {
    let (tls, certificate) = self_signed_for(HOST);
    let mut case = Case::new(tls).with_tlsa(vec![own(0, b"another")]);
    case.sts = Some(ENFORCE);
    case.roots = vec![certificate];
    case.waits("451 4.7.5", "the TLSA records").await;
}

#[tokio::test]
async fn rfc_8689_who_would_rather_have_it_arrive_is_not_held_up_by_policies() {
    let (tls, _) = self_signed_for(HOST);
    let mut case = Case::new(tls).with_tlsa(vec![own(0, b"another")]);
    case.sts = Some(ENFORCE);
    case.wish = TlsWish::NotNeeded;
    case.goes("delivered by TLS").await;
}

#[tokio::test]
async fn rfc_8689_4_2_1_requiretls_wants_a_host_that_is_proved() {
    let required = |mut case: Case, roots: Vec<CertificateDer<'static>>| {
        case.script = encrypted("250-mx\r\n250 REQUIRETLS\r\n");
        case.roots = roots;
        case.wish = TlsWish::Required;
        case.policy = TlsPolicy::Verified;
        case
    };
    // By DNSSEC, with and without records of its own.
    let (tls, certificate) = self_signed_for(HOST);
    required(Case::new(tls), vec![certificate])
        .goes("delivered by TLS")
        .await;
    let (tls, certificate) = self_signed_for("elsewhere.example");
    let case = Case::new(tls).with_tlsa(vec![own(0, &certificate)]);
    required(case, vec![]).goes("delivered by TLS").await;
    // By a policy.
    let (tls, certificate) = self_signed_for(HOST);
    let mut case = required(Case::new(tls), vec![certificate]);
    case.names.secure = false;
    case.sts = Some(ENFORCE);
    case.goes("delivered by TLS").await;
    // By nothing: the name may be anybody's.
    let (tls, certificate) = self_signed_for(HOST);
    let mut case = required(Case::new(tls), vec![certificate]);
    case.names.secure = false;
    case.waits("550 5.7.30", "neither DNSSEC nor MTA-STS").await;
}

const TESTING: &str = "version: STSv1\nmode: testing\nmx: mx.example\nmax_age: 60\n";

#[tokio::test]
async fn rfc_8460_what_a_tested_policy_would_have_refused_is_counted_and_goes() {
    let (tls, certificate) = self_signed_for(HOST);
    let mut case = Case::new(tls);
    (case.sts, case.roots) = (Some(TESTING), vec![certificate]);
    let (outcome, counted) = case.counts().await;
    assert_eq!((&*outcome, &*counted[0]), ("delivered by TLS", "sts 1"));

    let (_, another) = self_signed_for(HOST);
    for (name, trouble) in [
        (HOST, "sts 0 1 certificate-not-trusted"),
        ("elsewhere.example", "sts 0 1 certificate-host-mismatch"),
    ] {
        let (tls, certificate) = self_signed_for(name);
        let mut case = Case::new(tls);
        let root = if name == HOST {
            another.clone()
        } else {
            certificate
        };
        (case.sts, case.roots) = (Some(TESTING), vec![root]);
        let (outcome, counted) = case.counts().await;
        assert_eq!(
            (&*outcome, counted),
            ("delivered by TLS", vec![trouble.to_owned()])
        );
    }

    let (tls, certificate) = self_signed_for(HOST);
    let mut case = Case::new(tls);
    (case.sts, case.roots) = (Some(TESTING), vec![certificate]);
    case.script = willing();
    let (outcome, counted) = case.counts().await;
    assert_eq!(outcome, "delivered in the clear");
    assert_eq!(counted, ["sts 0 1 starttls-not-supported"]);

    let (tls, certificate) = self_signed_for(HOST);
    let mut case = Case::new(tls);
    case.sts = Some("version: STSv1\nmode: testing\nmx: *.other.example\nmax_age: 60\n");
    case.roots = vec![certificate];
    let (outcome, counted) = case.counts().await;
    assert_eq!(outcome, "delivered by TLS");
    assert_eq!(counted, ["sts 0 1 validation-failure", "no-policy-found 1"]);
}

#[tokio::test]
async fn rfc_8460_sessions_are_counted_under_the_policy_that_was_applied() {
    let (tls, _) = self_signed_for(HOST);
    let (outcome, counted) = Case::new(tls).counts().await;
    assert_eq!(
        (&*outcome, &*counted[0]),
        ("delivered by TLS", "no-policy-found 1")
    );

    let (tls, _) = self_signed_for(HOST);
    let mut case = Case::new(tls);
    case.script = willing();
    let (outcome, counted) = case.counts().await;
    assert_eq!(outcome, "delivered in the clear");
    assert_eq!(counted, ["no-policy-found 0 1 starttls-not-supported"]);

    let (tls, certificate) = self_signed_for(HOST);
    let records = vec![own(0, &certificate)];
    let (outcome, counted) = Case::new(tls).with_tlsa(records).counts().await;
    assert_eq!((&*outcome, &*counted[0]), ("delivered by TLS", "tlsa 1"));

    let (tls, _) = self_signed_for(HOST);
    let records = vec![own(0, b"another")];
    let (outcome, counted) = Case::new(tls).with_tlsa(records).counts().await;
    assert!(outcome.starts_with("451 4.7.5"), "{outcome}");
    assert_eq!(counted, ["tlsa 0 1 tlsa-invalid"]);

    let (tls, _) = self_signed_for(HOST);
    let (_, another) = self_signed_for(HOST);
    let mut case = Case::new(tls);
    (case.sts, case.roots) = (Some(ENFORCE), vec![another]);
    let (outcome, counted) = case.counts().await;
    assert!(outcome.starts_with("451 4.7.5"), "{outcome}");
    assert_eq!(counted, ["sts 0 1 certificate-not-trusted"]);

    // What is announced and is none.
    let (tls, _) = self_signed_for(HOST);
    let mut case = Case::new(tls);
    case.sts = Some("version: STSv9\n");
    let (outcome, counted) = case.counts().await;
    assert_eq!(outcome, "delivered by TLS");
    assert_eq!(counted, ["sts 0 1 sts-policy-invalid", "no-policy-found 1"]);
}

/// Whoever asks it has waited for nothing.
struct Unasked;

impl Source for Unasked {
    fn texts<'a>(&'a self, _: &'a str) -> StsFuture<'a, Result<Vec<Vec<u8>>, TemporaryError>> {
        panic!("a policy was asked for")
    }

    fn document<'a>(&'a self, _: &'a str) -> StsFuture<'a, Result<Vec<u8>, Trouble>> {
        panic!("a policy was fetched")
    }
}

#[tokio::test]
async fn a_question_about_a_recipient_waits_for_no_policy() {
    let runtime = Runtime::new();
    let mut script = willing();
    script[2].0 = "MAIL FROM:<>";
    script.truncate(4);
    script.push(("", "250 ok\r\n"));
    let server = Server::start(&runtime, local("127.0.0.1"), vec![script]);
    let names = Names::default()
        .with_mx(DOMAIN, &[(10, HOST)])
        .with_address(HOST, "127.0.0.1");
    let mut options = options();
    options.port = server.address.port();
    let mut ports = ports(&runtime, names, options);
    let engine = Arc::new(engine::MemoryEngine::new(1));
    ports.sts = Some(Sts::new(engine, runtime.clone(), Arc::new(Unasked)));
    let recipient = Address::parse("b@x.example").unwrap();
    let known = ask_primary(&ports, None, &recipient).await;
    assert_eq!(known, Known::Yes, "{:?}", server.said());
}
