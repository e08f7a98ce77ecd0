//! One authentication exchange as the server sees it: base64 lines in, steps out.
//!
//! | state | what comes | step |
//! |---|---|---|
//! | PLAIN, no initial response | message | `Ask(Password)` |
//! | LOGIN, no initial response | user name | `Challenge("Password:")` |
//! | LOGIN, user name known | password | `Ask(Password)` |
//! | SCRAM, no initial response | client-first | `Ask(Salt)` |
//! | SCRAM, salt asked for | `Answer::Salt` | `Challenge(server-first)` |
//! | SCRAM, salt sent | client-final | `Ask(Proof)` |
//! | SCRAM, proof asked about | `Answer::Signature` | `Challenge(server-final)` |
//! | SCRAM, signature sent | empty line | `Done` |
//! | EXTERNAL, no initial response | whom to act as, or nothing | `Ask(Certificate)` |
//! | OAUTHBEARER or XOAUTH2, no initial response | token | `Ask(Token)` |
//! | token asked about | `Answer::Rejected` | `Challenge(why)` |
//! | told why | anything | `Failed(Refused)` |
//! | CRAM-MD5, begun | | `Ask(Challenge)` |
//! | CRAM-MD5, challenge asked for | `Answer::Challenge` | `Challenge` |
//! | CRAM-MD5, challenge sent | digest | `Ask(Digest)` |
//! | asked | `Answer::Accepted` | `Done` |
//! | asked | `Answer::Refused` | `Failed(Refused)` |
//! | any, but asked | `*` | `Failed(Cancelled)` |
//! | finished | anything | `Failed(Finished)` |
//!
//! An exchange that failed or is done stays so; start a new one.

use crate::bearer::{self, Bearer, Form, Rejection};
use crate::digest::{Digest, DigestKind};
use crate::limits::{LINE_BYTES_MAX, NAME_BYTES_MAX};
use crate::mechanism::{Bound, Mechanism, Offer};
use crate::scram::exchange::{AwaitingProof, AwaitingSalt};
use crate::scram::{Hash, Proof, Salt, ScramName};
use crate::secret::Credentials;
use crate::{login, plain};
use std::sync::Arc;
use thiserror::Error;
use zeroize::Zeroizing;

/// What the server does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this base64 text as the protocol's continuation (`334 …`, `+ …`).
    Challenge(String),
    /// Ask those who know, then go on with [`Exchange::answer`].
    Ask(Question),
    /// The exchange succeeded.
    Done,
    /// The exchange is over without success.
    Failed(Failure),
}

/// What an exchange cannot know by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Is this password right? [`Answer::Accepted`] if it is.
    Password(Credentials),
    /// What does a client need for its proof? [`Answer::Salt`] in any case.
    Salt(ScramName),
    /// Is this proof right? [`Answer::Signature`] if it is.
    Proof(Proof),
    /// Whose is this certificate? [`Answer::Accepted`] if it is somebody's.
    Certificate(Certificate),
    /// Is this token good? [`Answer::Accepted`] if it is, [`Answer::Rejected`] if not.
    Token(Bearer),
    /// What is the client to make a digest of? [`Answer::Challenge`].
    Challenge,
    /// Is this digest right? [`Answer::Accepted`] if it is.
    Digest(Digest),
}

/// Who a client is by its certificate, which is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The mail addresses that the certificate names, at least one.
    pub names: Arc<[String]>,
    /// Whom the client wants to act as; `None` for whom the certificate names.
    pub authorization: Option<String>,
}

impl Question {
    /// The login as it was sent; empty where none was.
    #[must_use]
    pub fn login(&self) -> &str {
        match self {
            Self::Password(credentials) => &credentials.login,
            Self::Salt(name) => &name.login,
            Self::Proof(proof) => &proof.login,
            Self::Certificate(shown) => match &shown.authorization {
                Some(name) => name,
                None => shown.names.first().map_or("", String::as_str),
            },
            Self::Token(shown) => shown.authorization.as_deref().unwrap_or_default(),
            Self::Challenge => "",
            Self::Digest(digest) => &digest.login,
        }
    }
}

/// An answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Who asks is who it says it is.
    Accepted,
    /// The salt of the login, a made-up one if there is none.
    Salt(Salt),
    /// The proof is right, and this proves to the client that we know it too.
    Signature(Vec<u8>),
    /// The token is not good, and the client hears why before it ends.
    Rejected(Rejection),
    /// Fresh, random, of the form `<…@…>`.
    Challenge(String),
    /// No. Why is told outside of the exchange.
    Refused,
}

/// Why an exchange ended without success.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The client sent `*`.
    #[error("authentication cancelled by the client")]
    Cancelled,
    /// A line is longer than [`LINE_BYTES_MAX`].
    #[error("authentication line is too long")]
    TooLong,
    /// A line is not canonical base64.
    #[error("cannot decode base64")]
    Base64,
    /// The decoded message is not what the mechanism asks for.
    #[error("malformed authentication message")]
    Malformed,
    /// The client bound itself to another TLS session, or by a kind that is not
    /// offered: somebody may sit in between.
    #[error("channel binding does not match this connection")]
    Binding,
    /// The client could bind itself but did not see that we offer it.
    #[error("this server does support channel binding; the offer was changed on its way")]
    Downgraded,
    /// The answer was no.
    #[error("authentication failed")]
    Refused,
    /// The exchange had ended before.
    #[error("no authentication is going on")]
    Finished,
}

#[derive(Debug)]
enum State {
    PlainMessage,
    LoginName,
    LoginPassword {
        login: String,
    },
    ScramFirst {
        hash: Hash,
        bound: Bound,
    },
    ScramProof(Box<AwaitingProof>),
    /// The last word was ours; the client confirms with an empty line.
    ScramEnd,
    External,
    Token(Form),
    /// The client was told why its token is not good.
    Rejected,
    Digest {
        challenge: String,
    },
    Asked(Asked),
    Finished,
}

/// What is being asked.
#[derive(Debug)]
enum Asked {
    Whether,
    Salt(Box<AwaitingSalt>),
    Proof,
    Token(Form),
    Challenge,
}

/// The server's side of one AUTH command.
#[derive(Debug)]
pub struct Exchange {
    state: State,
    offer: Offer,
}

impl Exchange {
    /// Starts an exchange of a mechanism that `offer` has. `initial` is the
    /// initial response as it stood in the command, still in base64, with `=`
    /// for the empty one (RFC 4954 §4).
    #[must_use]
    pub fn start(mechanism: Mechanism, initial: Option<&[u8]>, offer: &Offer) -> (Self, Step) {
        let state = match mechanism {
            Mechanism::Plain => State::PlainMessage,
            Mechanism::Login => State::LoginName,
            Mechanism::Scram(hash, bound) => State::ScramFirst { hash, bound },
            Mechanism::External => State::External,
            Mechanism::OauthBearer => State::Token(Form::OauthBearer),
            Mechanism::XOauth2 => State::Token(Form::XOauth2),
            Mechanism::CramMd5 => State::Asked(Asked::Challenge),
        };
        let mut exchange = Self {
            state,
            offer: offer.clone(),
        };
        let step = match (initial, mechanism) {
            // The server has the first word (RFC 4954 §4: 501).
            (Some(_), Mechanism::CramMd5) => Step::Failed(Failure::Malformed),
            (None, Mechanism::CramMd5) => Step::Ask(Question::Challenge),
            (Some(b"="), _) => exchange.handle_message(b""),
            // `*` cancels only as a line of its own; here it is bad base64.
            (Some(text), _) => exchange.handle_base64(text),
            (None, Mechanism::Login) => challenge(login::NAME_PROMPT),
            (None, _) => Step::Challenge(String::new()),
        };
        exchange.note(&step);
        (exchange, step)
    }

    /// Takes the client's next line, without its line end.
    pub fn handle_line(&mut self, line: &[u8]) -> Step {
        let step = match self.state {
            State::Finished | State::Asked(_) => Step::Failed(Failure::Finished),
            _ if line == b"*" => Step::Failed(Failure::Cancelled),
            // RFC 7628 §3.2.3: ^A. XOAUTH2 clients say nothing, or anything.
            State::Rejected => Step::Failed(Failure::Refused),
            _ => self.handle_base64(line),
        };
        self.note(&step);
        step
    }

    /// Takes the answer to the question that was asked.
    pub fn answer(&mut self, answer: Answer) -> Step {
        let State::Asked(asked) = core::mem::replace(&mut self.state, State::Finished) else {
            return Step::Failed(Failure::Finished);
        };
        let step = match (asked, answer) {
            (Asked::Whether | Asked::Token(_), Answer::Accepted) => Step::Done,
            (Asked::Token(form), Answer::Rejected(rejection)) => {
                self.state = State::Rejected;
                challenge(&rejection.challenge(form))
            }
            (Asked::Challenge, Answer::Challenge(text)) => {
                let step = challenge(&text);
                self.state = State::Digest { challenge: text };
                step
            }
            (Asked::Salt(awaiting), Answer::Salt(salt)) => {
                let (server_first, awaiting) = awaiting.salted(&salt);
                self.state = State::ScramProof(Box::new(awaiting));
                challenge(&server_first)
            }
            (Asked::Proof, Answer::Signature(signature)) => {
                self.state = State::ScramEnd;
                challenge(&format!("v={}", wire::base64::encode(&signature)))
            }
            // An answer to something else is no yes.
            _ => Step::Failed(Failure::Refused),
        };
        self.note(&step);
        step
    }

    fn note(&mut self, step: &Step) {
        if matches!(step, Step::Failed(_) | Step::Done) {
            self.state = State::Finished;
        }
    }

    fn handle_base64(&mut self, text: &[u8]) -> Step {
        if text.len() > LINE_BYTES_MAX {
            return Step::Failed(Failure::TooLong);
        }
        match wire::base64::decode(text).map(Zeroizing::new) {
            Some(message) => self.handle_message(&message),
            None => Step::Failed(Failure::Base64),
        }
    }

    fn handle_message(&mut self, message: &[u8]) -> Step {
        match core::mem::replace(&mut self.state, State::Finished) {
            State::PlainMessage => match plain::parse(message) {
                Some(credentials) => self.ask_password(credentials),
                None => Step::Failed(Failure::Malformed),
            },
            State::LoginName => match login::parse_name(message) {
                Some(login) => {
                    self.state = State::LoginPassword { login };
                    challenge(login::PASSWORD_PROMPT)
                }
                None => Step::Failed(Failure::Malformed),
            },
            State::LoginPassword { login } => match login::parse_password(message) {
                Some(password) => self.ask_password(Credentials {
                    authorization: None,
                    login,
                    password,
                }),
                None => Step::Failed(Failure::Malformed),
            },
            State::ScramFirst { hash, bound } => {
                match AwaitingSalt::parse(hash, bound, self.offer.bindings(), message) {
                    Ok(awaiting) => {
                        let name = awaiting.name().clone();
                        self.state = State::Asked(Asked::Salt(Box::new(awaiting)));
                        Step::Ask(Question::Salt(name))
                    }
                    Err(failure) => Step::Failed(failure),
                }
            }
            State::ScramProof(awaiting) => match awaiting.handle(message) {
                Ok(proof) => {
                    self.state = State::Asked(Asked::Proof);
                    Step::Ask(Question::Proof(proof))
                }
                Err(failure) => Step::Failed(failure),
            },
            State::External => match self.certificate(message) {
                Some(certificate) => {
                    self.state = State::Asked(Asked::Whether);
                    Step::Ask(Question::Certificate(certificate))
                }
                None => Step::Failed(Failure::Malformed),
            },
            State::Token(form) => match bearer::parse(form, message) {
                Some(shown) => {
                    self.state = State::Asked(Asked::Token(form));
                    Step::Ask(Question::Token(shown))
                }
                None => Step::Failed(Failure::Malformed),
            },
            State::Digest { challenge } => {
                match Digest::parse(DigestKind::CramMd5, &challenge, message) {
                    Some(digest) => {
                        self.state = State::Asked(Asked::Whether);
                        Step::Ask(Question::Digest(digest))
                    }
                    None => Step::Failed(Failure::Malformed),
                }
            }
            State::ScramEnd if message.is_empty() => Step::Done,
            State::ScramEnd => Step::Failed(Failure::Malformed),
            State::Rejected | State::Asked(_) | State::Finished => Step::Failed(Failure::Finished),
        }
    }

    /// RFC 4422 §A.1: UTF-8 without NUL; empty for the one whom the certificate names.
    fn certificate(&self, message: &[u8]) -> Option<Certificate> {
        let name = core::str::from_utf8(message).ok()?;
        if name.contains('\0') || name.len() > NAME_BYTES_MAX {
            return None;
        }
        Some(Certificate {
            names: self.offer.certificate()?,
            authorization: (!name.is_empty()).then(|| name.to_owned()),
        })
    }

    fn ask_password(&mut self, credentials: Credentials) -> Step {
        self.state = State::Asked(Asked::Whether);
        Step::Ask(Question::Password(credentials))
    }
}

fn challenge(text: &str) -> Step {
    Step::Challenge(wire::base64::encode(text.as_bytes()))
}

#[cfg(test)]
#[path = "exchange/tests.rs"]
mod tests;
