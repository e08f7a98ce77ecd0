//! What became of mail, for programs that ask: `[[subscription]]`.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use webhooks::FetchError;

use super::{Door, Refusal, asked, granted, refusal};
use crate::control::FailureKind;
use crate::http::Peer;
use crate::limits::{API_WAIT_MAX, EVENTS};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fetching {
    /// The page that it has heard.
    heard: Option<String>,
    max: Option<usize>,
    #[serde(default)]
    wait_seconds: u64,
}

pub(super) async fn fetch(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let (_, asked): (_, Fetching) = asked(&door, &peer, &headers, &body).await?;
    let wait = Duration::from_secs(asked.wait_seconds).min(API_WAIT_MAX);
    let max = asked.max.unwrap_or(EVENTS);
    let _busy = peer.busy();
    let webhooks = &door.api.webhooks;
    let heard = asked.heard.as_deref();
    match webhooks.fetch(&name, heard, (max, wait)).await {
        Ok(fetched) => Ok(granted(
            &json!({ "page": fetched.page, "events": fetched.events }),
        )),
        Err(error) => {
            let (status, kind) = match &error {
                FetchError::NoSubscription(_) => (StatusCode::NOT_FOUND, FailureKind::NotFound),
                FetchError::NotInHand(_) => (StatusCode::CONFLICT, FailureKind::Conflict),
                FetchError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, FailureKind::Failed),
            };
            Err(refusal(status, kind, &error.to_string()))
        }
    }
}
