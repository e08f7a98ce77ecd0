//! `posthouse account`.

use std::process::ExitCode;

use admin::control::Request;

use super::Context;
use crate::acts::{
    AccountAdd, AccountChange, AppPasswordAdd, AppPasswordRemove, ImportHash, Named, OfDomain,
    Passwd, Purge, Quota, SendAs, request,
};
use crate::cli::{self, Account, AppPassword};
use crate::password;

pub(super) fn run(context: &Context<'_>, command: Account) -> anyhow::Result<ExitCode> {
    context.act(match command {
        Account::Add {
            addresses,
            password,
            hash,
            admin,
        } => {
            let hash = hash
                .hash_file
                .as_deref()
                .map(password::read_hash)
                .transpose()?;
            let password = match &hash {
                Some(_) => None,
                None => Some(password::read(&password, &addresses.join(", "))?),
            };
            request(
                "account.add",
                &AccountAdd {
                    addresses,
                    password,
                    admin,
                    hash,
                },
            )
        }
        Account::List { domain } => request("account.list", &OfDomain { domain }),
        Account::Show { address } => request("account.show", &Named { name: address }),
        Account::Passwd { address, password } => {
            let password = password::read(&password, &address)?;
            request("account.passwd", &Passwd { address, password })
        }
        Account::ImportHash { address, hash } => {
            let hash = match &hash.hash_file {
                Some(file) => password::read_hash(file)?,
                None => password::read_hash_stdin()?,
            };
            request("account.import_hash", &ImportHash { address, hash })
        }
        Account::Change {
            address,
            save_sent,
            shared,
            admin,
            disabled,
        } => request(
            "account.change",
            &AccountChange {
                address,
                save_sent,
                shared,
                admin,
                disabled,
            },
        ),
        Account::AppPassword(command) => app_password(command),
        Account::SendAs(command) => send_as(command),
        Account::Remove { address } => request("account.remove", &Named { name: address }),
        Account::Purge { address, before } => request("account.purge", &Purge { address, before }),
        Account::Quota {
            address,
            bytes,
            messages,
            none,
        } => request(
            "account.quota",
            &Quota {
                address,
                bytes,
                messages,
                none,
            },
        ),
    }?)
}

fn app_password(command: AppPassword) -> anyhow::Result<Request> {
    match command {
        AppPassword::Add {
            address,
            label,
            services,
            expires,
            cram_md5,
        } => request(
            "app_password.add",
            &AppPasswordAdd {
                address,
                label,
                services,
                expires,
                cram_md5,
            },
        ),
        AppPassword::List { address } => request("app_password.list", &Named { name: address }),
        AppPassword::Remove { address, label } => {
            request("app_password.remove", &AppPasswordRemove { address, label })
        }
    }
}

fn send_as(command: cli::SendAs) -> anyhow::Result<Request> {
    match command {
        cli::SendAs::Add { address, send_as } => {
            request("send_as.add", &SendAs { address, send_as })
        }
        cli::SendAs::List { address } => request("send_as.list", &Named { name: address }),
        cli::SendAs::Remove { address, send_as } => {
            request("send_as.remove", &SendAs { address, send_as })
        }
    }
}
