//! Who gets which copy: from decisions to parts, one part per shard.

use crate::facts::Transaction;
use crate::header::HeaderFilter;
use crate::limits::{COMMIT_BYTES_MAX, LOCAL_COPIES_MAX};
use crate::senders::Senders;
use crate::store::Inner;
use crate::traced::Accepted;
use crate::{prefix, reply};
use blobs::StagedBlob;
use bytes::Bytes;
use directory::{Account, Target};
use engine::ShardId;
use envelope::{AccountId, Address, Envelope, Recipient, Reply, TlsWish};
use mailbox_model::Role as MailboxRole;
use mailstore::{InternalDate, QuotaRule};
use policy::Decision;
use queue::Origin;
use queue_model::QueueId;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Record bytes of one copy beside its prefix and the digest.
const COPY_BYTES: usize = 512;

/// The message itself, ready to be staged.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) blob: StagedBlob,
    /// Of the message's parts; empty where nobody here gets it.
    pub(crate) digest: Bytes,
    pub(crate) received_at: InternalDate,
    /// The header's beginning, when somebody is told of a success.
    pub(crate) header: Bytes,
    /// What is remembered of it with its first commit.
    pub(crate) traced: Option<Box<Accepted>>,
}

/// What all copies have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Common {
    pub(crate) id: QueueId,
    /// The envelope without its recipients.
    pub(crate) base: Envelope,
    pub(crate) origin: Origin,
    /// The Received field.
    pub(crate) trace: String,
    /// Each recipient has its own answer.
    pub(crate) each: bool,
    /// All of it waits for a person, for this reason. Then it is one queue entry of
    /// one commit, so the intake record has nothing of it.
    pub(crate) hold: Option<String>,
}

/// One account's copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalCopy {
    pub(crate) account: AccountId,
    /// The account's primary address.
    pub(crate) address: Address,
    /// The recipient that led here first.
    pub(crate) recipient: Recipient,
    /// All recipients that lead here: places in the envelope.
    pub(crate) places: Vec<usize>,
    pub(crate) prefix: Bytes,
    pub(crate) quota: QuotaRule,
    /// Where in the account; in Sent it is the sender's own.
    pub(crate) mailbox: MailboxRole,
    /// Recipients whose sender is told of the delivery.
    pub(crate) told: Vec<Recipient>,
}

impl LocalCopy {
    /// The sender's own, whom the envelope does not name: it is never refused and never
    /// waits, and what becomes of the message does not depend on it.
    pub(crate) fn is_senders_own(&self) -> bool {
        self.mailbox == MailboxRole::Sent
    }
}

/// One message for the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueuedCopy {
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) prefix: Bytes,
    /// What it leaves with in the sender's place.
    pub(crate) sender: Option<Address>,
    /// It is not delivered: its recipients are refused, for this.
    pub(crate) refusal: Option<Reply>,
}

impl QueuedCopy {
    /// As it came, for these.
    pub(crate) fn new(recipients: Vec<Recipient>, prefix: Bytes) -> Self {
        Self {
            recipients,
            prefix,
            sender: None,
            refusal: None,
        }
    }
}

/// What one shard gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Part {
    pub(crate) locals: Vec<LocalCopy>,
    pub(crate) queued: Vec<QueuedCopy>,
    /// Recipients that lead to several others, whose sender is told so.
    pub(crate) expanded: Vec<Recipient>,
}

impl Part {
    /// Copies that differ by nothing but their recipients are one message.
    fn queue(&mut self, copy: QueuedCopy) {
        let is_same = |known: &&mut QueuedCopy| {
            known.prefix == copy.prefix
                && known.sender == copy.sender
                && known.refusal == copy.refusal
        };
        match self.queued.iter_mut().find(is_same) {
            Some(known) => known.recipients.extend(copy.recipients),
            None => self.queued.push(copy),
        }
    }

    /// Leaves all copies to the queue.
    pub(crate) fn queue_copies(&mut self, trace: &str) {
        for copy in std::mem::take(&mut self.locals) {
            if copy.is_senders_own() {
                continue;
            }
            let recipient = led_to(&copy.recipient, &copy.address);
            let prefix = Bytes::from(trace.to_owned());
            self.queue(QueuedCopy::new(vec![recipient], prefix));
        }
    }

    /// Somebody is told of a success.
    pub(crate) fn tells(&self) -> bool {
        !self.expanded.is_empty() || self.locals.iter().any(|copy| !copy.told.is_empty())
    }
}

/// What was looked up for a message, beside where its recipients are.
#[derive(Debug)]
pub(crate) struct Known {
    /// The account that submits it and has its own copy here.
    pub(crate) keeper: Option<Account>,
    pub(crate) senders: Senders,
}

/// What is to be done with a message.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) common: Common,
    pub(crate) home: ShardId,
    pub(crate) parts: BTreeMap<ShardId, Part>,
    /// Recipients that are refused already.
    pub(crate) refused: HashMap<usize, Reply>,
    pub(crate) recipients: usize,
}

impl Plan {
    pub(crate) fn new(
        inner: &Inner,
        transaction: &Transaction,
        id: QueueId,
        trace: &str,
        filter: &HeaderFilter,
        body: &Body,
        known: &Known,
    ) -> Self {
        let facts = &transaction.facts;
        let envelope = &transaction.envelope;
        let mut base = envelope.clone();
        base.recipients = Vec::new();
        // RFC 8689 §5: REQUIRETLS is the stronger one.
        if base.tls == TlsWish::Usual && filter.is_tls_not_needed() {
            base.tls = TlsWish::NotNeeded;
        }
        let held = base.hold_until_ms.is_some() || transaction.hold.is_some();
        let mut plan = Self {
            common: Common {
                id,
                base,
                origin: Origin {
                    account: facts.session.identity.as_ref().map(|who| who.account),
                    session: Some(facts.session_id.clone()),
                    client_ip: Some(facts.session.client_ip),
                },
                trace: trace.to_owned(),
                each: transaction.each,
                hold: transaction.hold.clone(),
            },
            home: body.blob.shard(),
            parts: BTreeMap::new(),
            refused: HashMap::new(),
            recipients: envelope.recipients.len(),
        };
        let mut route = Route {
            inner,
            senders: &known.senders,
            budget: Budget::new(body.digest.len()),
            accounts: HashSet::new(),
            forwards: HashSet::new(),
            relayed: Vec::new(),
            expanded: Vec::new(),
        };
        let decided = envelope.recipients.iter().zip(&transaction.decisions);
        for (place, (recipient, decision)) in decided.enumerate() {
            match decision {
                Decision::Refuse(reply) => {
                    plan.refused.insert(place, reply.clone());
                }
                // What is held is one queue entry, for people here too: where they are
                // is looked up when its time has come.
                Decision::Relay(_) | Decision::Local(_) if held => {
                    if route.forwards.insert(recipient.address.clone()) {
                        route.relayed.push(recipient.clone());
                    }
                }
                Decision::Relay(address) => {
                    let by_rule = transaction.is_by_rule(place, recipient, address);
                    plan.relay(&mut route, recipient, address, by_rule);
                }
                Decision::Local(targets) if is_loop(filter, recipient, targets) => {
                    let refusal = reply::delivered_before(&recipient.address);
                    plan.refused.insert(place, refusal);
                }
                Decision::Local(targets) => plan.add_targets(&mut route, place, recipient, targets),
            }
        }
        let (mut relayed, mut expanded) = (route.relayed, route.expanded);
        let named = transaction.named();
        if named < plan.recipients && (0..named).all(|place| plan.refused.contains_key(&place)) {
            // All whom the client named are refused: nobody else gets it either.
            plan.refuse_unseen(named);
            relayed.clear();
            expanded.clear();
        }
        if !relayed.is_empty() {
            let prefix = Bytes::from(trace.to_owned());
            plan.queue(QueuedCopy::new(relayed, prefix));
        }
        plan.queue_refused(envelope);
        if !expanded.is_empty() {
            plan.parts.entry(plan.home).or_default().expanded = expanded;
        }
        if let Some(keeper) = &known.keeper
            && !plan.parts.is_empty()
        {
            plan.keep_for_sender(inner, keeper, filter.bcc());
        }
        plan
    }

    /// For another organisation's server.
    fn relay(&mut self, route: &mut Route<'_>, from: &Recipient, to: &Address, by_rule: bool) {
        if !route.forwards.insert(to.clone()) {
            return;
        }
        let recipient = led_to(from, to);
        match route.senders.by_rule().filter(|_| by_rule) {
            Some(sender) => {
                let prefix = Bytes::from(self.common.trace.clone());
                self.queue(QueuedCopy {
                    sender: Some(sender),
                    ..QueuedCopy::new(vec![recipient], prefix)
                });
            }
            None => route.relayed.push(recipient),
        }
    }

    /// For people here, or for where their addresses lead.
    fn add_targets(
        &mut self,
        route: &mut Route<'_>,
        place: usize,
        recipient: &Recipient,
        targets: &[Target],
    ) {
        let mut passed_on = recipient.clone();
        if targets.len() > 1 && recipient.notify.on_success() {
            // RFC 3461 §5.2.7.3: "expanded" is the last word about it.
            passed_on.notify = recipient.notify.without_success();
            route.expanded.push(recipient.clone());
        }
        for target in targets {
            self.add_target(route, place, &passed_on, target);
        }
    }

    /// The copy in the sender's own Sent mailbox, with the Bcc that the others do not get.
    fn keep_for_sender(&mut self, inner: &Inner, keeper: &Account, bcc: &[u8]) {
        let shard = inner.ports.engine.shard_of_account(keeper.id.0);
        let prefix = [self.common.trace.as_bytes(), bcc].concat();
        let part = self.parts.entry(shard).or_default();
        part.locals.push(LocalCopy {
            account: keeper.id,
            address: keeper.address.clone(),
            recipient: Recipient::new(keeper.address.clone()),
            places: Vec::new(),
            prefix: prefix.into(),
            quota: QuotaRule::Ignore,
            mailbox: MailboxRole::Sent,
            told: Vec::new(),
        });
    }

    /// Those behind the first `named` are refused as the first of all is; nobody
    /// gets anything.
    fn refuse_unseen(&mut self, named: usize) {
        self.parts.clear();
        let refusal = self.refused.get(&0).cloned();
        let refusal = refusal.unwrap_or_else(reply::local_trouble);
        self.refused
            .extend((named..self.recipients).map(|place| (place, refusal.clone())));
    }

    fn add_target(
        &mut self,
        route: &mut Route<'_>,
        place: usize,
        recipient: &Recipient,
        target: &Target,
    ) {
        match target {
            Target::Forward(address) => {
                if route.forwards.insert(address.clone()) {
                    let prefix =
                        prefix::for_forward(&recipient.address, self.common.trace.as_bytes());
                    let sender = route.senders.through(recipient.address.domain());
                    self.queue(QueuedCopy {
                        sender,
                        ..QueuedCopy::new(vec![led_to(recipient, address)], prefix)
                    });
                }
            }
            Target::Account { id, address, .. } => {
                let shard = route.inner.ports.engine.shard_of_account(id.0);
                if !route.accounts.insert(*id) {
                    let part = self.parts.entry(shard).or_default();
                    if let Some(copy) = part.locals.iter_mut().find(|copy| copy.account == *id) {
                        copy.places.push(place);
                        copy.told.extend(wants_success(recipient));
                    }
                    return;
                }
                let prefix = prefix::for_mailbox(
                    &self.common.base.reverse_path,
                    address,
                    &recipient.address,
                    self.common.trace.as_bytes(),
                );
                if !route.budget.takes(prefix.len()) {
                    let prefix = Bytes::from(self.common.trace.clone());
                    self.queue(QueuedCopy::new(vec![led_to(recipient, address)], prefix));
                    return;
                }
                self.parts.entry(shard).or_default().locals.push(LocalCopy {
                    account: *id,
                    address: address.clone(),
                    recipient: recipient.clone(),
                    places: vec![place],
                    prefix,
                    quota: quota_rule(&recipient.address),
                    mailbox: MailboxRole::Inbox,
                    told: wants_success(recipient).into_iter().collect(),
                });
            }
        }
    }

    /// With one answer for all, a recipient that is refused beside others that
    /// are not goes into the queue with its refusal, and is refused there.
    fn queue_refused(&mut self, envelope: &Envelope) {
        if self.common.each || self.parts.is_empty() || self.refused.is_empty() {
            return;
        }
        let prefix = Bytes::from(self.common.trace.clone());
        let mut refused: Vec<(usize, Reply)> = self.refused.drain().collect();
        refused.sort_unstable_by_key(|&(place, _)| place);
        for (place, refusal) in refused {
            let recipient = envelope.recipients.get(place).cloned();
            let recipients = recipient.into_iter().collect();
            self.queue(QueuedCopy {
                refusal: Some(refusal),
                ..QueuedCopy::new(recipients, prefix.clone())
            });
        }
    }

    fn queue(&mut self, copy: QueuedCopy) {
        self.parts.entry(self.home).or_default().queue(copy);
    }
}

/// What is known while recipients are looked at, one after the other.
struct Route<'a> {
    inner: &'a Inner,
    senders: &'a Senders,
    budget: Budget,
    /// Accounts that have their copy.
    accounts: HashSet<AccountId>,
    /// Addresses elsewhere that have theirs.
    forwards: HashSet<Address>,
    /// Recipients elsewhere that get it as it came.
    relayed: Vec<Recipient>,
    expanded: Vec<Recipient>,
}

/// What one commit may hold.
struct Budget {
    copies: usize,
    bytes: usize,
    digest: usize,
}

impl Budget {
    fn new(digest: usize) -> Self {
        Self {
            copies: 0,
            bytes: 0,
            digest,
        }
    }

    /// The first copy always fits: refusing it is the engine's business.
    fn takes(&mut self, prefix: usize) -> bool {
        let bytes = self.bytes + prefix + self.digest + COPY_BYTES;
        let fits =
            self.copies == 0 || (self.copies < LOCAL_COPIES_MAX && bytes <= COMMIT_BYTES_MAX);
        if fits {
            self.copies += 1;
            self.bytes = bytes;
        }
        fits
    }
}

/// The recipient, if its sender wants to hear of the delivery.
pub(crate) fn wants_success(recipient: &Recipient) -> Option<Recipient> {
    recipient.notify.on_success().then(|| recipient.clone())
}

/// The recipient with the address that it led to; what the sender called it is kept.
pub(crate) fn led_to(recipient: &Recipient, address: &Address) -> Recipient {
    let mut led = recipient.clone();
    if led.address != *address && led.orcpt.is_none() {
        led.orcpt = Some(envelope::OriginalRecipient {
            address_type: if led.address.needs_smtputf8() {
                "utf-8"
            } else {
                "rfc822"
            }
            .into(),
            // RFC 3461 §4.2: what is of the type rfc822 is ASCII.
            address: led.address.to_wire(),
        });
    }
    if led.address != *address {
        // RFC 7293 §5.2: it was known of the address that led here, not of this one.
        led.valid_since = None;
    }
    led.address = address.clone();
    led
}

/// The message names this recipient, or an account behind it, as delivered to before.
fn is_loop(filter: &HeaderFilter, recipient: &Recipient, targets: &[Target]) -> bool {
    let here = |address: &Address| filter.was_delivered_to(&address.to_key());
    here(&recipient.address)
        || targets.iter().any(|target| match target {
            Target::Account { address, .. } => here(address),
            Target::Forward(_) => false,
        })
}

/// Role addresses are never refused for quota (RFC 2142).
pub(crate) fn quota_rule(recipient: &Address) -> QuotaRule {
    match recipient.local().to_key().as_str() {
        "postmaster" | "abuse" => QuotaRule::Ignore,
        _ => QuotaRule::Enforce,
    }
}
