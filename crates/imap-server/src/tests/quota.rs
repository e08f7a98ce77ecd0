//! SETQUOTA and other accounts' quota roots (RFC 9208 §4.1): for administrators.

use super::{Client, World};
use directory::{AccountChange, NewAppPassword, Service};
use envelope::Address;
use mailstore::QuotaLimits;
use sasl::Secret;

fn address(name: &str) -> Address {
    Address::parse(&format!("{name}@demo.test")).expect("valid")
}

impl World {
    /// Bob, carol, and root, who administers.
    async fn administered() -> Self {
        let world = Self::new().await;
        world.account("carol").await;
        world.account("root").await;
        world.administers("root", true).await;
        world
    }

    async fn administers(&self, name: &str, admin: bool) {
        let change = AccountChange::Admin(admin);
        let changed = self.directory.account_change(&address(name), change).await;
        changed.expect("changed");
    }

    async fn limits_of(&self, name: &str) -> QuotaLimits {
        let account = self.directory.account_show(&address(name)).await;
        let id = account.expect("there").id;
        self.ports.mailstore.quota(id).await.expect("read").0
    }
}

async fn offers_quota_set(client: &mut Client) -> bool {
    client.ok("CAPABILITY").await[0].contains(" QUOTASET")
}

#[tokio::test]
async fn administrators_set_what_accounts_may_hold() {
    let world = World::administered().await;
    let mut root = world.login("root").await;
    assert!(offers_quota_set(&mut root).await);
    let told = "* QUOTA \"bob@demo.test\" (STORAGE 0 512 MESSAGE 0 7)";
    root.check(
        "SETQUOTA bob@demo.test (STORAGE 512 MESSAGE 7)",
        &[told, "OK that is the quota"],
    )
    .await;
    root.check("GETQUOTA BOB@demo.test", &[told, "OK …"]).await;
    let limits = QuotaLimits {
        bytes: Some(512 * 1024),
        emails: Some(7),
    };
    assert_eq!(world.limits_of("bob").await, limits);
    let mut bob = world.bob().await;
    bob.check(
        "GETQUOTA \"\"",
        &["* QUOTA \"\" (STORAGE 0 512 MESSAGE 0 7)", "OK …"],
    )
    .await;
    // §4.1.1: resources that are not named lose their limit.
    root.check(
        "SETQUOTA bob@demo.test (MESSAGE 1)",
        &["* QUOTA \"bob@demo.test\" (MESSAGE 0 1)", "OK …"],
    )
    .await;
    bob.append("INBOX", "", "Subject: one\r\n\r\n").await;
    bob.check("APPEND INBOX {9}", &["NO [OVERQUOTA] …"]).await;
    root.check(
        "SETQUOTA bob@demo.test ()",
        &["* QUOTA \"bob@demo.test\" ()", "OK …"],
    )
    .await;
    bob.append("INBOX", "", "Subject: two\r\n\r\n").await;
    // Their own, by both names.
    root.check(
        "SETQUOTA \"\" (MESSAGE 3)",
        &["* QUOTA \"\" (MESSAGE 0 3)", "OK …"],
    )
    .await;
    root.check(
        "GETQUOTA root@demo.test",
        &["* QUOTA \"root@demo.test\" (MESSAGE 0 3)", "OK …"],
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_set_changes_nothing() {
    let world = World::administered().await;
    let mut root = world.login("root").await;
    for (command, answer) in [
        (
            "SETQUOTA bob@demo.test (MESSAGE 1 MAILBOX 1)",
            "NO [CANNOT] …",
        ),
        // 2^63 - 1 units are no number of octets.
        (
            "SETQUOTA bob@demo.test (STORAGE 9223372036854775807)",
            "NO [CANNOT] …",
        ),
        (
            "SETQUOTA nobody@demo.test (MESSAGE 1)",
            "NO [NONEXISTENT] …",
        ),
        ("SETQUOTA \"\" (STORAGE)", "BAD …"),
    ] {
        root.check(command, &[answer]).await;
    }
    assert_eq!(world.limits_of("bob").await, QuotaLimits::default());
}

#[tokio::test]
async fn who_does_not_administer_sets_nothing_and_learns_nothing() {
    let world = World::administered().await;
    let mut bob = world.bob().await;
    assert!(!offers_quota_set(&mut bob).await);
    for root in [
        "\"\"",
        "bob@demo.test",
        "carol@demo.test",
        "nobody@demo.test",
    ] {
        let command = format!("SETQUOTA {root} (MESSAGE 1)");
        bob.check(&command, &["NO [NOPERM] …"]).await;
    }
    for root in ["carol@demo.test", "nobody@demo.test"] {
        let command = format!("GETQUOTA {root}");
        bob.check(&command, &["NO [NONEXISTENT] …"]).await;
    }
    // A session is older than the end of a right.
    let mut root = world.login("root").await;
    world.administers("root", false).await;
    root.check("SETQUOTA bob@demo.test (MESSAGE 1)", &["NO [NOPERM] …"])
        .await;
    root.check("GETQUOTA bob@demo.test", &["NO [NONEXISTENT] …"])
        .await;
    assert_eq!(world.limits_of("bob").await, QuotaLimits::default());
}

#[tokio::test]
async fn a_devices_password_sets_no_quotas() {
    let world = World::administered().await;
    let new = NewAppPassword {
        label: "phone".into(),
        services: vec![Service::Imap],
        expires_ms: None,
        for_digests: false,
    };
    let made = world
        .directory
        .app_password_add(&address("root"), new)
        .await;
    let password: Secret = made.expect("made").1;
    let mut client = world.connect();
    client.hear().await;
    let login = format!("LOGIN root@demo.test \"{}\"", password.expose());
    client.ok(&login).await;
    assert!(!offers_quota_set(&mut client).await);
    client
        .check("SETQUOTA bob@demo.test (MESSAGE 1)", &["NO [NOPERM] …"])
        .await;
}

/// The root of a mailbox is its owner's, whose name administrators may know.
#[tokio::test]
async fn anothers_mailbox_has_a_root_for_administrators() {
    let world = World::administered().await;
    let mut bob = world.bob().await;
    bob.ok("CREATE Work").await;
    for who in ["root", "carol"] {
        bob.ok(&format!("SETACL Work {who}@demo.test lr")).await;
    }
    let work = "\"Other Users/bob@demo.test/Work\"";
    let mut root = world.login("root").await;
    root.ok("SETQUOTA bob@demo.test (MESSAGE 9)").await;
    root.check(
        &format!("GETQUOTAROOT {work}"),
        &[
            &format!("* QUOTAROOT {work} \"bob@demo.test\""),
            "* QUOTA \"bob@demo.test\" (MESSAGE 0 9)",
            "OK …",
        ],
    )
    .await;
    let mut carol = world.login("carol").await;
    carol
        .check(
            &format!("GETQUOTAROOT {work}"),
            &[&format!("* QUOTAROOT {work}"), "OK …"],
        )
        .await;
}
