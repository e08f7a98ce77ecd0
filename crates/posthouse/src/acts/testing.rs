//! What the tests of acts share: a real store in a folder, accounts, mail.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use admin::control::{Commands as _, Request};
use mailbox_model::{MailboxId, Uid};
use mailstore::{Account, InternalDate, NewEmail};
use runtime::Runtime;
use serde_json::{Value, json};
use settings::Settings;

use super::{ActResult, Acts};
use crate::store::Store;

pub(crate) async fn acts(folder: &Path, runtime: &Runtime) -> Acts {
    acts_with(folder, runtime, "").await
}

/// With these settings.
pub(crate) async fn acts_with(folder: &Path, runtime: &Runtime, settings: &str) -> Acts {
    let mut settings = Settings::parse(settings).unwrap();
    settings.general.data_dir = folder.to_owned();
    settings.store.segment_bytes = settings::Size(4 << 20);
    Acts::new(Arc::new(Store::open(&settings, runtime).await.unwrap()))
}

pub(crate) async fn run(acts: &Acts, command: &str, args: Value) -> ActResult {
    acts.run(Request {
        command: command.to_owned(),
        args,
    })
    .await
}

/// Adds an account; its domain is there.
pub(crate) async fn account(acts: &Acts, address: &str) {
    let args = json!({"addresses": [address], "password": "x", "admin": false});
    run(acts, "account.add", args).await.unwrap();
}

/// The mail of an account.
pub(crate) async fn mail(acts: &Acts, address: &str) -> Arc<Account> {
    let address = super::parse_address(address).unwrap();
    let account = acts.store.directory.account_show(&address).await.unwrap();
    acts.store.mailstore.account(account.id).await.unwrap()
}

pub(crate) async fn append(
    acts: &Acts,
    mail: &Arc<Account>,
    mailbox: MailboxId,
    text: &str,
) -> Uid {
    let mut writer = acts.store.blobs.writer(mail.shard());
    writer.push(text.as_bytes()).unwrap();
    let blob = writer.finish().unwrap();
    let email = NewEmail {
        blob: blob.id,
        blob_size: blob.size,
        prefix: Vec::new().into(),
        digest: mime::digest(text.as_bytes()).encode().into(),
        received_at: InternalDate::default(),
        flags: Vec::new(),
    };
    let done = mail.append(mailbox, vec![blob], &[email]).await.unwrap();
    done.emails[0].1
}
