//! The administrative acts: one implementation of each, whoever asks.
//!
//! A command line, or later a browser, sends the name of an act with its arguments as JSON; the running server
//! carries it out behind the control socket ([`admin::control::Commands`]), and a command that finds no server
//! opens the store and calls [`Acts::run`] itself.

mod account;
mod alias;
mod app_password;
mod backup;
mod ban;
mod domain;
mod drain;
mod fsck;
mod lists;
mod queue;
mod route;
mod send_as;
mod sieve;
mod suppress;
mod tls_report;
mod trace;
mod transcript;
mod undelete;
mod webhook;

use std::sync::Arc;

use admin::control::{Answer, CommandError, Commands, FailureKind, Request};
use directory::DirectoryError;
use envelope::{Address, Domain};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::store::Store;

pub(crate) use account::{
    Add as AccountAdd, Change as AccountChange, ImportHash, Passwd, Purge, Quota,
};
pub(crate) use alias::Add as AliasAdd;
pub(crate) use app_password::{Add as AppPasswordAdd, Remove as AppPasswordRemove};
pub(crate) use backup::{BackingUp, RestoreMail, Run as BackupRun, run as backup_run};
pub(crate) use ban::Add as BanAdd;
pub(crate) use domain::{
    Add as DomainAdd, Quota as DomainQuota, Remove as DomainRemove, Retention as DomainRetention,
};
pub(crate) use drain::Draining;
pub(crate) use fsck::{Checking, Fsck};
pub(crate) use queue::{Acting, Pausing, Reroute, Which};
pub(crate) use route::Ask as RouteAsk;
pub(crate) use send_as::SendAs;
pub(crate) use sieve::{
    Check as SieveCheck, Event as SieveEvent, OfAccount as SieveOf, Place as SievePlace,
    Put as SievePut, Script as SieveScript,
};
pub(crate) use suppress::{
    Add as SuppressAdd, Complaint as SuppressComplaint, List as SuppressList,
};
pub(crate) use tls_report::{Send as TlsReportSend, Show as TlsReportShow};
pub(crate) use transcript::Look;
pub(crate) use undelete::Undelete;

/// What an act gives: an answer in JSON or an error for the person who asked.
pub(crate) type ActResult = Result<Value, CommandError>;

/// Arguments of acts that name one thing.
#[derive(Debug, Serialize, serde::Deserialize)]
pub(crate) struct Named {
    pub(crate) name: String,
}

/// Arguments of acts that list, of one domain or of all.
#[derive(Debug, Default, Serialize, serde::Deserialize)]
pub(crate) struct OfDomain {
    pub(crate) domain: Option<String>,
}

/// Everything that the acts work on.
#[derive(Clone)]
pub(crate) struct Acts {
    pub(crate) store: Arc<Store>,
}

impl Acts {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    async fn act(&self, request: Request) -> ActResult {
        let (store, args) = (self.store.as_ref(), request.args);
        match request.command.as_str() {
            "domain.add" => domain::add(store, read(args)?).await,
            "domain.list" => domain::list(store).await,
            "domain.show" => domain::show(store, read(args)?).await,
            "domain.quota" => domain::quota(store, read(args)?).await,
            "domain.remove" => domain::remove(store, read(args)?).await,
            "domain.retention" => domain::retention(store, read(args)?).await,
            "account.add" => account::add(store, read(args)?).await,
            "account.list" => account::list(store, read(args)?).await,
            "account.show" => account::show(store, read(args)?).await,
            "account.passwd" => account::passwd(store, read(args)?).await,
            "account.import_hash" => account::import_hash(store, read(args)?).await,
            "account.change" => account::change_of(store, read(args)?).await,
            "account.remove" => account::remove(store, read(args)?).await,
            "account.purge" => account::purge(store, read(args)?).await,
            "account.quota" => account::quota(store, read(args)?).await,
            "app_password.add" => app_password::add(store, read(args)?).await,
            "app_password.list" => app_password::list(store, read(args)?).await,
            "app_password.remove" => app_password::remove(store, read(args)?).await,
            "send_as.add" => send_as::add(store, read(args)?).await,
            "send_as.list" => send_as::list(store, read(args)?).await,
            "send_as.remove" => send_as::remove(store, read(args)?).await,
            "sieve.put" => sieve::put(store, read(args)?).await,
            "sieve.get" => sieve::get(store, read(args)?).await,
            "sieve.list" => sieve::list(store, read(args)?).await,
            "sieve.remove" => sieve::remove(store, read(args)?).await,
            "sieve.check" => sieve::check(store, read(args)?).await,
            "alias.add" => alias::add(store, read(args)?).await,
            "alias.list" => alias::list(store, read(args)?).await,
            "alias.remove" => alias::remove(store, read(args)?).await,
            "ban.add" => ban::add(store, read(args)?).await,
            "door.lists" => Ok(lists::list(store)),
            "ban.list" => Ok(ban::list(store)),
            "ban.lift" => ban::lift(store, read(args)?).await,
            "suppress.add" => suppress::add(store, read(args)?).await,
            "suppress.complaint" => suppress::complaint(store, read(args)?).await,
            "suppress.list" => suppress::list(store, read(args)?).await,
            "suppress.show" => suppress::show(store, read(args)?).await,
            "suppress.lift" => suppress::lift(store, read(args)?).await,
            "tls_report.show" => tls_report::show(store, read(args)?).await,
            "tls_report.send" => Box::pin(tls_report::send(store, read(args)?)).await,
            "webhook.list" => webhook::list(store),
            "webhook.test" => Box::pin(webhook::test(store, read(args)?)).await,
            "trace" => trace::find(store, read(args)?).await,
            "queue.list" => queue::list(store, read(args)?).await,
            "queue.show" => queue::show(store, read(args)?).await,
            "queue.retry" => queue::act(store, ::queue::Act::Retry, read(args)?).await,
            "queue.hold" => queue::act(store, ::queue::Act::Hold, read(args)?).await,
            "queue.release" => queue::act(store, ::queue::Act::Release, read(args)?).await,
            "queue.remove" => queue::act(store, ::queue::Act::Remove, read(args)?).await,
            "queue.reroute" => queue::reroute(store, read(args)?).await,
            "queue.stats" => queue::stats(store).await,
            "queue.pause" => queue::pause(store, read(args)?).await,
            "queue.resume" => queue::resume(store, read(args)?).await,
            "queue.drain" => Box::pin(drain::drain(store, read(args)?)).await,
            "queue.paused" => queue::paused(store).await,
            "queue.transcript" => Box::pin(transcript::read(store, read(args)?)).await,
            "queue.progress" => Ok(store.acting.shown()),
            "route" => Box::pin(route::route(store, read(args)?)).await,
            "undelete" => undelete::undelete(store, read(args)?).await,
            "backup.run" => backup::run(store, read(args)?).await,
            "backup.progress" => Ok(store.backing_up.shown()),
            "backup.restore_mail" => backup::restore_mail(store, read(args)?).await,
            "fsck" => fsck::fsck(store, read(args)?).await,
            "fsck.progress" => Ok(store.checking.shown()),
            other => Err(usage(format!(
                "this server does not know {other:?}; is it older than this command?"
            ))),
        }
    }
}

impl Commands for Acts {
    fn run(&self, request: Request) -> Answer<'_> {
        Box::pin(async move {
            let command = request.command.clone();
            let result = self.act(request).await;
            match &result {
                // Asked again and again.
                Ok(_) if command.ends_with(".progress") || command == "queue.transcript" => {}
                Ok(_) => tracing::info!(%command, "command done"),
                Err(error) => tracing::warn!(%command, %error, "command failed"),
            }
            result
        })
    }
}

/// What may be asked for from elsewhere: what names files of this machine, or repairs
/// them, belongs to who sits at it.
pub(crate) struct RemoteActs(pub(crate) Acts);

impl Commands for RemoteActs {
    fn run(&self, request: Request) -> Answer<'_> {
        let stays = ["backup.", "fsck"];
        if stays.iter().any(|name| request.command.starts_with(name)) {
            let text = format!(
                "{} is for the command line on the machine itself",
                request.command
            );
            return Box::pin(std::future::ready(Err(usage(text))));
        }
        self.0.run(request)
    }
}

/// A request with typed arguments.
pub(crate) fn request<T: Serialize>(command: &str, args: &T) -> anyhow::Result<Request> {
    Ok(Request {
        command: command.to_owned(),
        args: serde_json::to_value(args)?,
    })
}

fn read<T: DeserializeOwned>(args: Value) -> Result<T, CommandError> {
    serde_json::from_value(args).map_err(|error| usage(format!("the arguments are wrong: {error}")))
}

fn usage(message: String) -> CommandError {
    CommandError::new(FailureKind::Usage, message)
}

fn failed(error: impl std::fmt::Display) -> CommandError {
    CommandError::new(FailureKind::Failed, error.to_string())
}

fn parse_address(text: &str) -> Result<Address, CommandError> {
    Address::parse(text).map_err(|error| usage(format!("{text:?} is no mail address: {error}")))
}

fn parse_domain(text: &str) -> Result<Domain, CommandError> {
    Domain::parse(text).map_err(|error| usage(format!("{text:?} is no domain: {error}")))
}

fn optional<T>(
    text: Option<&str>,
    parse: impl Fn(&str) -> Result<T, CommandError>,
) -> Result<Option<T>, CommandError> {
    text.map(parse).transpose()
}

/// Whose fault a directory's error is.
#[expect(
    clippy::needless_pass_by_value,
    reason = "given to `map_err` everywhere"
)]
fn of_directory(error: DirectoryError) -> CommandError {
    let kind = match &error {
        DirectoryError::NoSuchDomain(_)
        | DirectoryError::NoSuchAccount(_)
        | DirectoryError::NoSuchAlias(_)
        | DirectoryError::NotGrantable(_)
        | DirectoryError::NoSuchAppPassword(_) => FailureKind::NotFound,
        DirectoryError::DomainExists(_)
        | DirectoryError::DomainInUse(_)
        | DirectoryError::AddressTaken(_)
        | DirectoryError::LabelTaken(_)
        | DirectoryError::TooManyAppPasswords
        | DirectoryError::TooManyGrants => FailureKind::Conflict,
        DirectoryError::NotADomain(_)
        | DirectoryError::AliasTargets
        | DirectoryError::Label
        | DirectoryError::NeverGood
        | DirectoryError::NoDigests
        | DirectoryError::UnusablePassword => FailureKind::Usage,
        _ => FailureKind::Failed,
    };
    CommandError::new(kind, error.to_string())
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
