//! One attempt: lease, deliver, judge, commit.
//!
//! What became of the recipients and what the sender is told of it are one
//! commit. Not here: recipients of our own (`local`). Until it is durable the lease is held; if the process ends before,
//! the attempt is made again.

use std::sync::Arc;
use std::time::Duration;

use blobs::StagedBlob;
use deliver::{Outcome, Reason, Report};
use engine::{Batch, SubmitError};
use envelope::{Domain, Envelope, Recipient};
use observe::Route;
use queue::{Attempt, Change, Lease, NewMessage, QueueError, Settlement};
use queue_model::{Age, Class, Event, Happening, Presence, Signal, Verdict, judge, report_for};

use crate::body::Body;
use crate::dispatcher::{Core, Outbound};
use crate::limiter::Seat;
use crate::limits::{ATTEMPT_TIMEOUT, DEMO_WAIT_MS};
use crate::local;
use crate::refused;
use crate::report::{self, Told};
use crate::scan;
use crate::site::Site;
use crate::sites::{Seen, Unit};
use crate::wishes;

/// A full disk holds an outcome up; how long until the next try to write it.
const FULL_PAUSE: Duration = Duration::from_secs(5);
/// Until what can wait for its report is attempted again.
const REPORT_WAIT: Duration = Duration::from_secs(300);
/// How often a report is written again before its attempt is given back.
const REPORT_TRIES_MAX: u32 = 100;
/// How often an outcome is staged again on what another commit has made of the message.
const CONFLICTS_MAX: u32 = 100;

/// Makes one attempt; what it has shown about the site.
pub(crate) async fn attempt(
    core: &Core,
    unit: &Unit,
    seat: Option<Seat>,
) -> Result<Seen, QueueError> {
    let Ok(seat) = seated(core, unit, seat).await else {
        return Ok(Seen::NoRoom);
    };
    // One that a person has sent another way meanwhile is not here any more.
    let wants = |domain: &Domain, way: Option<&str>| {
        let lines = unit.dues.iter().map(|due| &due.line);
        let mut of_domain = lines.filter(|line| line.domain == *domain);
        of_domain.any(|line| line.way.as_deref() == way)
    };
    let Some(lease) = core.ports.queue.lease(&unit.dues[0], wants).await? else {
        return Ok(Seen::Nothing);
    };
    let now_ms = core.ports.runtime.now().unix_ms;
    if let Some((became, how)) = wishes::overdue(&lease, now_ms) {
        settle(core, &lease, became, &how).await?;
        return Ok(Seen::Nothing);
    }
    let is_local = unit.site == Site::Local;
    if let Some(reply) = refused::refusal(&lease) {
        refused::refuse(core, &lease, reply, is_local).await?;
        return Ok(Seen::Nothing);
    }
    if is_local {
        local::deliver(core, &lease).await?;
        return Ok(Seen::Up);
    }
    let waiting = match (core.options.outbound, unit.closed_until) {
        (Outbound::Hold, _) => Some(hold_all(&lease)),
        (Outbound::Demo, _) => Some(demo(core, &lease)),
        (_, Some(until)) => {
            let text = format!("{} could not be reached lately", unit.site);
            let domain = &unit.dues[0].line.domain;
            let age_ms = now_ms.saturating_sub(lease.message().counts_from_ms());
            let patience_ms = core.schedule(domain).patience_ms(age_ms, core.seed());
            let end_ms = core.ends_ms(lease.message(), domain);
            // When the site opens before, it is brought forward. At the end of its
            // time it is looked at, whatever the site.
            let not_before_ms = now_ms + patience_ms;
            let not_before_ms = not_before_ms.max(until.unix_ms).min(end_ms.max(now_ms));
            let not_before_ms = Some(not_before_ms);
            let outcome = Outcome::temporary((4, 4, 1), &text);
            let became = lease
                .recipients()
                .map(|(place, ..)| Became::here(place, outcome.clone()))
                .collect();
            let how = How {
                not_before_ms,
                is_overtaken: is_overtaken(core, unit).await,
                ..How::without_attempt(false)
            };
            settle(core, &lease, became, &how).await?;
            return Ok(Seen::Nothing);
        }
        _ => None,
    };
    if let Some(settlements) = waiting {
        let change = lease.change(settlements, None).await?;
        commit(core, change, None).await?;
        return Ok(Seen::Nothing);
    }
    remote(core, unit, &lease, seat.as_ref()).await
}

/// There is no seat now.
struct NoSeat;

/// A seat of the party whose servers the site has, if that can be said. It is found out
/// before anything is claimed, so that who has to wait has cost nothing.
async fn seated(core: &Core, unit: &Unit, seat: Option<Seat>) -> Result<Option<Seat>, NoSeat> {
    let sends = matches!(
        core.options.outbound,
        Outbound::Direct | Outbound::SmartHost
    );
    if seat.is_some() || unit.site == Site::Local || unit.closed_until.is_some() || !sends {
        return Ok(seat);
    }
    let limiter = &core.ports.limiter;
    let party = match limiter.party_of(&unit.site) {
        Some(party) => party,
        None => {
            let Some(party) = core.ports.transport.party(&unit.site).await else {
                return Ok(None);
            };
            limiter.learn(&unit.site, &party);
            party
        }
    };
    limiter.sit(&party).map(Some).ok_or(NoSeat)
}

fn all(lease: &Lease, event: Event, reason: &str) -> Vec<Settlement> {
    let settlement = |place| Settlement {
        place,
        event,
        counts: false,
        tells_delay: false,
        reason: Some(reason.to_owned()),
    };
    lease
        .recipients()
        .map(|(place, ..)| settlement(place))
        .collect()
}

fn hold_all(lease: &Lease) -> Vec<Settlement> {
    all(
        lease,
        Event::Hold,
        "mail for elsewhere is held (outbound.mode)",
    )
}

/// It waits without an end: no attempt is made that could fail, and a smart
/// host that is set later gets it.
fn demo(core: &Core, lease: &Lease) -> Vec<Settlement> {
    let until_ms = core.ports.runtime.now().unix_ms + DEMO_WAIT_MS;
    all(lease, Event::PutOff { until_ms }, "demo")
}

async fn remote(
    core: &Core,
    unit: &Unit,
    lease: &Lease,
    seat: Option<&Seat>,
) -> Result<Seen, QueueError> {
    let (places, recipients): (Vec<usize>, Vec<Recipient>) = lease
        .recipients()
        .map(|(place, recipient, _)| (place, recipient.clone()))
        .unzip();
    let mut envelope = Envelope {
        recipients,
        ..without_recipients(&lease.message().envelope)
    };
    let queue = &core.ports.queue;
    // By a transport, it may have been another standing order that chose it.
    let by_order = matches!(unit.site, Site::Named(_)) || !is_overtaken(core, unit).await;
    let is_drained = queue.drain_known().is_some() && by_order;
    // Mail whose hold is not over goes on only while the queue is emptied, to who holds it
    // further, or when a person has said so.
    if !is_drained {
        envelope.hold_until_ms = None;
    }
    let body = Body(lease);
    let delivering = core.ports.transport.deliver(&unit.site, &envelope, &body);
    let runtime = &core.ports.runtime;
    let report = match runtime.timeout(ATTEMPT_TIMEOUT, delivering).await {
        Ok(report) => report,
        Err(_) => {
            let outcome = Outcome::temporary((4, 4, 2), "the attempt took too long");
            Report::all(outcome, places.len())
        }
    };
    if report.no_room {
        // Nothing was said of the message: it is due as before.
        return Ok(Seen::NoRoom);
    }
    let seen = seen(&report, seat);
    let now_ms = runtime.now().unix_ms;
    let asked_ms = report.retry_after.map(|wait| {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        now_ms.saturating_add(wait_ms)
    });
    // What was to be held there waits for its time here, if the order has gone meanwhile.
    let held_ms = envelope.hold_until_ms.filter(|until_ms| *until_ms > now_ms);
    let asked_ms = match queue.drain_known() {
        None => asked_ms.max(held_ms),
        Some(_) => asked_ms,
    };
    let mut outcomes = report.outcomes.into_iter();
    let mut reported_there = report.reported_there.into_iter();
    let missing = || Outcome::temporary((4, 3, 0), "the transport told no outcome");
    let became = places.into_iter().map(|place| Became {
        place,
        outcome: match outcomes.next().unwrap_or_else(missing) {
            Outcome::Permanent(reason) if is_drained => Outcome::Temporary(not_for_good(reason)),
            outcome => outcome,
        },
        reported_there: reported_there.next().unwrap_or(false),
    });
    let became: Vec<Became> = became.collect();
    let host = Some(report.host.unwrap_or_else(|| unit.site.to_string()));
    let how = How {
        counts: true,
        not_before_ms: None,
        asked_ms,
        is_overtaken: is_overtaken(core, unit).await,
        host,
        local: false,
    };
    settle(core, lease, became, &how).await?;
    Ok(seen)
}

/// The queue is being emptied by another way than the one that was chosen for this before.
async fn is_overtaken(core: &Core, unit: &Unit) -> bool {
    core.ports.queue.drain_known().is_some()
        && scan::route(core, &unit.dues[0].line).await.as_ref() != Some(&unit.site)
}

/// What the machine refuses that the queue is emptied into may go its own way later: nobody
/// is told that it failed because of a mistake of ours.
fn not_for_good(mut reason: Reason) -> Reason {
    reason.reply.code = 451;
    if let Some(status) = &mut reason.reply.enhanced {
        status.class = 4;
    }
    reason
}

fn without_recipients(envelope: &Envelope) -> Envelope {
    Envelope {
        body: envelope.body,
        smtputf8: envelope.smtputf8,
        ret: envelope.ret,
        envid: envelope.envid.clone(),
        tls: envelope.tls,
        hold_until_ms: envelope.hold_until_ms,
        deliver_by: envelope.deliver_by,
        priority: envelope.priority,
        ..Envelope::new(envelope.reverse_path.clone())
    }
}

/// A site is down when nobody there got a word in, or said "not now" to the connection.
/// Who takes other mail of ours, or took some lately, is not down for that.
fn seen(report: &Report, seat: Option<&Seat>) -> Seen {
    let down = |outcome: &Outcome| match outcome {
        Outcome::Temporary(reason) => {
            let status = reason.reply.enhanced;
            let network = status.is_some_and(|status| status.subject == 4);
            (reason.said_by.is_none() && network) || reason.reply.code == 421
        }
        Outcome::Delivered(_) | Outcome::Permanent(_) => false,
    };
    let all_down = !report.outcomes.is_empty() && report.outcomes.iter().all(down);
    if !all_down {
        return Seen::Up;
    }
    let unwanted = |outcome: &Outcome| Signal::of(outcome.reply()) == Signal::Reputation;
    match seat {
        Some(seat) if !report.outcomes.iter().all(unwanted) => match seat.nothing_through() {
            Presence::There => Seen::Nothing,
            Presence::Away => Seen::Down,
        },
        _ => Seen::Down,
    }
}

/// What became of a recipient.
pub(crate) struct Became {
    pub(crate) place: usize,
    pub(crate) outcome: Outcome,
    /// The server that took it tells the sender.
    reported_there: bool,
}

impl Became {
    pub(crate) fn here(place: usize, outcome: Outcome) -> Self {
        Self {
            place,
            outcome,
            reported_there: false,
        }
    }
}

/// How the outcomes came about.
pub(crate) struct How {
    /// An attempt was made.
    pub(crate) counts: bool,
    /// No attempt was made, and none will be before this time.
    pub(crate) not_before_ms: Option<u64>,
    /// Whoever was spoken to asked for no other one before this time.
    pub(crate) asked_ms: Option<u64>,
    /// All that waits goes another way meanwhile: what was said by this one makes nothing wait.
    pub(crate) is_overtaken: bool,
    /// Whom we spoke to.
    pub(crate) host: Option<String>,
    pub(crate) local: bool,
}

impl How {
    /// Nobody was spoken to; the recipients are people here or elsewhere.
    pub(crate) fn without_attempt(local: bool) -> Self {
        Self {
            counts: false,
            not_before_ms: None,
            asked_ms: None,
            is_overtaken: false,
            host: None,
            local,
        }
    }
}

/// Judges the outcomes, tells the sender what is to be told, commits.
pub(crate) async fn settle(
    core: &Core,
    lease: &Lease,
    became: Vec<Became>,
    how: &How,
) -> Result<(), QueueError> {
    let now_ms = core.ports.runtime.now().unix_ms;
    let mut settlements = Vec::with_capacity(became.len());
    let mut told = Vec::new();
    let mut history = Attempt {
        at_ms: now_ms,
        site: how.host.clone().unwrap_or_default(),
        delivered: 0,
        deferred: 0,
        failed: 0,
        reason: None,
    };
    for Became {
        place,
        outcome,
        reported_there,
    } in became
    {
        let Some((_, recipient, known)) = lease.recipients().find(|(at, ..)| *at == place) else {
            continue;
        };
        let attempts = known.attempts + u32::from(how.counts);
        let outcome = wishes::in_time(lease.message(), outcome, now_ms);
        let domain = recipient.address.domain();
        let verdict = verdict(core, lease, domain, attempts, &outcome);
        let event = match verdict {
            Verdict::Done => Event::Deliver,
            Verdict::Retry { .. } if how.is_overtaken => Event::PutOff { until_ms: now_ms },
            // Without an attempt there is no step to wait: it goes when the site opens.
            Verdict::Retry { at_ms } => Event::PutOff {
                until_ms: not_before(core, lease, domain, how, at_ms),
            },
            Verdict::Refused | Verdict::Expired => Event::GiveUp,
        };
        let happening = match verdict {
            Verdict::Done if how.local => Happening::Delivered,
            Verdict::Done => Happening::Relayed {
                reports: reported_there,
            },
            Verdict::Refused | Verdict::Expired => Happening::Failed,
            Verdict::Retry { .. } => waiting(core, lease, known.delay_told),
        };
        let action = report_for(
            &lease.message().envelope.reverse_path,
            recipient.notify,
            happening,
        );
        if let Some(action) = action {
            told.push(Told {
                place,
                action,
                expired: verdict == Verdict::Expired,
                outcome: outcome.clone(),
            });
        }
        let reason = reason_of(&outcome);
        count(core, &mut history, event, &reason, how);
        log(lease, recipient, event, &reason, how);
        settlements.push(Settlement {
            place,
            event,
            counts: how.counts,
            tells_delay: action == Some(queue_model::Action::Delayed),
            reason: Some(reason),
        });
    }
    let report = prepare(core, lease, &mut settlements, &told).await?;
    let change = lease
        .change(settlements, how.counts.then_some(history))
        .await?;
    commit(core, change, report).await
}

/// The report that goes with the settlements. While it cannot be written they
/// are not committed as they are: what can wait is put off, to be told with
/// another attempt; what was delivered is held up, because another attempt would
/// be another copy.
async fn prepare(
    core: &Core,
    lease: &Lease,
    settlements: &mut [Settlement],
    told: &[Told],
) -> Result<Option<Prepared>, QueueError> {
    let mut tries = 0;
    loop {
        let error = match report::prepare(core, lease, told).await {
            Ok(report) => return Ok(report),
            Err(error) => error,
        };
        tracing::error!(id = %lease.id(), %error, "the sender's report could not be written");
        if told.iter().all(Told::can_wait) {
            let until_ms = core.ports.runtime.now().after(REPORT_WAIT).unix_ms;
            for told in told {
                let settlement = settlements.iter_mut().find(|s| s.place == told.place);
                if let Some(settlement) = settlement {
                    put_off(settlement, until_ms);
                }
            }
            return Ok(None);
        }
        tries += 1;
        if tries >= REPORT_TRIES_MAX {
            return Err(error);
        }
        core.ports.runtime.sleep(FULL_PAUSE).await;
    }
}

fn put_off(settlement: &mut Settlement, until_ms: u64) {
    settlement.tells_delay = false;
    if settlement.event == Event::GiveUp {
        settlement.event = Event::PutOff { until_ms };
        let said = settlement.reason.take().unwrap_or_default();
        settlement.reason = Some(format!(
            "the report to the sender cannot be written: {said}"
        ));
    }
}

/// What follows from the outcome of a recipient's `attempts`th attempt.
pub(crate) fn verdict(
    core: &Core,
    lease: &Lease,
    domain: &Domain,
    attempts: u32,
    outcome: &Outcome,
) -> Verdict {
    let age = Age {
        arrived_ms: lease.message().counts_from_ms(),
        now_ms: core.ports.runtime.now().unix_ms,
        attempts,
        is_report: lease.message().is_report(),
    };
    let schedule = core.schedule(domain);
    let verdict = judge(class_of(outcome), age, &schedule, core.seed());
    wishes::clip(lease.message(), verdict, age.now_ms)
}

/// When a recipient is attempted again; where none was made, not before the site opens; where
/// somebody asked for a longer wait, not before that is over or the lifetime ends.
fn not_before(core: &Core, lease: &Lease, domain: &Domain, how: &How, at_ms: u64) -> u64 {
    let now_ms = core.ports.runtime.now().unix_ms;
    let asked_ms = how.asked_ms.map(|asked_ms| {
        let end_ms = core.ends_ms(lease.message(), domain);
        asked_ms.min(end_ms).max(at_ms)
    });
    let Some(not_before_ms) = how.not_before_ms.or(asked_ms) else {
        return at_ms;
    };
    let retry = Verdict::Retry {
        at_ms: not_before_ms,
    };
    match wishes::clip(lease.message(), retry, now_ms) {
        Verdict::Retry { at_ms } => at_ms,
        _ => not_before_ms,
    }
}

fn class_of(outcome: &Outcome) -> Class {
    match outcome {
        Outcome::Delivered(_) => Class::Success,
        Outcome::Temporary(_) => Class::Temporary,
        Outcome::Permanent(_) => Class::Permanent,
    }
}

fn waiting(core: &Core, lease: &Lease, told: bool) -> Happening {
    let now_ms = core.ports.runtime.now().unix_ms;
    Happening::Waiting {
        age_ms: now_ms.saturating_sub(lease.message().counts_from_ms()),
        notice_ms: wishes::notice_ms(lease.message(), core.options.schedule.delay_notice_ms),
        told,
        own_user: lease.message().origin.account.is_some(),
    }
}

pub(crate) fn reason_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered(reply) => reply.to_line(),
        Outcome::Temporary(reason) | Outcome::Permanent(reason) => match &reason.said_by {
            Some(host) => format!("{host}: {}", reason.reply.to_line()),
            None => reason.reply.text(),
        },
    }
}

fn count(core: &Core, history: &mut Attempt, event: Event, reason: &str, how: &How) {
    let route = if how.local {
        Route::Local
    } else {
        Route::Remote
    };
    let (counter, outcome) = match event {
        Event::Deliver => (&mut history.delivered, observe::Outcome::Delivered),
        Event::PutOff { .. } => (&mut history.deferred, observe::Outcome::Deferred),
        _ => (&mut history.failed, observe::Outcome::Failed),
    };
    *counter += 1;
    if history.reason.is_none() || event != Event::Deliver {
        history.reason = Some(reason.into());
    }
    core.ports.metrics.delivery(route, outcome);
}

pub(crate) fn log(lease: &Lease, recipient: &Recipient, event: Event, reason: &str, how: &How) {
    let site = how.host.as_deref().unwrap_or("-");
    tracing::info!(id = %lease.id(), to = %recipient.address, site, reason, "{event}");
}

/// A report that is ready to go into the queue.
pub(crate) struct Prepared {
    pub(crate) blob: StagedBlob,
    pub(crate) message: NewMessage,
}

/// Commits an outcome with the report it causes; returns when both are durable.
/// While the disk is full, or does not take the report, it waits: the outcome
/// must not be forgotten, or what was delivered would be delivered again.
pub(crate) async fn commit(
    core: &Core,
    mut change: Change<'_>,
    mut report: Option<Prepared>,
) -> Result<(), QueueError> {
    let mut conflicts = 0;
    let mut tries = 0;
    loop {
        let mut batch = Batch::new();
        if let Some(prepared) = report {
            let (staged, prepared, outcome) = stage_body(core, batch, prepared).await;
            batch = staged;
            let (shard, message) = (prepared.blob.shard(), prepared.message.clone());
            report = Some(prepared);
            if let Err(error) = outcome {
                tracing::error!(%error, "an outcome waits until its report can be written");
                tries += 1;
                if tries >= REPORT_TRIES_MAX {
                    return Err(error);
                }
                core.ports.runtime.sleep(FULL_PAUSE).await;
                continue;
            }
            core.ports.queue.stage(&mut batch, shard, message);
        }
        change.stage(&mut batch);
        match core.ports.engine.submit(batch) {
            Ok(ticket) => {
                change.submitted(ticket.commit());
                ticket.done().await;
                return Ok(());
            }
            Err(SubmitError::Conflict { winner, .. }) if conflicts < CONFLICTS_MAX => {
                conflicts += 1;
                winner.visible().await;
                change.refresh().await?;
            }
            Err(SubmitError::Full) => core.ports.runtime.sleep(FULL_PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Staging a body may touch the disk.
async fn stage_body(
    core: &Core,
    mut batch: Batch,
    mut prepared: Prepared,
) -> (Batch, Prepared, Result<(), QueueError>) {
    let blobs = Arc::clone(core.ports.blobs());
    let stage = move || {
        let staged = blobs.stage(&mut batch, &mut prepared.blob);
        (batch, prepared, staged.map_err(QueueError::from))
    };
    core.ports.runtime.blocking(stage).await
}
