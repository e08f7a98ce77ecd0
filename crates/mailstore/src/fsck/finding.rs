//! What can be wrong with an account.

use crate::keys::{self, Chain};
use crate::lists::ListKind;
use blobs::BlobId;
use engine::check::{Checker, Repair, Report, Severity};
use envelope::AccountId;
use mailbox_model::{EmailId, MailboxId, ModSeq, Uid};
use std::fmt;

/// Something about an account that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// There is no head.
    NoAccount,
    /// The head does not decode.
    HeadDamaged(String),
    /// The head differs from the folded log.
    HeadDiffers,
    /// An entry of the log does not decode or does not fit those before it.
    LogEntry(ModSeq, String),
    /// The base, where the log begins, can't be read.
    Base(String),
    /// The checkpoint can't be read.
    Checkpoint(String),
    /// The checkpoint is not the log folded up to it.
    CheckpointDiffers(ModSeq),
    /// A mailbox's counters are not the sums over its entries.
    Counters(MailboxId),
    /// The usage is not the sum over the emails.
    Usage,
    /// UIDs that are not in order, or not below the mailbox's next.
    UidOrder(MailboxId, Uid),
    /// An entry claims a change that comes after the mailbox's last.
    ModSeqAbove(MailboxId, Uid),
    /// Two mailboxes have one UIDVALIDITY, or it is not below the next.
    UidValidity(MailboxId),
    /// An email is in a mailbox twice.
    Twice(MailboxId, EmailId),
    /// An entry's email has no record.
    NoRecord {
        /// The mailbox.
        mailbox: MailboxId,
        /// The entry.
        uid: Uid,
        /// The email.
        email: EmailId,
    },
    /// An email's record does not decode.
    RecordDamaged(EmailId, String),
    /// An entry's size is not its record's.
    Size(EmailId),
    /// An email's blob is not there.
    NoBlob(EmailId, BlobId),
    /// An email's blob does not know of it.
    NoLink(EmailId, BlobId),
    /// A record of an email that is in no mailbox and was never expunged.
    Orphan(EmailId),
    /// A page of lists differs from the emails' records, or does not decode.
    List(ListKind, u64, String),
    /// The record of access keys does not decode.
    AccessKeys(String),
    /// The record of annotations does not decode.
    Annotations(String),
    /// The record of filter scripts does not decode.
    Scripts(String),
    /// The record of what was retrieved does not decode.
    Retrieved(String),
    /// The record of who may do what does not decode.
    Acls(String),
    /// A record of what a reader has read does not decode.
    SeenBy(Vec<u8>, String),
    /// A record of threads does not decode, or does not fit the others.
    Threads(Vec<u8>, String),
    /// A key that this program does not write.
    StrangeKey(Vec<u8>),
    /// There are more findings than are told.
    More,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAccount => write!(f, "the account has no head"),
            Self::HeadDamaged(error) => write!(f, "the head is damaged: {error}"),
            Self::HeadDiffers => write!(f, "the head differs from the log"),
            Self::LogEntry(modseq, error) => {
                write!(f, "change {modseq} of the log can't be used: {error}")
            }
            Self::Base(error) => write!(f, "the base of the log is damaged: {error}"),
            Self::Checkpoint(error) => write!(f, "the checkpoint is damaged: {error}"),
            Self::CheckpointDiffers(modseq) => {
                write!(f, "the checkpoint at change {modseq} differs from the log")
            }
            Self::Counters(id) => write!(f, "mailbox {id}: the counters are not the sums"),
            Self::Usage => write!(f, "the quota used is not the sum over the emails"),
            Self::UidOrder(mailbox, uid) => {
                write!(f, "mailbox {mailbox}: UID {uid} is out of order")
            }
            Self::ModSeqAbove(mailbox, uid) => write!(
                f,
                "mailbox {mailbox}, UID {uid}: its change comes after the mailbox's last"
            ),
            Self::UidValidity(mailbox) => write!(
                f,
                "mailbox {mailbox}: its UIDVALIDITY is another's or not given yet"
            ),
            Self::Twice(mailbox, email) => {
                write!(f, "mailbox {mailbox}: email {email} is in it twice")
            }
            Self::NoRecord {
                mailbox,
                uid,
                email,
            } => write!(
                f,
                "mailbox {mailbox}, UID {uid}: email {email} has no record"
            ),
            Self::RecordDamaged(email, error) => {
                write!(f, "email {email}: the record is damaged: {error}")
            }
            Self::Size(email) => write!(f, "email {email}: its entry has another size"),
            Self::NoBlob(email, blob) => write!(f, "email {email}: blob {blob} is missing"),
            Self::NoLink(email, blob) => write!(f, "email {email}: blob {blob} has no link to it"),
            Self::Orphan(email) => {
                write!(f, "email {email} is in no mailbox and was never expunged")
            }
            Self::List(_, page, why) => write!(f, "page {page} of the lists is wrong: {why}"),
            Self::Annotations(why) => write!(f, "the annotations are damaged: {why}"),
            Self::Scripts(why) => write!(f, "the filter scripts are damaged: {why}"),
            Self::Retrieved(why) => write!(f, "what was retrieved by POP3 is damaged: {why}"),
            Self::Acls(why) => write!(f, "who may do what with the mailboxes is damaged: {why}"),
            Self::SeenBy(_, why) => write!(f, "what another has read is damaged: {why}"),
            Self::Threads(_, why) => write!(f, "what belongs together is damaged: {why}"),
            Self::AccessKeys(why) => write!(f, "the keys of URLs are damaged: {why}"),
            Self::StrangeKey(key) => write!(
                f,
                "the key {} is none of an account",
                engine::check::key_text(key)
            ),
            Self::More => write!(f, "there is more; repair, then check again"),
        }
    }
}

impl Finding {
    /// The finding as everybody tells it.
    #[must_use]
    pub fn report(&self, account: AccountId) -> Report {
        Report {
            checker: self.checker(),
            severity: self.severity(),
            repair: self.repair(),
            account: Some(account.0),
            key: self.key(account),
            what: self.to_string(),
            means: self.means(),
        }
    }

    /// The promise that is broken.
    fn checker(&self) -> Checker {
        match self {
            Self::NoAccount
            | Self::HeadDamaged(_)
            | Self::LogEntry(..)
            | Self::Base(_)
            | Self::Checkpoint(_)
            | Self::RecordDamaged(..)
            | Self::AccessKeys(_)
            | Self::Acls(_)
            | Self::SeenBy(..)
            | Self::Annotations(_)
            | Self::Scripts(_)
            | Self::Retrieved(_)
            | Self::Threads(..)
            | Self::More => Checker::RecordReadable,
            Self::HeadDiffers | Self::CheckpointDiffers(_) | Self::List(..) => Checker::StateIsLog,
            Self::Counters(_) | Self::Usage | Self::Size(_) => Checker::CountersEqualSums,
            Self::UidOrder(..) | Self::ModSeqAbove(..) => Checker::UidModseqGrow,
            Self::UidValidity(_) => Checker::UidValidityUnique,
            Self::Twice(..) => Checker::NoDuplicate,
            Self::NoRecord { .. } | Self::Orphan(_) => Checker::AcknowledgedMailPresent,
            Self::NoBlob(..) => Checker::BlobPresent,
            Self::NoLink(..) => Checker::BlobOwned,
            Self::StrangeKey(_) => Checker::KeyKnown,
        }
    }

    fn severity(&self) -> Severity {
        match self {
            Self::NoAccount
            | Self::NoRecord { .. }
            | Self::RecordDamaged(..)
            | Self::NoBlob(..) => Severity::Lost,
            Self::HeadDamaged(_)
            | Self::HeadDiffers
            | Self::LogEntry(..)
            | Self::Base(_)
            | Self::Checkpoint(_)
            | Self::CheckpointDiffers(_)
            | Self::Counters(_)
            | Self::Usage
            | Self::UidOrder(..)
            | Self::ModSeqAbove(..)
            | Self::UidValidity(_)
            | Self::Twice(..)
            | Self::Size(_)
            | Self::NoLink(..)
            | Self::Orphan(_)
            | Self::List(..)
            | Self::AccessKeys(_)
            | Self::Acls(_)
            | Self::SeenBy(..)
            | Self::Annotations(_)
            | Self::Scripts(_)
            | Self::Retrieved(_)
            | Self::Threads(..)
            | Self::More => Severity::Wrong,
            Self::StrangeKey(_) => Severity::Leftover,
        }
    }

    /// What a repair does.
    fn repair(&self) -> Repair {
        match self {
            Self::NoAccount
            | Self::HeadDamaged(_)
            | Self::HeadDiffers
            | Self::Base(_)
            | Self::Checkpoint(_)
            | Self::CheckpointDiffers(_)
            | Self::Counters(_)
            | Self::Usage
            | Self::UidOrder(..)
            | Self::ModSeqAbove(..)
            | Self::UidValidity(_)
            | Self::Twice(..)
            | Self::Size(_)
            | Self::NoLink(..)
            | Self::Orphan(_)
            | Self::List(..)
            | Self::Threads(..) => Repair::Rebuild,
            Self::LogEntry(..)
            | Self::NoRecord { .. }
            | Self::RecordDamaged(..)
            | Self::NoBlob(..)
            | Self::AccessKeys(_)
            | Self::Acls(_)
            | Self::SeenBy(..)
            | Self::Annotations(_)
            | Self::Scripts(_)
            | Self::Retrieved(_)
            | Self::StrangeKey(_) => Repair::SetAside,
            Self::More => Repair::None,
        }
    }

    /// What it means for people.
    fn means(&self) -> &'static str {
        match self {
            Self::NoAccount => {
                "nobody can open the mailboxes and mail for the account waits in the queue"
            }
            Self::HeadDamaged(_) | Self::HeadDiffers => {
                "the account can't be opened and its mail waits in the queue"
            }
            Self::LogEntry(..) | Self::Base(_) => {
                "if no checkpoint knows better, the account can't be opened and its mail waits; a repair serves what is left"
            }
            Self::Checkpoint(_) => "nothing is lost; the account takes longer to open",
            Self::CheckpointDiffers(_) => {
                "the mailboxes may show an older or another state than they should"
            }
            Self::Counters(_) | Self::Usage => {
                "numbers of messages or the quota in use are shown wrongly"
            }
            Self::UidOrder(..) | Self::ModSeqAbove(..) => {
                "mail programs may miss or mix up messages"
            }
            Self::UidValidity(_) => {
                "mail programs may mistake one mailbox's messages for another's"
            }
            Self::Twice(..) => "a message is shown twice in one mailbox",
            Self::NoRecord { .. } => {
                "the message is listed but can't be opened; a repair takes it out of the list"
            }
            Self::RecordDamaged(..) => {
                "the message is listed but can't be opened; a repair makes its record again from the body where that is known"
            }
            Self::Size(_) => "a mail program may fail to load the message",
            Self::NoBlob(..) => "the message's text is lost; only what was listed of it is left",
            Self::NoLink(..) => "the message's text could be thrown away although it is needed",
            Self::Orphan(_) => {
                "a message may be stored that nobody sees; a repair shows it in a mailbox of its own, unless another shows the same"
            }
            Self::List(..) => {
                "lists may show senders, subjects or dates wrongly; the messages are whole"
            }
            Self::AccessKeys(_) => {
                "URLs of messages can't be made or used; a repair begins anew, and those that were made are worth nothing"
            }
            Self::Acls(_) => {
                "nobody but the owner gets into the mailboxes; a repair begins anew with nobody, and rights have to be given again"
            }
            Self::SeenBy(..) => {
                "somebody with whom a mailbox is shared can't open it; after a repair all is unread to him"
            }
            Self::Scripts(_) => {
                "no filter runs and none can be stored; a repair begins anew without any"
            }
            Self::Annotations(_) => {
                "notes that mail programs keep of mailboxes can't be read or made; a repair begins anew"
            }
            Self::Retrieved(_) => {
                "retrieved mail does not expire; after a repair its time begins with the next retrieval"
            }
            Self::Threads(..) => {
                "conversations can't be shown; a repair lets them be found anew, and a few may be told apart otherwise"
            }
            Self::StrangeKey(_) => {
                "nothing that this program knows of; was the store used by a newer one?"
            }
            Self::More => "not every finding is listed",
        }
    }

    /// The key that it is about.
    fn key(&self, account: AccountId) -> Option<Vec<u8>> {
        Some(match self {
            Self::NoAccount | Self::HeadDamaged(_) | Self::HeadDiffers | Self::Usage => {
                keys::head(account)
            }
            Self::LogEntry(modseq, _) => keys::log(account, *modseq),
            Self::Base(_) => keys::root(account, Chain::Base),
            Self::Checkpoint(_) | Self::CheckpointDiffers(_) => keys::root(account, Chain::Latest),
            Self::NoRecord { email, .. }
            | Self::RecordDamaged(email, _)
            | Self::Size(email)
            | Self::NoBlob(email, _)
            | Self::NoLink(email, _)
            | Self::Orphan(email)
            | Self::Twice(_, email) => keys::email(account, *email),
            Self::List(kind, page, _) => keys::list(account, *kind, *page),
            Self::AccessKeys(_) => keys::access_keys(account),
            Self::Annotations(_) => keys::annotations(account),
            Self::Scripts(_) => keys::scripts(account),
            Self::Retrieved(_) => keys::retrieved(account),
            Self::Acls(_) => keys::acls(account),
            Self::SeenBy(key, _) | Self::Threads(key, _) | Self::StrangeKey(key) => key.clone(),
            Self::Counters(_)
            | Self::UidOrder(..)
            | Self::ModSeqAbove(..)
            | Self::UidValidity(_)
            | Self::More => return None,
        })
    }
}
