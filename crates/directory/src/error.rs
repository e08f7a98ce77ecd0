//! What can go wrong in the directory, in the words an operator reads.

use engine::{ReadError, SubmitError};
use envelope::{Address, Domain};
use thiserror::Error;
use wire::codec::DecodeError;

/// Why a look-up or a change did not happen.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// The domain is not one of ours.
    #[error("no domain {0} here; add it with `posthouse domain add {0}`")]
    NoSuchDomain(Domain),
    /// The domain is there already.
    #[error("the domain {0} exists already")]
    DomainExists(Domain),
    /// The domain still has accounts.
    #[error(
        "the domain {0} still has accounts; remove them first, or use --force to remove them with it"
    )]
    DomainInUse(Domain),
    /// An address literal where a domain of our own is needed.
    #[error("{0} is an address literal, not a domain")]
    NotADomain(Domain),
    /// No account has this primary address.
    #[error("no account {0}; `posthouse account list` shows those that exist")]
    NoSuchAccount(Address),
    /// An account or an alias has this address already.
    #[error("the address {0} is in use already")]
    AddressTaken(Address),
    /// No alias has this address.
    #[error("no alias {0}; `posthouse alias list` shows those that exist")]
    NoSuchAlias(Address),
    /// An alias must lead somewhere, and not to more than a message may.
    #[error("an alias leads to one to {max} addresses", max = crate::limits::ALIAS_TARGETS_MAX)]
    AliasTargets,
    /// The password cannot be used.
    #[error("the password is empty, longer than 1,024 bytes, or holds control characters")]
    UnusablePassword,
    /// An application password's label cannot be used.
    #[error("a label is 1 to {max} bytes of text without control characters", max = crate::limits::APP_PASSWORD_LABEL_BYTES_MAX)]
    Label,
    /// The account has an application password of this label.
    #[error("the account has an application password {0:?} already")]
    LabelTaken(String),
    /// The account has no application password of this label.
    #[error(
        "the account has no application password {0:?}; `posthouse account app-password list` shows those that exist"
    )]
    NoSuchAppPassword(String),
    /// It would be good for nothing, or for no time.
    #[error(
        "an application password is good for one service at least, and until a time that is still to come"
    )]
    NeverGood,
    /// Passwords for CRAM-MD5 are turned off.
    #[error(
        "CRAM-MD5 is turned off: such a password could be used by nobody; see `posthouse config explain auth.cram_md5`"
    )]
    NoDigests,
    /// The account has as many as it may.
    #[error("an account has at most {max} application passwords; remove one first", max = crate::limits::APP_PASSWORDS_MAX)]
    TooManyAppPasswords,
    /// Mail in the name of a domain that is not ours is not ours to allow.
    #[error(
        "the domain {0} is not here, so sending in its name can't be granted; `posthouse domain list` shows those that can"
    )]
    NotGrantable(Domain),
    /// The account may send in as many names as it may.
    #[error(
        "an account is granted at most {max} names to send in; remove one first, or grant a whole domain with *@DOMAIN",
        max = crate::limits::SEND_AS_MAX
    )]
    TooManyGrants,
    /// Too many logins wait for a core already.
    #[error("too many passwords are being checked; try again")]
    Busy,
    /// Another system that is asked does not answer.
    #[error("the directory cannot be reached")]
    Unreachable,
    /// Other changes kept coming first.
    #[error("the directory is being changed by others; try again")]
    Contended,
    /// A record is broken.
    #[error("the directory's record {key:?} is damaged: {source}")]
    Damaged {
        /// Its key.
        key: String,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store did not take the change.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The mail side of a new or removed account could not be staged.
    #[error("the account's mail could not be prepared: {0}")]
    Mail(String),
}
