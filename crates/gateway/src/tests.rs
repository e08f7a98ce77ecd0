//! On real files and real programs.

mod files;
mod programs;
mod webhooks;
mod workers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use deliver::{Message, MessageBytes, Outcome};
use envelope::{Address, Envelope, Recipient, ReversePath};
use runtime::Runtime;
use settings::rules::Gateway;
use tempfile::TempDir;

use crate::Gateways;

const TEXT: &[u8] = b"Subject: x\r\n\r\nhello\r\n.\r\nFrom here\r\n>From there\r\nFro\r\n";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

fn envelope(recipients: &[&str]) -> Envelope {
    let mut envelope = Envelope::new(ReversePath::Address(address("ann@here.test")));
    envelope.recipients = recipients
        .iter()
        .map(|recipient| Recipient::new(address(recipient)))
        .collect();
    envelope
}

async fn hand(gateway: &Gateway, recipients: &[&str], text: &'static [u8]) -> Vec<Outcome> {
    let message = MessageBytes(Bytes::from_static(text));
    let gateways = Gateways::new(Runtime::new(), "mail.here.test");
    hand_by(&gateways, gateway, recipients, &message).await
}

async fn hand_by(
    gateways: &Gateways,
    gateway: &Gateway,
    recipients: &[&str],
    message: &dyn Message,
) -> Vec<Outcome> {
    let to = envelope(recipients);
    let report = gateways.deliver("there", gateway, &to, message).await;
    assert_eq!(report.host.as_deref(), Some("there"));
    report.outcomes
}

async fn taken(gateway: &Gateway, recipients: &[&str]) {
    let gateways = Gateways::new(Runtime::new(), "mail.here.test");
    taken_by(&gateways, gateway, recipients).await;
}

async fn taken_by(gateways: &Gateways, gateway: &Gateway, recipients: &[&str]) {
    let message = MessageBytes(Bytes::from_static(TEXT));
    for outcome in hand_by(gateways, gateway, recipients, &message).await {
        assert!(outcome.is_delivered(), "{outcome:?}");
    }
}

fn read(path: &Path) -> String {
    String::from_utf8(std::fs::read(path).expect("a file")).expect("text")
}
