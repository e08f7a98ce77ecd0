//! A login by a bearer token (RFC 7628): the issuer says who it is.
//!
//! A bad token is delayed and counted as a wrong password is. One that cannot be
//! checked is our own trouble and counts against nobody.

use super::throttle::Claim;
use super::{Attempt, AuthFailure, Caller, Verdict};
use crate::error::DirectoryError;
use crate::store::Inner;
use crate::tokens::{TokenRefusal, Tokens};
use sasl::Answer;
use sasl::bearer::{Bearer, Rejection, TokenFault};

impl Inner {
    pub(super) async fn check_token(
        &self,
        shown: &Bearer,
        caller: Caller,
    ) -> Result<Verdict, AuthFailure> {
        let began = self.runtime.monotonic();
        let Some(tokens) = self.options.tokens.as_deref() else {
            return Err(AuthFailure::Invalid);
        };
        let named = match &shown.authorization {
            Some(login) => self.find_login(login).await?,
            None => None,
        };
        // Without a name it counts against the address alone: names that anybody
        // could fill would hold off everybody.
        let nobody = format!("a token from {}", caller.peer);
        let login = shown.authorization.as_deref().unwrap_or(&nobody);
        let attempt = self.begin(began, named, login, caller)?;
        if shown.token.expose().is_empty() {
            let reason = "the client asks for what it needs".to_owned();
            return Ok(refused(tokens, TokenFault::Missing, reason));
        }
        let (fault, reason) = match tokens.check(&shown.token).await {
            Ok(name) => {
                let account = self.find_login(&name).await?;
                let is_meant = shown.authorization.is_none() || account == named;
                match account.filter(|_| is_meant) {
                    Some(id) => {
                        let claim = Claim::new(Some(id), &name);
                        let attempt = Attempt { claim, ..attempt };
                        let identity = self.admit(Some(id), &attempt, &shown.token).await?;
                        return Ok(Verdict::Granted(identity, Answer::Accepted));
                    }
                    None => (
                        TokenFault::Invalid,
                        format!("it is for {name:?}, which is not the login {login:?}"),
                    ),
                }
            }
            Err(TokenRefusal::Invalid(reason)) => (TokenFault::Invalid, reason),
            Err(TokenRefusal::Scope(reason)) => (TokenFault::Scope, reason),
            Err(TokenRefusal::Unavailable(reason)) => {
                tracing::warn!(%reason, "a token cannot be checked");
                return Err(DirectoryError::Unreachable.into());
            }
        };
        match self.admit(None, &attempt, &shown.token).await {
            Err(AuthFailure::Invalid) => Ok(refused(tokens, fault, reason)),
            Err(other) => Err(other),
            Ok(_) => Err(AuthFailure::Invalid),
        }
    }
}

fn refused(tokens: &dyn Tokens, fault: TokenFault, reason: String) -> Verdict {
    let rejection = Rejection {
        fault,
        scope: tokens.scope().to_owned(),
        configuration: tokens.configuration().to_owned(),
    };
    Verdict::Refused(AuthFailure::Token { reason }, Answer::Rejected(rejection))
}
