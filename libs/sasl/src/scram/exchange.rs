//! The server's side of a SCRAM exchange, between its two questions.

use super::message::{ClientFinal, ClientFirst, Flag};
use super::{Hash, Proof};
use crate::binding::Binding;
use crate::exchange::Failure;
use crate::mechanism::Bound;
use std::sync::Arc;

/// Whose salt is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramName {
    /// The mechanism's hash.
    pub hash: Hash,
    /// The login as it was sent.
    pub login: String,
    /// Whom the client wants to act as; `None` when it is the one who logs in.
    pub authorization: Option<String>,
}

/// What a client needs for its proof. For a login that does not exist it must
/// look the same and always be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salt {
    /// The salt, as raw bytes.
    pub salt: Vec<u8>,
    /// The iteration count.
    pub iterations: u32,
    /// Our part of the nonce: fresh, random, printable ASCII without a comma.
    pub nonce: String,
}

/// Waits for the salt.
#[derive(Debug)]
pub(crate) struct AwaitingSalt {
    name: ScramName,
    flag: Flag,
    header: String,
    bare: String,
    nonce: String,
    bindings: Option<Arc<[Binding]>>,
}

/// Waits for the client's proof.
#[derive(Debug)]
pub(crate) struct AwaitingProof {
    name: ScramName,
    flag: Flag,
    header: String,
    bare: String,
    server_first: String,
    nonce: String,
    bindings: Option<Arc<[Binding]>>,
}

impl AwaitingSalt {
    pub(crate) fn parse(
        hash: Hash,
        bound: Bound,
        bindings: Option<Arc<[Binding]>>,
        message: &[u8],
    ) -> Result<Self, Failure> {
        let first = ClientFirst::parse(message).ok_or(Failure::Malformed)?;
        match (bound, first.flag) {
            // RFC 5802 §6: it thinks that we cannot bind, though we said that we
            // can. Somebody in between took the -PLUS forms out of our offer.
            (_, Flag::NotOffered) if bindings.is_some() => return Err(Failure::Downgraded),
            (Bound::No, Flag::None | Flag::NotOffered) => {}
            (Bound::Plus, Flag::Bind(kind)) => {
                let offered = |binding: &Binding| Some(binding.kind()) == kind;
                if !bindings.iter().flat_map(|all| all.iter()).any(offered) {
                    return Err(Failure::Binding);
                }
            }
            // RFC 5802 §6: "p" goes with -PLUS, and only with it.
            (Bound::No, Flag::Bind(_)) | (Bound::Plus, _) => return Err(Failure::Malformed),
        }
        Ok(Self {
            flag: first.flag,
            header: first.header.to_owned(),
            bare: first.bare.to_owned(),
            nonce: first.nonce.to_owned(),
            name: ScramName {
                hash,
                login: first.login,
                authorization: first.authorization,
            },
            bindings,
        })
    }

    pub(crate) fn name(&self) -> &ScramName {
        &self.name
    }

    /// The server-first message, and what to wait for then.
    pub(crate) fn salted(self, salt: &Salt) -> (String, AwaitingProof) {
        let nonce = self.nonce + &salt.nonce;
        let server_first = format!(
            "r={nonce},s={},i={}",
            wire::base64::encode(&salt.salt),
            salt.iterations
        );
        let awaiting = AwaitingProof {
            name: self.name,
            flag: self.flag,
            header: self.header,
            bare: self.bare,
            server_first: server_first.clone(),
            nonce,
            bindings: self.bindings,
        };
        (server_first, awaiting)
    }
}

impl AwaitingProof {
    pub(crate) fn handle(self, message: &[u8]) -> Result<Proof, Failure> {
        let last = ClientFinal::parse(message).ok_or(Failure::Malformed)?;
        if last.nonce != self.nonce || last.proof.len() != self.name.hash.output_bytes() {
            return Err(Failure::Malformed);
        }
        self.check_binding(&last.binding)?;
        let auth_message = [
            self.bare.as_str(),
            self.server_first.as_str(),
            last.without_proof,
        ]
        .join(",");
        Ok(Proof {
            hash: self.name.hash,
            login: self.name.login,
            authorization: self.name.authorization,
            auth_message,
            proof: last.proof,
        })
    }

    /// RFC 5802 §5.1: `c=` repeats the header, so that nobody can change it on
    /// its way, and the binding's data follow.
    fn check_binding(&self, input: &[u8]) -> Result<(), Failure> {
        let data = input
            .strip_prefix(self.header.as_bytes())
            .ok_or(Failure::Binding)?;
        let matches = match self.flag {
            Flag::None | Flag::NotOffered => data.is_empty(),
            Flag::Bind(None) => false,
            Flag::Bind(Some(kind)) => self
                .bindings
                .iter()
                .flat_map(|all| all.iter())
                .any(|binding| binding.matches(kind, data)),
        };
        if matches {
            Ok(())
        } else {
            Err(Failure::Binding)
        }
    }
}
