//! One authentication exchange as the server sees it: base64 lines in, steps out.
//!
//! | state | line | step |
//! |---|---|---|
//! | PLAIN, no initial response | message | `Done` |
//! | LOGIN, no initial response | user name | `Challenge("Password:")` |
//! | LOGIN, user name known | password | `Done` |
//! | any | `*` | `Failed(Cancelled)` |
//! | finished | anything | `Failed(Finished)` |
//!
//! An exchange that failed or is done stays so; start a new one.

use crate::limits::LINE_BYTES_MAX;
use crate::secret::Credentials;
use crate::{login, plain};
use thiserror::Error;
use zeroize::Zeroizing;

/// The mechanisms that a password travels in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// The draft that never became an RFC and that every client speaks.
    Login,
}

impl Mechanism {
    /// All, in the order in which they are offered.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Login];

    /// Finds a mechanism by its name in any case.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// The registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }
}

/// What the server does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this base64 text as the protocol's continuation (`334 …`, `+ …`).
    Challenge(String),
    /// The client has said everything: check it.
    Done(Credentials),
    /// The exchange is over without credentials.
    Failed(Failure),
}

/// Why an exchange ended without credentials; always the client's doing.
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
    /// The exchange had ended before.
    #[error("no authentication is going on")]
    Finished,
}

#[derive(Debug)]
enum State {
    PlainMessage,
    LoginName,
    LoginPassword { login: String },
    Finished,
}

/// The server's side of one AUTH command.
#[derive(Debug)]
pub struct Exchange {
    state: State,
}

impl Exchange {
    /// Starts an exchange. `initial` is the initial response as it stood in the
    /// command, still in base64, with `=` for the empty one (RFC 4954 §4).
    #[must_use]
    pub fn start(mechanism: Mechanism, initial: Option<&[u8]>) -> (Self, Step) {
        let state = match mechanism {
            Mechanism::Plain => State::PlainMessage,
            Mechanism::Login => State::LoginName,
        };
        let mut exchange = Self { state };
        let step = match (initial, mechanism) {
            (Some(b"="), _) => exchange.handle_message(b""),
            // `*` cancels only as a line of its own; here it is bad base64.
            (Some(text), _) => exchange.handle_base64(text),
            (None, Mechanism::Plain) => Step::Challenge(String::new()),
            (None, Mechanism::Login) => challenge(login::NAME_PROMPT),
        };
        if matches!(step, Step::Failed(_)) {
            exchange.state = State::Finished;
        }
        (exchange, step)
    }

    /// Takes the client's next line, without its line end.
    pub fn handle_line(&mut self, line: &[u8]) -> Step {
        let step = if line == b"*" && !matches!(self.state, State::Finished) {
            Step::Failed(Failure::Cancelled)
        } else {
            self.handle_base64(line)
        };
        if matches!(step, Step::Failed(_)) {
            self.state = State::Finished;
        }
        step
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
                Some(credentials) => Step::Done(credentials),
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
                Some(password) => Step::Done(Credentials {
                    authorization: None,
                    login,
                    password,
                }),
                None => Step::Failed(Failure::Malformed),
            },
            State::Finished => Step::Failed(Failure::Finished),
        }
    }
}

fn challenge(prompt: &str) -> Step {
    Step::Challenge(wire::base64::encode(prompt.as_bytes()))
}

#[cfg(test)]
#[path = "exchange/tests.rs"]
mod tests;
