//! What NOTIFY can ask for (RFC 5465). What is told when is the server's business.

use crate::fetch::FetchItem;
use crate::search::SearchSource;

/// NOTIFY SET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifySet {
    /// STATUS: how things stand is told first.
    pub status: bool,
    /// At least one; for a mailbox the first that names it counts. Checked as RFC 5465 §5 and §6.1 ask.
    pub groups: Vec<EventGroup>,
}

/// Mailboxes, and what of them is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventGroup {
    /// Which mailboxes.
    pub filter: NotifyFilter,
    /// None of them for NONE.
    pub events: Vec<NotifyEvent>,
}

/// `filter-mailboxes`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyFilter {
    /// SELECTED: what happens there is told as it happens.
    Selected,
    /// SELECTED-DELAYED: EXPUNGE waits for a command that permits it.
    SelectedDelayed,
    /// Those that are not selected. Never [`SearchSource::Selected`].
    Others(SearchSource),
}

/// `event`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyEvent {
    /// MessageNew, with what of each new message in the selected mailbox is told.
    MessageNew(Vec<FetchItem>),
    /// MessageExpunge
    MessageExpunge,
    /// FlagChange
    FlagChange,
    /// MailboxName
    MailboxName,
    /// SubscriptionChange
    SubscriptionChange,
    /// MailboxMetadataChange
    MailboxMetadataChange,
    /// ServerMetadataChange
    ServerMetadataChange,
    /// AnnotationChange, and any other: NO [BADEVENT].
    Unsupported,
}

impl NotifyEvent {
    /// The events that are there.
    pub const NAMES: &'static str = "MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange \
                                     MailboxMetadataChange ServerMetadataChange";
}
