//! The servers that are measured.

use anyhow::Result;
use interop::dovecot::{Dovecot, Fsync};
use interop::postfix::Postfix;
use interop::posthouse::{PASSWORD, Posthouse};
use interop::world::World;

/// Accounts `user0` … of `demo.test`, all with one password.
pub(crate) const USERS: usize = 32;

pub(crate) fn ours(world: &mut World) -> Result<(Posthouse, u32)> {
    let users: Vec<String> = (0..USERS).map(|n| format!("user{n}")).collect();
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &names)?;
    let pid = ours.serve(world)?;
    Ok((ours, pid))
}

pub(crate) fn postfix_and_dovecot(world: &mut World) -> Result<(Postfix, Dovecot)> {
    let dovecot = Dovecot::start(world, "127.0.0.5", PASSWORD, Fsync::Always)?;
    let settings = format!(
        "virtual_transport = lmtp:unix:{}\nvirtual_mailbox_maps = static:all\nlmtp_destination_concurrency_limit = 20\n\
         smtpd_peername_lookup = no\ndisable_dns_lookups = yes\nsmtp_host_lookup = native\n",
        dovecot.lmtp
    );
    let postfix = Postfix::start_with(world, "127.0.0.3", "demo.test", &[], &settings)?;
    Ok((postfix, dovecot))
}
