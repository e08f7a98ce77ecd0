//! The directory over the memory engine, with one shard and with three.

mod app_passwords;
mod broken;
mod changing;
mod digests;
mod flips;
mod imported;
mod login;
mod resolving;
mod scram;
mod send_as;
mod tokens;

use crate::{Directory, NewAccount, Options};
use engine::{Batch, MemoryEngine, SharedEngine};
use envelope::{AccountId, Address, Domain};
use runtime::Runtime;
use sasl::Secret;
use std::sync::Arc;

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).expect("a valid address")
}

pub(crate) fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("a valid domain")
}

/// The mail side of an account: one key that may exist only once.
pub(crate) fn make_mail(batch: &mut Batch, id: AccountId) -> Result<(), String> {
    let key = engine::keys::account(id.0);
    batch.expect(key.clone(), engine::Expect::Absent);
    batch.put(key, &b"head"[..]);
    Ok(())
}

pub(crate) fn drop_mail(batch: &mut Batch, id: AccountId) -> Result<(), String> {
    batch.delete(engine::keys::account(id.0));
    Ok(())
}

pub(crate) struct World {
    pub(crate) engine: SharedEngine,
    pub(crate) runtime: Runtime,
    pub(crate) directory: Directory,
}

impl World {
    pub(crate) fn empty(shards: u16, options: Options) -> Self {
        let engine: SharedEngine = Arc::new(MemoryEngine::new(shards));
        let runtime = Runtime::for_tests();
        let directory = Directory::new(Arc::clone(&engine), runtime.clone(), options);
        Self {
            engine,
            runtime,
            directory,
        }
    }

    /// Two domains, alice (administrator), bob, and carol elsewhere here.
    pub(crate) async fn new() -> Self {
        let world = Self::empty(3, Options::for_tests());
        for name in ["demo.test", "other.test"] {
            world
                .directory
                .domain_add(&domain(name), None)
                .await
                .expect("added");
        }
        for (name, admin) in [
            ("alice@demo.test", true),
            ("bob@demo.test", false),
            ("carol@other.test", false),
        ] {
            let mut new = NewAccount::new(address(name), Some(Secret::from("demo")));
            new.admin = admin;
            world
                .directory
                .account_add(new, &make_mail)
                .await
                .expect("added");
        }
        world
    }
}
