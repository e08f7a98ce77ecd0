//! On real files and real programs.

mod files;
mod programs;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use deliver::{MessageBytes, Outcome};
use envelope::{Address, Envelope, Recipient, ReversePath};
use runtime::Runtime;
use settings::rules::Gateway;
use tempfile::TempDir;

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
    let runtime = Runtime::new();
    let us = ("mail.here.test", "there");
    let report = crate::deliver(&runtime, us, gateway, &envelope(recipients), &message).await;
    assert_eq!(report.host.as_deref(), Some("there"));
    report.outcomes
}

async fn taken(gateway: &Gateway, recipients: &[&str]) {
    for outcome in hand(gateway, recipients, TEXT).await {
        assert!(outcome.is_delivered(), "{outcome:?}");
    }
}

fn read(path: &Path) -> String {
    String::from_utf8(std::fs::read(path).expect("a file")).expect("text")
}
