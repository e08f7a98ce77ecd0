//! Messages for programs that come for them: transports of the kind `worker`.
//!
//! A claim, the message, more time, and what became of it. docs/api.md is the contract.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gateway::{Said, Settled, Verdict, WorkError};
use serde::Deserialize;
use serde_json::json;

use super::octets::Octets;
use super::{Door, Refusal, admitted, asked, granted, refusal};
use crate::control::FailureKind;
use crate::http::Peer;
use crate::limits::{API_WAIT_MAX, DEFERRED_MAX, LEASE, LEASE_MAX};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claiming {
    transport: String,
    #[serde(default)]
    wait_seconds: u64,
    lease_seconds: Option<u64>,
    #[serde(default)]
    worker: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Extending {
    lease_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settling {
    outcome: Option<Word>,
    #[serde(default)]
    text: String,
    status: Option<String>,
    retry_seconds: Option<u64>,
    #[serde(default)]
    recipients: BTreeMap<String, OfOne>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfOne {
    outcome: Word,
    #[serde(default)]
    text: String,
    status: Option<String>,
    retry_seconds: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Delivered,
    Deferred,
    Failed,
}

pub(super) async fn claim(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let (who, asked): (_, Claiming) = asked(&door, &peer, &headers, &body).await?;
    let lease = lease(asked.lease_seconds)?;
    let worker = match asked.worker.as_str() {
        "" => who.address.to_string(),
        named => named.to_owned(),
    };
    let wait = Duration::from_secs(asked.wait_seconds).min(API_WAIT_MAX);
    let _busy = peer.busy();
    let workers = &door.api.workers;
    let claiming = workers.claim(&asked.transport, &worker, (wait, lease));
    let Some(work) = claiming.await.map_err(|error| refused(&error))? else {
        return Ok(granted(&json!(null)));
    };
    let transport = asked.transport;
    tracing::info!(id = work.message, transport, worker, "claimed");
    Ok(granted(&json!({
        "claim": work.claim,
        "message": work.message,
        "sender": work.sender,
        "recipients": work.recipients,
        "size": work.size,
        "lease_seconds": work.lease.as_secs(),
    })))
}

pub(super) async fn message(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(claim): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    const HEADERS: [(header::HeaderName, &str); 2] = [
        (header::CONTENT_TYPE, "message/rfc822"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    admitted(&door, peer.ip(), &headers).await?;
    let workers = door.api.workers.clone();
    let size = workers.size(&claim).map_err(|error| refused(&error))?;
    let octets = Octets::new(workers, claim, size, peer.busy());
    Ok((HEADERS, Body::new(octets)).into_response())
}

pub(super) async fn extend(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(claim): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let (_, asked): (_, Extending) = asked(&door, &peer, &headers, &body).await?;
    let extending = door.api.workers.extend(&claim, lease(asked.lease_seconds)?);
    let lease = extending.await.map_err(|error| refused(&error))?;
    Ok(granted(&json!({ "lease_seconds": lease.as_secs() })))
}

pub(super) async fn settle(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(claim): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let (_, said): (_, Settling) = asked(&door, &peer, &headers, &body).await?;
    let settling = door.api.workers.settle(&claim, settled(said)?);
    settling.await.map_err(|error| refused(&error))?;
    Ok(granted(&json!({})))
}

fn lease(seconds: Option<u64>) -> Result<Duration, Refusal> {
    let lease = seconds.map_or(LEASE, Duration::from_secs);
    if lease.is_zero() || lease > LEASE_MAX {
        let most = LEASE_MAX.as_secs();
        return Err(usage(&format!("lease_seconds is between 1 and {most}")));
    }
    Ok(lease)
}

fn settled(said: Settling) -> Result<Settled, Refusal> {
    let others = said.outcome.map(|outcome| {
        verdict(&OfOne {
            outcome,
            text: said.text,
            status: said.status,
            retry_seconds: said.retry_seconds,
        })
    });
    let mut each = BTreeMap::new();
    for (recipient, of_one) in said.recipients {
        each.insert(recipient, verdict(&of_one)?);
    }
    Ok(Settled {
        each,
        others: others.transpose()?,
    })
}

fn verdict(said: &OfOne) -> Result<Said, Refusal> {
    let verdict = match (said.outcome, said.retry_seconds, said.status.as_deref()) {
        (Word::Delivered, None, None) => Verdict::Delivered,
        (Word::Deferred, seconds, None) => {
            let wait = seconds.map(Duration::from_secs);
            Verdict::Deferred(wait.map(|wait| wait.min(DEFERRED_MAX)))
        }
        // RFC 3463 §3.1: 5.3.0, something about the system it is for.
        (Word::Failed, None, None) => Verdict::Failed((3, 0)),
        (Word::Failed, None, Some(status)) => match failure(status) {
            Some(status) => Verdict::Failed(status),
            None => return Err(usage("status is one of RFC 3463, such as \"5.1.1\"")),
        },
        (_, Some(_), _) => return Err(usage("retry_seconds goes with \"deferred\"")),
        (_, _, Some(_)) => return Err(usage("status goes with \"failed\"")),
    };
    Ok(Said {
        verdict,
        text: said.text.clone(),
    })
}

/// RFC 3463 §2: subject and detail of a permanent failure have three digits at most.
fn failure(status: &str) -> Option<(u16, u16)> {
    let (subject, detail) = status.strip_prefix("5.")?.split_once('.')?;
    let number = |text: &str| {
        let digits = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|_| digits)
    };
    Some((number(subject)?, number(detail)?))
}

fn usage(text: &str) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, FailureKind::Usage, text)
}

fn refused(error: &WorkError) -> Refusal {
    let (status, kind) = match error {
        WorkError::NoTransport(_) | WorkError::Over => {
            (StatusCode::NOT_FOUND, FailureKind::NotFound)
        }
        WorkError::Crowd => (StatusCode::TOO_MANY_REQUESTS, FailureKind::Failed),
        WorkError::Stranger(_) | WorkError::Forgotten(_) => {
            (StatusCode::BAD_REQUEST, FailureKind::Usage)
        }
        WorkError::Unreadable(_) => (StatusCode::INTERNAL_SERVER_ERROR, FailureKind::Failed),
    };
    refusal(status, kind, &error.to_string())
}
