//! Filter scripts of an account (RFC 5228), by name.
//!
//! | field | form |
//! |---|---|
//! | version | byte, 1 |
//! | the change that wrote it | varint, its modseq |
//! | scripts, how many | varint |
//! | each: name | length as varint, bytes |
//! | each: bits: 1 it is the active one | byte |
//! | each: text | length as varint, bytes |
//!
//! They stand in the order of their names, each above the one before; one at most is active
//! (RFC 5804 §1.4: that one runs when mail is delivered). One record holds all of an account's: they are few
//! ([`crate::limits`]). A script that does not compile never gets in.
//!
//! A change of them is an entry of the account's log ([`Change::Scripts`]). The way back in time leaves them
//! as they are.

use crate::account::Account;
use crate::error::StoreError;
use crate::keys;
use crate::limits::{CONFLICT_RETRIES, SCRIPTS_BYTES_MAX, SCRIPTS_MAX};
use bytes::Bytes;
use engine::{Batch, Engine, Expect, SubmitError, Versioned};
use envelope::AccountId;
use mailbox_model::{Change, ModSeq};
use sieve::{Complaints, Offer, compile, is_script_name};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;
const ACTIVE: u8 = 1;

/// All scripts of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scripts {
    changed: ModSeq,
    active: Option<String>,
    all: BTreeMap<String, Bytes>,
}

/// What is to become of an account's scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptChange {
    /// A script is stored, in place of one of that name if there is one.
    Put {
        /// Its name.
        name: String,
        /// Its text.
        source: String,
    },
    /// A script goes.
    Remove {
        /// Its name.
        name: String,
    },
    /// A script gets another name, which it keeps being active under.
    Rename {
        /// Its name.
        from: String,
        /// That name.
        to: String,
    },
    /// A script becomes the active one; or none is.
    Activate {
        /// Its name.
        name: Option<String>,
    },
}

/// Why scripts are not as asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptRefusal {
    /// That is no name of a script.
    #[error("{0:?} is no name of a script")]
    Name(String),
    /// The script does not compile.
    #[error("{0}")]
    Invalid(#[from] Complaints),
    /// There is no such script.
    #[error("there is no script {0:?}")]
    NotThere(String),
    /// There is one of that name.
    #[error("there is a script {0:?} already")]
    There(String),
    /// RFC 5804 §2.10: the active script is not deleted.
    #[error("the script {0:?} is active; activate another or none before it goes")]
    Active(String),
    /// There would be too many.
    #[error("an account has at most {SCRIPTS_MAX} scripts")]
    Count,
    /// They would be too long together.
    #[error("the scripts of an account have at most {SCRIPTS_BYTES_MAX} octets together")]
    Size,
}

impl Scripts {
    /// The text of a script.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&str> {
        let source = self.all.get(name)?;
        core::str::from_utf8(source).ok()
    }

    /// Names and lengths in octets, in order.
    pub fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.all
            .iter()
            .map(|(name, source)| (name.as_str(), source.len()))
    }

    /// The script that runs when mail is delivered.
    #[must_use]
    pub fn active(&self) -> Option<&str> {
        self.active.as_deref()
    }

    /// The last change of any of them.
    #[must_use]
    pub fn changed(&self) -> ModSeq {
        self.changed
    }

    fn change(&mut self, change: &ScriptChange) -> Result<(), ScriptRefusal> {
        let there = |all: &BTreeMap<String, Bytes>, name: &String| match all.contains_key(name) {
            true => Ok(()),
            false => Err(ScriptRefusal::NotThere(name.clone())),
        };
        match change {
            ScriptChange::Put { name, source } => {
                let source = Bytes::copy_from_slice(source.as_bytes());
                self.all.insert(name.clone(), source);
            }
            ScriptChange::Remove { name } => {
                there(&self.all, name)?;
                if self.active.as_ref() == Some(name) {
                    return Err(ScriptRefusal::Active(name.clone()));
                }
                self.all.remove(name);
            }
            ScriptChange::Rename { from, to } => {
                there(&self.all, from)?;
                if self.all.contains_key(to) {
                    return Err(ScriptRefusal::There(to.clone()));
                }
                if let Some(source) = self.all.remove(from) {
                    self.all.insert(to.clone(), source);
                }
                if self.active.as_ref() == Some(from) {
                    self.active = Some(to.clone());
                }
            }
            ScriptChange::Activate { name } => {
                if let Some(name) = name {
                    there(&self.all, name)?;
                }
                self.active.clone_from(name);
            }
        }
        let bytes = self
            .all
            .iter()
            .map(|(name, source)| name.len() + source.len());
        match (
            self.all.len() > SCRIPTS_MAX,
            bytes.sum::<usize>() > SCRIPTS_BYTES_MAX,
        ) {
            (true, _) => Err(ScriptRefusal::Count),
            (false, true) => Err(ScriptRefusal::Size),
            (false, false) => Ok(()),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION).varint(self.changed.0);
        out.varint(self.all.len() as u64);
        for (name, source) in &self.all {
            let active = self.active.as_ref() == Some(name);
            out.bytes(name.as_bytes());
            out.u8(if active { ACTIVE } else { 0 }).bytes(source);
        }
        out.finish()
    }

    pub(crate) fn decode(record: &Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::new(record);
        match input.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let mut scripts = Self {
            changed: ModSeq(input.varint()?),
            ..Self::default()
        };
        for _ in 0..input.varint()? {
            let name = input.text()?.to_owned();
            let bits = input.u8()?;
            let source = record.slice_ref(input.text()?.as_bytes());
            let last = scripts.all.last_key_value();
            let grows = last.is_none_or(|(last, _)| *last < name);
            let again = bits == ACTIVE && scripts.active.is_some();
            if !grows || bits > ACTIVE || again {
                return Err(DecodeError::OutOfRange);
            }
            if bits == ACTIVE {
                scripts.active = Some(name.clone());
            }
            scripts.all.insert(name, source);
        }
        input.finish()?;
        Ok(scripts)
    }
}

impl Account {
    /// All scripts.
    ///
    /// # Errors
    /// The record can't be read.
    pub async fn scripts(&self) -> Result<Scripts, StoreError> {
        let stored = self.stored_scripts().await?;
        Ok(stored.map_or(Scripts::default(), |(_, scripts)| scripts))
    }

    /// Changes the scripts, or says why not. What is put must compile with what is offered.
    ///
    /// # Errors
    /// The record can't be read or written.
    pub async fn change_scripts(
        self: &Arc<Self>,
        change: &ScriptChange,
        offer: &Offer,
    ) -> Result<Result<(), ScriptRefusal>, StoreError> {
        let named = match change {
            ScriptChange::Put { name, .. } | ScriptChange::Rename { to: name, .. } => Some(name),
            _ => None,
        };
        if let Some(name) = named.filter(|name| !is_script_name(name)) {
            return Ok(Err(ScriptRefusal::Name(name.clone())));
        }
        if let ScriptChange::Put { source, .. } = change {
            // What somebody puts may take as long as a script may: nobody waits for it, and no lane is taken yet.
            let (source, offer) = (source.clone(), *offer);
            let work = move || compile(&source, &offer).map(drop);
            if let Err(complaints) = self.shared.runtime.blocking(work).await {
                return Ok(Err(complaints.into()));
            }
        }
        for _ in 0..CONFLICT_RETRIES {
            // Taken before the record is read: nobody here changes it meanwhile.
            let mut lane = self.lane().await?;
            let (expect, mut scripts) = match self.stored_scripts().await? {
                Some((stored, scripts)) => (Expect::Version(stored.version), scripts),
                None => (Expect::Absent, Scripts::default()),
            };
            let before = scripts.clone();
            if let Err(refusal) = scripts.change(change) {
                return Ok(Err(refusal));
            }
            if scripts == before {
                return Ok(Ok(()));
            }
            let mut batch = Batch::new();
            scripts.changed = lane.stage_touched(&mut batch, Change::Scripts.into())?;
            let key = keys::scripts(self.id());
            batch.expect(key.clone(), expect);
            batch.put(key, scripts.encode());
            match lane.submit(batch) {
                Ok(ticket) => {
                    ticket.done().await;
                    return Ok(Ok(()));
                }
                Err(SubmitError::Conflict { winner, .. }) => winner.visible().await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Contended)
    }

    async fn stored_scripts(&self) -> Result<Option<(Versioned, Scripts)>, StoreError> {
        let engine = Arc::clone(&self.shared.engine);
        let account = self.id();
        let work = move || read(&*engine, account);
        let Some(stored) = self.shared.runtime.blocking(work).await? else {
            return Ok(None);
        };
        let scripts = Scripts::decode(&stored.value).map_err(|error| StoreError::Damaged {
            account,
            what: format!("its scripts: {error}"),
        })?;
        Ok(Some((stored, scripts)))
    }
}

fn read(engine: &dyn Engine, account: AccountId) -> Result<Option<Versioned>, StoreError> {
    let snapshot = engine.snapshot(engine.shard_of_account(account.0));
    Ok(snapshot.get(&keys::scripts(account))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(name: &str, source: &str) -> ScriptChange {
        ScriptChange::Put {
            name: name.into(),
            source: source.into(),
        }
    }

    fn sample() -> Scripts {
        let mut sample = Scripts::default();
        assert_eq!(sample.change(&put("b", "keep;")), Ok(()));
        assert_eq!(sample.change(&put("a", "")), Ok(()));
        let activate = ScriptChange::Activate {
            name: Some("b".into()),
        };
        assert_eq!(sample.change(&activate), Ok(()));
        sample.changed = ModSeq(300);
        sample
    }

    #[test]
    fn the_record_is_these_bytes_and_reads_back() {
        let mut golden = vec![1, 0xac, 2, 2];
        golden.extend(b"\x01a\x00\x00\x01b\x01\x05keep;");
        assert_eq!(sample().encode(), golden);
        let golden = Bytes::from(golden);
        assert_eq!(Scripts::decode(&golden), Ok(sample()));
        for len in 0..golden.len() {
            assert!(Scripts::decode(&golden.slice(..len)).is_err());
        }
        for wrong in [
            &b"\x01\x01\x02\x01b\x00\x00\x01a\x00\x00"[..],
            b"\x01\x01\x02\x01a\x01\x00\x01b\x01\x00",
            b"\x01\x01\x01\x01a\x02\x00",
        ] {
            assert!(Scripts::decode(&Bytes::from_static(wrong)).is_err());
        }
    }

    #[test]
    fn the_active_script_stays_and_names_are_each_of_one() {
        let mut scripts = sample();
        let remove = |name: &str| ScriptChange::Remove { name: name.into() };
        assert_eq!(
            scripts.change(&remove("b")),
            Err(ScriptRefusal::Active("b".into()))
        );
        assert_eq!(
            scripts.change(&remove("z")),
            Err(ScriptRefusal::NotThere("z".into()))
        );
        let rename = |from: &str, to: &str| ScriptChange::Rename {
            from: from.into(),
            to: to.into(),
        };
        assert_eq!(
            scripts.change(&rename("b", "a")),
            Err(ScriptRefusal::There("a".into()))
        );
        assert_eq!(scripts.change(&rename("b", "c")), Ok(()));
        assert_eq!(scripts.active(), Some("c"));
        assert_eq!(
            scripts.change(&ScriptChange::Activate { name: None }),
            Ok(())
        );
        assert_eq!(scripts.change(&remove("c")), Ok(()));
        assert_eq!(scripts.names().collect::<Vec<_>>(), [("a", 0)]);
    }

    #[test]
    fn limits_hold_for_one_and_for_all() {
        let mut scripts = Scripts::default();
        for n in 0..SCRIPTS_MAX {
            assert_eq!(scripts.change(&put(&n.to_string(), "")), Ok(()));
        }
        assert_eq!(
            scripts.clone().change(&put("x", "")),
            Err(ScriptRefusal::Count)
        );
        let long = "#".repeat(SCRIPTS_BYTES_MAX);
        assert_eq!(scripts.change(&put("1", &long)), Err(ScriptRefusal::Size));
    }
}
