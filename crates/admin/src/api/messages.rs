//! Messages that programs put in.
//!
//! `POST /api/v1/messages?sender=…&recipient=…` with the message as the body. Who asks sends as by
//! SMTP, with the same rights and limits. docs/api.md is the contract.

use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use directory::Identity;
use envelope::{Address, Priority, Reply};
use http_body::Body as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Door, Refusal, answer, granted, known, refusal};
use crate::control::FailureKind;
use crate::http::Peer;
use crate::limits::{QUERY_BYTES_MAX, RECIPIENTS_MAX};

/// A future of a port.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where messages go in.
pub trait Submissions: Send + Sync {
    /// Submits a message whose octets come through `octets`, which ends with it; what was said of
    /// each recipient, in their order.
    ///
    /// # Cancel safety
    /// When it is dropped before the last octet nothing is accepted.
    fn submit(
        &self,
        submitted: Submitted,
        octets: mpsc::Receiver<io::Result<Bytes>>,
    ) -> BoxFuture<'_, Result<Vec<Reply>, NotSubmitted>>;
}

/// A message's way. `smtp_server::Submitted` says the same to its own callers: each face has the
/// words of its own port, for a floor below both has no use for them.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// Who has logged in.
    pub identity: Identity,
    /// From where.
    pub client: IpAddr,
    /// The reverse path.
    pub sender: Address,
    /// At least one.
    pub recipients: Vec<Address>,
    /// The priority that is asked for.
    pub priority: Option<Priority>,
}

/// Why nothing was said of recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSubmitted {
    /// It is never taken like this.
    Refused(String),
    /// Not now.
    Later(String),
}

pub(super) async fn submit(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let identity = known(&door, peer.ip(), &headers).await?;
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("message/rfc822") && !kind.eq_ignore_ascii_case("message/global")
    {
        let (status, text) = (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "say Content-Type: message/rfc822",
        );
        return Err(refusal(status, FailureKind::Usage, text));
    }
    let submitted = way(&query.unwrap_or_default(), identity, peer.ip());
    let submitted =
        submitted.map_err(|text| refusal(StatusCode::BAD_REQUEST, FailureKind::Usage, &text))?;
    let recipients = submitted.recipients.clone();
    let account = submitted.identity.address.clone();
    let _busy = peer.busy();
    let (sender, octets) = mpsc::channel(1);
    let submitting = door.api.submissions.submit(submitted, octets);
    let (said, ()) = tokio::join!(submitting, feed(body, sender));
    match said {
        Ok(replies) => {
            tracing::info!(%account, client = %peer.ip(), "a message was put in over HTTP");
            Ok(told(&recipients, &replies))
        }
        Err(NotSubmitted::Refused(text)) => Err(refusal(
            StatusCode::UNPROCESSABLE_ENTITY,
            FailureKind::Usage,
            &text,
        )),
        Err(NotSubmitted::Later(text)) => Err(refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::Failed,
            &text,
        )),
    }
}

/// Who sends to whom: `sender`, which is who has logged in unless it is said, `recipient` as often
/// as there are some, `priority`.
fn way(query: &str, identity: Identity, client: IpAddr) -> Result<Submitted, String> {
    if query.len() > QUERY_BYTES_MAX {
        return Err("too many recipients at once".to_owned());
    }
    let mut submitted = Submitted {
        sender: identity.address.clone(),
        identity,
        client,
        recipients: Vec::new(),
        priority: None,
    };
    let address = |text: &str| {
        Address::parse(text).map_err(|error| format!("{text:?} is no mail address: {error}"))
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "sender" => submitted.sender = address(&value)?,
            "recipient" => submitted.recipients.push(address(&value)?),
            "priority" => {
                let priority = Priority::parse(&value);
                let priority = priority.ok_or("priority is a number from -9 to 9")?;
                submitted.priority = Some(priority);
            }
            other => {
                return Err(format!(
                    "there is no {other:?}: sender, recipient, priority"
                ));
            }
        }
    }
    match submitted.recipients.len() {
        0 => Err("it has no recipient: ?recipient=bea@example.org".to_owned()),
        many if many > RECIPIENTS_MAX => {
            Err(format!("more than {RECIPIENTS_MAX} recipients at once"))
        }
        _ => Ok(submitted),
    }
}

/// Hands on what the client sends; the end only if it has sent all.
async fn feed(mut body: Body, octets: mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let part = match frame {
            None => return,
            // Trailers are of no interest.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(part) => Ok(part),
                Err(_) => continue,
            },
            Some(Err(error)) => Err(io::Error::other(error)),
        };
        let failed = part.is_err();
        // Nobody takes any more of it where it was refused.
        if octets.send(part).await.is_err() || failed {
            return;
        }
    }
}

fn told(recipients: &[Address], replies: &[Reply]) -> Response {
    let each = recipients.iter().zip(replies).map(|(recipient, reply)| {
        json!({
            "recipient": recipient.to_string(),
            "accepted": reply.is_positive(),
            "reply": reply.to_line(),
        })
    });
    let each: Vec<Value> = each.collect();
    if let Some(accepted) = replies.iter().find(|reply| reply.is_positive()) {
        let text = accepted.text();
        let message = text.rsplit(' ').next();
        return granted(&json!({ "message": message, "recipients": each }));
    }
    let first = replies.iter().find(|reply| reply.is_temporary());
    let (status, kind) = match first {
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, FailureKind::Failed),
        None => (StatusCode::UNPROCESSABLE_ENTITY, FailureKind::Usage),
    };
    let message = first.or(replies.first()).map(Reply::to_line);
    let error = json!({ "kind": kind, "message": message, "recipients": each });
    answer(status, &json!({ "error": error }))
}
