//! Who says to have written a message: a user's From is checked like its MAIL FROM.
//!
//! RFC 6409 §6.1 lets a submission server do so, and §8.1 add what is missing.
//! Every address of every From field must be one that the account may send as. Mail
//! that a user passes on as it came (RFC 5322 §3.6.6: the latest Resent-From is its
//! own) keeps a From of elsewhere, but none of somebody else here.
//!
//! Programs of this machine, which have no account, are not looked at.

use crate::limits::AUTHORS_BYTES_MAX;
use crate::reply;
use directory::{Directory, DirectoryError};
use envelope::{AccountId, Address, Reply};

/// The fields of a header that name authors, as they stream in.
#[derive(Debug, Default)]
pub(crate) struct Authors {
    from: Vec<u8>,
    resent_from: Vec<u8>,
    has_from: bool,
    has_resent_from: bool,
    /// More than is looked at.
    too_long: bool,
    in_field: Option<Which>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    From,
    ResentFrom,
}

impl Authors {
    /// A field begins.
    pub(crate) fn begin(&mut self, name: &[u8], value: &[u8]) {
        self.in_field = None;
        if name.eq_ignore_ascii_case(b"From") {
            self.in_field = Some(Which::From);
            if self.has_from {
                self.from.push(b',');
            }
            self.has_from = true;
        } else if name.eq_ignore_ascii_case(b"Resent-From") && !self.has_resent_from {
            // The first one is the latest (RFC 5322 §3.6.6).
            self.in_field = Some(Which::ResentFrom);
            self.has_resent_from = true;
        }
        self.go_on(value);
    }

    /// The field goes on, on another line.
    pub(crate) fn go_on(&mut self, line: &[u8]) {
        let Some(which) = self.in_field else {
            return;
        };
        let field = match which {
            Which::From => &mut self.from,
            Which::ResentFrom => &mut self.resent_from,
        };
        if field.len() + line.len() > AUTHORS_BYTES_MAX {
            self.too_long = true;
            return;
        }
        field.extend_from_slice(line);
    }

    /// The rest of the line is not looked at.
    pub(crate) fn cut(&mut self) {
        self.too_long |= self.in_field.is_some();
    }

    pub(crate) fn has_from(&self) -> bool {
        self.has_from
    }

    /// May this account say so?
    ///
    /// # Errors
    /// The reply that refuses the message.
    pub(crate) async fn check(
        &self,
        directory: &Directory,
        account: AccountId,
    ) -> Result<(), Reply> {
        let looked = self.foreign(directory, account).await;
        let foreign = looked.map_err(|error| {
            tracing::error!(%error, "the authors of a message could not be checked");
            reply::local_trouble()
        })?;
        foreign.map_or(Ok(()), Err)
    }

    /// The refusal for what the account may not say, if there is such.
    async fn foreign(
        &self,
        directory: &Directory,
        account: AccountId,
    ) -> Result<Option<Reply>, DirectoryError> {
        if self.too_long {
            return Ok(Some(reply::too_many_authors()));
        }
        let mut resent = false;
        for address in addresses(&self.resent_from).flatten() {
            resent |= directory.may_send_as(account, &address).await?;
        }
        for address in addresses(&self.from) {
            let Some(address) = address else {
                if resent {
                    continue;
                }
                return Ok(Some(reply::author_without_address()));
            };
            let own = directory.may_send_as(account, &address).await?;
            if own {
                continue;
            }
            if directory.is_local_domain(address.domain()).await? {
                return Ok(Some(reply::author_not_granted(&address)));
            }
            if !resent {
                return Ok(Some(reply::not_the_author(&address)));
            }
        }
        Ok(None)
    }
}

/// The addresses of a field; none for a mailbox that has no good one.
fn addresses(value: &[u8]) -> impl Iterator<Item = Option<Address>> {
    let items = mime::parse_addresses(value);
    let texts: Vec<String> = mime::mailboxes(&items)
        .map(mime::Mailbox::address_text)
        .collect();
    texts.into_iter().map(|text| Address::parse(&text).ok())
}
