//! `posthouse account`.

use std::process::ExitCode;

use super::Context;
use crate::acts::{AccountAdd, Named, OfDomain, Passwd, Quota, request};
use crate::cli::Account;
use crate::password;

pub(super) fn run(context: &Context<'_>, command: Account) -> anyhow::Result<ExitCode> {
    context.act(match command {
        Account::Add {
            addresses,
            password,
            admin,
        } => {
            let password = Some(password::read(&password, &addresses.join(", "))?);
            request(
                "account.add",
                &AccountAdd {
                    addresses,
                    password,
                    admin,
                },
            )
        }
        Account::List { domain } => request("account.list", &OfDomain { domain }),
        Account::Show { address } => request("account.show", &Named { name: address }),
        Account::Passwd { address, password } => {
            let password = password::read(&password, &address)?;
            request("account.passwd", &Passwd { address, password })
        }
        Account::Remove { address } => request("account.remove", &Named { name: address }),
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
