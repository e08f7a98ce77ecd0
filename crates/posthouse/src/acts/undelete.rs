//! The acts of the time machine: list what was deleted, bring it back, set an account back to a moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use mailbox_model::stage::Mode;
use mailbox_model::{EmailId, MailboxName};
use mailstore::{Account, Act, BroughtBack, Deleted, EmailRecord, PastError, Why};
use mime::StoredDigest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ActResult, failed, of_directory, parse_address, usage};
use crate::limits::{DELETED_LISTED_MAX, DELETED_PAGE};
use crate::moment;
use crate::store::Store;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Undelete {
    pub(crate) account: String,
    pub(crate) ids: Vec<u64>,
    pub(crate) mailbox: Option<String>,
    pub(crate) since: Option<String>,
    pub(crate) list: bool,
    pub(crate) at: Option<String>,
    pub(crate) exact: bool,
    pub(crate) dry_run: bool,
}

pub(super) async fn undelete(store: &Store, args: Undelete) -> ActResult {
    let address = parse_address(&args.account)?;
    let entry = store.directory.account_show(&address).await;
    let entry = entry.map_err(of_directory)?;
    let account = store.mailstore.account(entry.id).await.map_err(failed)?;
    let now_ms = store.runtime.now().unix_ms;
    let moment = |text: &String| moment::parse(text, now_ms).map_err(usage);
    if let Some(at) = &args.at {
        let at_ms = moment(at)?;
        return set_back(&account, at_ms, &args).await;
    }
    let since_ms = args.since.as_ref().map(moment).transpose()?;
    let mailbox = args.mailbox.as_deref().map(MailboxName::parse).transpose();
    let mailbox = mailbox.map_err(|error| usage(error.to_string()))?;
    let mut deleted = account
        .deleted_since(since_ms.unwrap_or(0))
        .await
        .map_err(failed)?;
    deleted.retain(|deleted| {
        mailbox
            .as_ref()
            .is_none_or(|name| deleted.place.name == *name)
            && (args.ids.is_empty() || args.ids.contains(&deleted.email.0))
    });
    if args.list {
        return listed(&account, &deleted).await;
    }
    bring_back(&account, &deleted, args.dry_run).await
}

/// What can be brought back, the latest first.
async fn listed(account: &Account, deleted: &[Deleted]) -> ActResult {
    let mut rows = Vec::new();
    let shown = &deleted[..deleted.len().min(DELETED_LISTED_MAX)];
    for page in shown.chunks(DELETED_PAGE) {
        let ids: Vec<EmailId> = page.iter().map(|deleted| deleted.email).collect();
        let records = account.email_records(&ids).await;
        rows.extend(page.iter().zip(records).map(|(deleted, record)| {
            let digest = record
                .as_ref()
                .ok()
                .and_then(|record: &EmailRecord| StoredDigest::read(&record.digest).ok());
            json!({
                "id": deleted.email.0,
                "deleted": observe::rfc3339(deleted.at_ms),
                "mailbox": deleted.place.name.as_str(),
                "from": digest.as_ref().and_then(sender),
                "subject": digest.as_ref().and_then(|digest| digest.subject().ok()),
                "date": digest.as_ref().and_then(sent),
                "size": deleted.size,
                "why": why(deleted),
            })
        }));
    }
    Ok(Value::Array(rows))
}

fn why(deleted: &Deleted) -> &'static str {
    match deleted.why {
        Why::Expunged => "expunged",
        Why::MailboxDeleted => "mailbox deleted",
    }
}

fn sender(digest: &StoredDigest<'_>) -> Option<String> {
    let mut fields = digest.fields().ok()?.map_while(Result::ok);
    let (_, raw) = fields.find(|(name, _)| *name == "from")?;
    let (_, value) = raw.split_at(raw.iter().position(|b| *b == b':')? + 1);
    let items = mime::parse_addresses(&mime::unfold(value));
    let first = mime::mailboxes(&items).next()?;
    Some(first.address_text())
}

fn sent(digest: &StoredDigest<'_>) -> Option<String> {
    let seconds = u64::try_from(digest.sent?.unix_seconds).ok()?;
    Some(observe::rfc3339(seconds.checked_mul(1000)?))
}

async fn bring_back(account: &Arc<Account>, deleted: &[Deleted], dry_run: bool) -> ActResult {
    let mut by_mailbox: BTreeMap<String, u64> = BTreeMap::new();
    if dry_run {
        let made: BTreeMap<&str, ()> = deleted
            .iter()
            .filter(|deleted| deleted.place.gone)
            .filter(|deleted| account.view().mailbox_named(&deleted.place.name).is_none())
            .map(|deleted| (deleted.place.name.as_str(), ()))
            .collect();
        for deleted in deleted {
            *by_mailbox
                .entry(deleted.place.name.to_string())
                .or_default() += 1;
        }
        let made: Vec<&str> = made.into_keys().collect();
        return Ok(told(true, &by_mailbox, &made, 0));
    }
    let ids: Vec<EmailId> = deleted.iter().map(|deleted| deleted.email).collect();
    let done = account.undelete(&ids).await.map_err(failed)?;
    let view = account.view();
    for (_, mailbox, _) in &done.restored {
        let name = view
            .mailbox(*mailbox)
            .map(|mailbox| mailbox.name().to_string());
        *by_mailbox.entry(name.unwrap_or_default()).or_default() += 1;
    }
    let made: Vec<&str> = done.mailboxes.iter().map(MailboxName::as_str).collect();
    Ok(told(false, &by_mailbox, &made, done.lost.len()))
}

fn told(dry_run: bool, by_mailbox: &BTreeMap<String, u64>, made: &[&str], lost: usize) -> Value {
    let rows = by_mailbox
        .iter()
        .map(|(mailbox, messages)| json!({"mailbox": mailbox, "messages": messages}));
    json!({
        "dry_run": dry_run,
        "restored": by_mailbox.values().sum::<u64>(),
        "by_mailbox": rows.collect::<Vec<_>>(),
        "mailboxes_made": made,
        "lost": lost,
    })
}

async fn set_back(account: &Arc<Account>, at_ms: u64, args: &Undelete) -> ActResult {
    let mode = if args.exact { Mode::Exact } else { Mode::Keep };
    let act = if args.dry_run {
        Act::DryRun
    } else {
        Act::ForReal
    };
    let done = match account.restore_to(at_ms, mode, act).await {
        Ok(done) => done,
        Err(PastError::TooLongAgo(first)) => {
            let first = observe::rfc3339(first.at_ms);
            return Err(usage(format!(
                "that is before what is kept of this account; the first moment it can be set back to is {first}"
            )));
        }
        Err(PastError::Store(error)) => return Err(failed(error)),
    };
    let names = |names: &[MailboxName]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let BroughtBack {
        restored,
        moved,
        flags,
        mailboxes,
        renamed,
        subscribed,
        trashed,
        removed,
        mailboxes_removed,
        lost,
    } = &done;
    Ok(json!({
        "dry_run": args.dry_run,
        "at": observe::rfc3339(at_ms),
        "restored": restored,
        "moved_back": moved,
        "flags_set_back": flags,
        "mailboxes_made": names(mailboxes),
        "mailboxes_renamed": names(renamed),
        "subscribed": subscribed,
        "into_trash": trashed,
        "copies_removed": removed,
        "mailboxes_removed": names(mailboxes_removed),
        "lost": lost.len(),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use admin::control::FailureKind;
    use mailbox_model::UidSet;
    use mailbox_model::stage::Expunging;
    use runtime::Runtime;

    use super::*;
    use crate::acts::{Acts, testing};

    const A: &str = "a@example.org";

    async fn ask(acts: &Acts, args: Value) -> ActResult {
        let mut whole = serde_json::to_value(Undelete::default()).unwrap();
        whole["account"] = json!(A);
        for (key, value) in args.as_object().unwrap() {
            whole[key] = value.clone();
        }
        testing::run(acts, "undelete", whole).await
    }

    async fn expunge(mail: &Arc<Account>, name: &str) {
        let name = MailboxName::parse(name).unwrap();
        let id = mail.view().mailbox_named(&name).unwrap().id();
        let all = UidSet::all();
        mail.expunge(id, Expunging::Exactly(&all)).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn deleted_mail_is_listed_and_brought_back() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::for_tests();
        let acts = testing::acts(folder.path(), &runtime).await;
        testing::run(&acts, "domain.add", json!({"domain": "example.org"}))
            .await
            .unwrap();
        testing::account(&acts, A).await;
        let mail = testing::mail(&acts, A).await;
        let inbox = mail.view().inbox().unwrap().id();
        let text = "From: Bob <bob@b.test>\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\nx\r\n";
        testing::append(&acts, &mail, inbox, text).await;
        expunge(&mail, "INBOX").await;
        runtime.advance(Duration::from_secs(3 * 3600));
        let work = MailboxName::parse("Work").unwrap();
        let id = mail.create_mailbox(&work, None).await.unwrap();
        testing::append(&acts, &mail, id, text).await;
        mail.delete_mailbox(&work).await.unwrap();

        let listed = ask(&acts, json!({"list": true})).await.unwrap();
        let expected = json!({
            "id": 1, "deleted": listed[1]["deleted"], "mailbox": "INBOX", "from": "bob@b.test",
            "subject": "café", "date": "2026-01-01T00:00:00.000Z", "size": text.len(), "why": "expunged",
        });
        assert_eq!(listed[1], expected);
        let deleted = listed[1]["deleted"].as_str().unwrap();
        assert!(deleted.starts_with("2026-01-01T00:0"), "{deleted}");
        assert_eq!(
            (&listed[0]["mailbox"], &listed[0]["why"]),
            (&json!("Work"), &json!("mailbox deleted"))
        );
        let late = ask(&acts, json!({"list": true, "since": "2h"}))
            .await
            .unwrap();
        assert_eq!(late.as_array().unwrap().len(), 1);
        let told = ask(&acts, json!({"since": "2h", "dry_run": true}))
            .await
            .unwrap();
        assert_eq!(
            (&told["restored"], &told["mailboxes_made"]),
            (&json!(1), &json!(["Work"]))
        );
        assert_eq!(
            ask(&acts, json!({"list": true})).await.unwrap(),
            listed,
            "nothing was done"
        );
        let mut done = ask(&acts, json!({"mailbox": "Work"})).await.unwrap();
        done["dry_run"] = json!(true);
        assert_eq!(done, told);
        let done = ask(&acts, json!({"ids": [1, 2, 99]})).await.unwrap();
        assert_eq!(
            done["by_mailbox"],
            json!([{"mailbox": "INBOX", "messages": 1}])
        );
        assert_eq!(ask(&acts, json!({"list": true})).await.unwrap(), json!([]));
        assert_eq!(ask(&acts, json!({})).await.unwrap()["restored"], 0);
        acts.store.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_account_is_set_back_to_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::for_tests();
        let acts = testing::acts(folder.path(), &runtime).await;
        testing::run(&acts, "domain.add", json!({"domain": "example.org"}))
            .await
            .unwrap();
        testing::account(&acts, A).await;
        let mail = testing::mail(&acts, A).await;
        let inbox = mail.view().inbox().unwrap().id();
        testing::append(&acts, &mail, inbox, "Subject: old\r\n\r\n").await;
        runtime.advance(Duration::from_secs(7200));
        expunge(&mail, "INBOX").await;
        testing::append(&acts, &mail, inbox, "Subject: new\r\n\r\n").await;
        let told = ask(&acts, json!({"at": "1h", "exact": true, "dry_run": true}))
            .await
            .unwrap();
        assert_eq!(
            (&told["restored"], &told["into_trash"]),
            (&json!(1), &json!(1))
        );
        assert!(
            told["at"].as_str().unwrap().starts_with("2026-01-01T01:"),
            "{told}"
        );
        let done = ask(&acts, json!({"at": "2026-01-01T01:00:00Z"}))
            .await
            .unwrap();
        assert_eq!(
            (&done["restored"], &done["into_trash"]),
            (&json!(1), &json!(0))
        );
        assert_eq!(mail.view().inbox().unwrap().entries().len(), 2);
        for (at, why) in [
            (
                "9h",
                "the first moment it can be set back to is 2026-01-01T00:",
            ),
            ("soon", "no moment"),
        ] {
            let refused = ask(&acts, json!({"at": at})).await.unwrap_err();
            assert_eq!(refused.kind, FailureKind::Usage);
            assert!(refused.to_string().contains(why), "{refused}");
        }
        acts.store.close().await;
    }
}
