//! BURL: a message, or a piece of it, is mail that lies on this server already. RFC 4468.
//!
//! Not here: what a URL names and who may read it (behind [`Urls`]). No URL is ever
//! fetched from another server.

use std::fmt;

use bytes::{Bytes, BytesMut};
use envelope::{AccountId, Reply};
use policy::primary::BoxFuture;

use crate::session::Session;

/// Why a URL gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlRefusal {
    /// It is not a URL of a message.
    Invalid(&'static str),
    /// It names no mailbox of this server.
    Elsewhere,
    /// There is no such message, or it was not authorized for who asks.
    Refused,
    /// Our own trouble; it is in the log.
    Trouble,
}

/// Mail of this server by URL.
pub trait Urls: fmt::Debug + Send + Sync {
    /// What an authorized URL names, for submission on behalf of this account.
    fn open<'a>(
        &'a self,
        url: &'a str,
        account: AccountId,
    ) -> BoxFuture<'a, Result<Box<dyn UrlOctets>, UrlRefusal>>;
}

/// The octets that a URL names.
pub trait UrlOctets: Send {
    /// How many there are.
    fn size(&self) -> u64;

    /// The next of them, a bounded piece; none at the end, or where they can't be read
    /// any more (that is in the log then).
    fn next_piece(&mut self) -> BoxFuture<'_, Option<Bytes>>;
}

impl Session {
    pub(crate) async fn burl(&mut self, url: &str) {
        match self.open_url(url).await {
            Ok(mut octets) => {
                self.machine.accept_url(octets.size());
                self.take_url(&mut *octets).await;
            }
            Err(refusal) => {
                let reply = self.refused("data", "", &reply_to(refusal));
                self.machine.reply(&reply);
                self.take_octets(&mut BytesMut::new()).await;
            }
        }
    }

    async fn open_url(&self, url: &str) -> Result<Box<dyn UrlOctets>, UrlRefusal> {
        let identity = self.client.facts.session.identity.as_ref();
        match (&self.ports.urls, identity) {
            (Some(urls), Some(identity)) => urls.open(url, identity.account).await,
            _ => Err(UrlRefusal::Elsewhere),
        }
    }

    async fn take_url(&mut self, octets: &mut dyn UrlOctets) {
        let mut left = octets.size();
        self.take_octets(&mut BytesMut::new()).await;
        while self.machine.wants_url() {
            match octets.next_piece().await.filter(|piece| !piece.is_empty()) {
                Some(mut piece) => {
                    piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    left -= piece.len() as u64;
                    self.take_octets(&mut BytesMut::from(piece)).await;
                }
                None => {
                    let text = "what the URL names cannot be read at the moment";
                    self.machine.fail_url(Reply::enhanced(451, (4, 3, 0), text));
                    self.take_octets(&mut BytesMut::new()).await;
                    return;
                }
            }
        }
    }

    async fn take_octets(&mut self, octets: &mut BytesMut) {
        while let Some(event) = self.machine.take_url(octets) {
            Box::pin(self.handle(event)).await;
        }
    }
}

/// RFC 4468 §3.3; 5.7.14 instead of 5.7.8 by RFC 5248 §2.4.
fn reply_to(refusal: UrlRefusal) -> Reply {
    match refusal {
        UrlRefusal::Invalid(why) => {
            Reply::enhanced(554, (5, 6, 6), &format!("not the URL of a message: {why}"))
        }
        UrlRefusal::Elsewhere => Reply::enhanced(
            554,
            (5, 7, 14),
            "only mail of this server is submitted by URL",
        ),
        UrlRefusal::Refused => Reply::enhanced(
            554,
            (5, 6, 6),
            "the URL names no message that you may submit: make one for submit+ and your login",
        ),
        UrlRefusal::Trouble => Reply::enhanced(
            451,
            (4, 3, 0),
            "what the URL names cannot be read at the moment",
        ),
    }
}
