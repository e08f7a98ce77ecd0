//! Tests of the pair's life, and of TLS over it.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;

use bytes::BytesMut;
use runtime::net::Conn;
use runtime::tls::ClientTls;
use rustls::RootCertStore;
use sasl::{Binding, BindingKind};
use sha2::Digest as _;

use super::*;

fn open(folder: &Path) -> Certificates {
    Certificates::open(None, folder, "mx.example.org", &Runtime::for_tests()).unwrap()
}

fn trusting(certificates: &Certificates) -> ClientTls {
    let text = std::fs::read(&certificates.files().certificate).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&text).unwrap())
        .unwrap();
    ClientTls::verifying(roots).unwrap()
}

async fn handshake(
    server_tls: &ServerTls,
    client_tls: &ClientTls,
    name: &str,
) -> (io::Result<Conn>, io::Result<Conn>) {
    let (mut server, mut client) = Conn::pair();
    let (served, connected) = tokio::join!(
        server.start_tls(server_tls),
        client.connect_tls(client_tls, name)
    );
    (served.map(|()| server), connected.map(|()| client))
}

#[tokio::test]
async fn the_first_start_makes_a_pair_that_clients_can_use() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = open(folder.path());
    let mode = std::fs::metadata(&certificates.files().key)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let tls = certificates.server_tls().unwrap();
    for name in ["mx.example.org", "localhost"] {
        let (server, client) = handshake(&tls, &trusting(&certificates), name).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        assert!(server.is_tls());
        let info = server.tls_info().unwrap();
        assert_eq!(info.version, "TLS1.3");
        assert_eq!(info.server_name.as_deref(), Some(name));
        client.write_all(b"NOOP\r\n").await.unwrap();
        client.flush().await.unwrap();
        let mut buf = BytesMut::new();
        assert_eq!(server.read(&mut buf).await.unwrap(), 6);
        client.shutdown().await.unwrap();
        assert_eq!(server.read(&mut buf).await.unwrap(), 0);
    }
    let (_, client) = handshake(&tls, &trusting(&certificates), "other.example.org").await;
    assert!(
        client.is_err(),
        "a name that is not in the certificate is noticed"
    );
}

#[tokio::test]
async fn an_opportunistic_client_takes_any_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let tls = open(folder.path()).server_tls().unwrap();
    let any = ClientTls::opportunistic().unwrap();
    let (server, client) = handshake(&tls, &any, "127.0.0.1").await;
    assert!(server.is_ok() && client.is_ok());
}

/// A browser that is led to a mail port by a certificate for both is turned away in the handshake.
#[tokio::test]
async fn threat_04_a_client_of_another_protocol_gets_no_session() {
    let folder = tempfile::tempdir().unwrap();
    let tls = open(folder.path()).server_tls().unwrap();
    let tls = tls.with_alpn(&["smtp"]);
    let any = ClientTls::opportunistic().unwrap();
    for (offered, spoken) in [
        (&["http/1.1"][..], None),
        (&["h2", "http/1.1"], None),
        (&["imap"], None),
        (&["h2", "smtp"], Some("smtp")),
    ] {
        let client = any.with_alpn(offered);
        let (server, client) = handshake(&tls, &client, "localhost").await;
        match spoken {
            None => assert!(server.is_err() && client.is_err(), "{offered:?}"),
            Some(spoken) => {
                let info = server.unwrap().tls_info().unwrap();
                assert_eq!(info.alpn.as_deref(), Some(spoken));
            }
        }
    }
    // Mail programs name none.
    let (server, client) = handshake(&tls, &any, "localhost").await;
    assert!(server.is_ok() && client.is_ok());
}

#[tokio::test]
async fn plain_text_before_the_handshake_ends_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let tls = open(folder.path()).server_tls().unwrap();
    let (mut server, _client) = Conn::pair();
    let pending = BytesMut::from(&b"MAIL FROM:<x@y>\r\n"[..]);
    assert!(server.start_tls_after(&tls, &pending).await.is_err());
    assert!(server.write_all(b"250 OK\r\n").await.is_err());
}

#[tokio::test]
async fn a_reload_serves_new_handshakes_and_keeps_the_old_pair_on_errors() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = open(folder.path());
    let tls = certificates.server_tls().unwrap();
    let before = trusting(&certificates);
    let (serving, running) = handshake(&tls, &before, "localhost").await;
    let (mut serving, mut running) = (serving.unwrap(), running.unwrap());
    assert!(!certificates.reload_if_changed().unwrap());

    let other = tempfile::tempdir().unwrap();
    let fresh = open(other.path());
    let good = std::fs::read(&certificates.files().key).unwrap();
    std::fs::copy(&fresh.files().key, &certificates.files().key).unwrap();
    assert!(
        matches!(certificates.reload(), Err(CertError::Mismatch { .. })),
        "the new key does not go with the old certificate"
    );
    let (_, client) = handshake(&tls, &before, "localhost").await;
    assert!(client.is_ok(), "the old pair stays in use");
    assert_ne!(good, std::fs::read(&certificates.files().key).unwrap());

    std::fs::copy(
        &fresh.files().certificate,
        &certificates.files().certificate,
    )
    .unwrap();
    certificates.reload().unwrap();
    let (_, client) = handshake(&tls, &trusting(&fresh), "localhost").await;
    assert!(client.is_ok());
    running.write_all(b"still here").await.unwrap();
    running.flush().await.unwrap();
    assert_eq!(serving.read(&mut BytesMut::new()).await.unwrap(), 10);
}

#[test]
fn the_pair_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = std::fs::read(&open(folder.path()).files().certificate).unwrap();
    let second = std::fs::read(&open(folder.path()).files().certificate).unwrap();
    assert_eq!(first, second);
}

#[test]
fn a_file_that_is_no_pem_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files {
        certificate: folder.path().join("c.pem"),
        key: folder.path().join("k.pem"),
    };
    std::fs::write(&files.certificate, "nothing").unwrap();
    std::fs::write(&files.key, "nothing").unwrap();
    let error =
        Certificates::open(Some(files), folder.path(), "x", &Runtime::for_tests()).unwrap_err();
    assert!(error.to_string().contains("c.pem"), "{error}");
}

#[tokio::test]
async fn logins_are_bound_to_the_certificate_in_use_or_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = open(folder.path());
    let of_file = || {
        let text = std::fs::read(&certificates.files().certificate).unwrap();
        let der = CertificateDer::from_pem_slice(&text).unwrap();
        let hash = sha2::Sha256::digest(&der).to_vec();
        Binding::new(BindingKind::TlsServerEndPoint, hash)
    };
    let first = of_file();
    let tls = certificates.server_tls().unwrap();
    let (server, client) = handshake(&tls, &trusting(&certificates), "localhost").await;
    let (server, client) = (server.unwrap(), client.unwrap());
    // Both ends have the same exporter; only the server knows its end points.
    assert_eq!(
        server.bindings(),
        [client.bindings(), vec![first.clone()]].concat()
    );
    assert_eq!(server.bindings()[0].kind(), BindingKind::TlsExporter);
    std::fs::remove_file(&certificates.files().certificate).unwrap();
    self_signed::find_or_make(folder.path(), "mx.example.org", &Runtime::for_tests()).unwrap();
    let second = of_file();
    assert_ne!(first, second);
    certificates.reload().unwrap();
    certificates.reload().unwrap();
    assert_eq!(server.bindings()[1..], [second, first]);
    // Another session has another exporter.
    let (other, _) = handshake(&tls, &trusting(&certificates), "localhost").await;
    assert_ne!(other.unwrap().bindings()[0], server.bindings()[0]);
    let (plain, _) = Conn::pair();
    assert_eq!(plain.bindings(), []);
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_and_its_names_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = open(folder.path());
    let path = |name: &str| folder.path().join(name);
    let mut parameters = rcgen::CertificateParams::new(vec![]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca = parameters.self_signed(&ca_key).unwrap();
    std::fs::write(path("ca.pem"), ca.pem()).unwrap();
    let issuer = rcgen::Issuer::new(parameters, &ca_key);
    let tls = certificates.server_tls_asking(&path("ca.pem")).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec![]).unwrap();
    for name in ["bob@demo.test", "b@demo.test"] {
        let name = rcgen::SanType::Rfc822Name(name.try_into().unwrap());
        parameters.subject_alt_names.push(name);
    }
    let good = parameters.signed_by(&key, &issuer).unwrap();
    let bad = parameters.self_signed(&key).unwrap();
    let client = |certificate: &rcgen::Certificate| {
        let text = std::fs::read(&certificates.files().certificate).unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&text).unwrap())
            .unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        ClientTls::verifying_as(roots, vec![certificate.der().clone()], key).unwrap()
    };
    let (server, _) = handshake(&tls, &client(&good), "localhost").await;
    let names = server.unwrap().client_names();
    assert_eq!(names, ["bob@demo.test", "b@demo.test"]);
    let (server, _) = handshake(&tls, &client(&bad), "localhost").await;
    server.expect_err("a stranger's certificate");
    // Without one the handshake goes on, and nobody is named.
    let (server, _) = handshake(&tls, &trusting(&certificates), "localhost").await;
    assert_eq!(server.unwrap().client_names(), Vec::<String>::new());
    // Where none is asked for, none is looked at.
    let plain = certificates.server_tls().unwrap();
    let (server, _) = handshake(&plain, &client(&good), "localhost").await;
    assert_eq!(server.unwrap().client_names(), Vec::<String>::new());
    std::fs::write(path("empty.pem"), "").unwrap();
    for name in ["empty.pem", "missing.pem"] {
        certificates.server_tls_asking(&path(name)).unwrap_err();
    }
}
