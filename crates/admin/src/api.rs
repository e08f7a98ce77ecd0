//! The HTTP API, for other programs (docs/api.md): the acts of the command line, and the queue
//! as a queue of messages (`work`, `events`, `messages`).
//!
//! `POST /api/v1/acts/NAME` with the act's arguments as a JSON object is answered as over the
//! control socket, `{"ok": …}` or `{"error": {…}}`, with a status that says the same. Who asks
//! is an account that may administer the system, by Basic authentication (RFC 7617), over TLS
//! or from this machine.
//!
//! Not here: what the acts do ([`Commands`]), who may log in (`directory`), what becomes of
//! messages (`gateway`, `webhooks`, `smtp-server`).
//!
//! Invariants: nothing is carried out for who has not logged in; a page in somebody's browser
//! cannot ask on their behalf; a login that is wrong here counts as one that is wrong anywhere.

mod events;
mod messages;
mod octets;
mod work;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use directory::{AuthFailure, Caller, Identity, Logins, Service, Verdict};
use gateway::Workers;
use sasl::{Credentials, Question, Secret};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use webhooks::Webhooks;

pub use messages::{BoxFuture, NotSubmitted, Submissions, Submitted};

use crate::control::{CommandError, Commands, FailureKind, Request};
use crate::http::Peer;
use crate::limits;

/// Who lets in, and who does what is asked.
#[derive(Clone)]
pub struct Api {
    /// Who may log in.
    pub logins: Arc<dyn Logins>,
    /// Who carries out commands.
    pub commands: Arc<dyn Commands>,
    /// Where workers come for messages.
    pub workers: Workers,
    /// Who hears what became of mail.
    pub webhooks: Webhooks,
    /// Where messages go in.
    pub submissions: Arc<dyn Submissions>,
}

#[derive(Clone)]
struct Door {
    api: Api,
    tls: bool,
}

/// The API's part of the service.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(api: Api, tls: bool) -> Router<S> {
    Router::new()
        .route("/api/v1/acts/{name}", post(act))
        .route("/api/v1/messages", post(messages::submit))
        .route("/api/v1/events/{subscription}", post(events::fetch))
        .route("/api/v1/claims", post(work::claim))
        .route("/api/v1/claims/{claim}/message", get(work::message))
        .route("/api/v1/claims/{claim}/extend", post(work::extend))
        .route("/api/v1/claims/{claim}/settle", post(work::settle))
        .layer(DefaultBodyLimit::max(limits::REQUEST_BYTES_MAX))
        .with_state(Door { api, tls })
}

async fn act(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(command): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let who = admitted(&door, peer.ip(), &headers).await?;
    let args = arguments(&headers, &body)?;
    tracing::info!(%command, account = %who.address, client = %peer.ip(), "asked for over HTTP");
    let _busy = peer.busy();
    match door.api.commands.run(Request { command, args }).await {
        Ok(value) => Ok(granted(&value)),
        Err(error) => Err(Refusal::of(status_of(error.kind), &error)),
    }
}

/// An administrator who asks.
async fn admitted(door: &Door, peer: IpAddr, headers: &HeaderMap) -> Result<Identity, Refusal> {
    let who = known(door, peer, headers).await?;
    if who.admin {
        return Ok(who);
    }
    tracing::warn!(account = %who.address, client = %peer, "no administrator asks over HTTP");
    let text = "this account may not administer the system";
    Err(refusal(StatusCode::FORBIDDEN, FailureKind::Usage, text))
}

/// An administrator's question, and who asks.
async fn asked<T: DeserializeOwned>(
    door: &Door,
    peer: &Peer,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<(Identity, T), Refusal> {
    let who = admitted(door, peer.ip(), headers).await?;
    let asked = serde_json::from_value(arguments(headers, body)?).map_err(|error| {
        let text = error.to_string();
        refusal(StatusCode::BAD_REQUEST, FailureKind::Usage, &text)
    })?;
    Ok((who, asked))
}

/// Somebody with an account who asks.
async fn known(door: &Door, peer: IpAddr, headers: &HeaderMap) -> Result<Identity, Refusal> {
    let forbidden = |text| refusal(StatusCode::FORBIDDEN, FailureKind::Usage, text);
    if !door.tls && !peer.is_loopback() {
        return Err(forbidden(
            "passwords are taken over TLS only, or from this machine: use listen.https",
        ));
    }
    // A browser that knows a password sends it along whoever made the page.
    if headers.contains_key(header::ORIGIN) {
        return Err(forbidden("this API is for programs, not for web pages"));
    }
    let Some(credentials) = credentials(headers) else {
        return Err(challenge("log in: Basic authentication is needed"));
    };
    let caller = Caller {
        service: Service::Api,
        peer,
    };
    let login = credentials.login.clone();
    let question = Question::Password(credentials);
    let failure = match door.api.logins.answer(&question, caller).await {
        Ok(Verdict::Granted(who, _)) => return Ok(who),
        Ok(Verdict::Refused(failure, _)) | Err(failure) => failure,
        Ok(Verdict::GoOn(_)) => AuthFailure::Invalid,
    };
    tracing::info!(%login, client = %peer, reason = %failure, "login over HTTP refused");
    let text = failure.to_string();
    Err(match failure {
        AuthFailure::Banned { .. } | AuthFailure::Busy => {
            let refusal = refusal(StatusCode::TOO_MANY_REQUESTS, FailureKind::Failed, &text);
            refusal.with(header::RETRY_AFTER, limits::API_RETRY_SECONDS.into())
        }
        AuthFailure::Temporary(_) => {
            refusal(StatusCode::SERVICE_UNAVAILABLE, FailureKind::Failed, &text)
        }
        _ => challenge(&text),
    })
}

/// RFC 7617 §2: the password begins behind the first colon.
fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > limits::API_LOGIN_BYTES_MAX {
        return None;
    }
    let decoded = wire::base64::decode(encoded.trim().as_bytes())?;
    let text = String::from_utf8(decoded).ok()?;
    let (login, password) = text.split_once(':')?;
    Some(Credentials {
        authorization: None,
        login: login.to_owned(),
        password: Secret::from(password),
    })
}

/// The arguments: a JSON object, or nothing.
fn arguments(headers: &HeaderMap, body: &Bytes) -> Result<Value, Refusal> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let text = "say Content-Type: application/json";
        return Err(refusal(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            FailureKind::Usage,
            text,
        ));
    }
    match serde_json::from_slice(body) {
        Ok(args @ Value::Object(_)) => Ok(args),
        Ok(_) => Err(refusal(
            StatusCode::BAD_REQUEST,
            FailureKind::Usage,
            "the arguments are an object",
        )),
        Err(error) => {
            let text = format!("this is not JSON: {error}");
            Err(refusal(StatusCode::BAD_REQUEST, FailureKind::Usage, &text))
        }
    }
}

fn status_of(kind: FailureKind) -> StatusCode {
    match kind {
        FailureKind::Usage => StatusCode::BAD_REQUEST,
        FailureKind::NotFound => StatusCode::NOT_FOUND,
        FailureKind::Conflict => StatusCode::CONFLICT,
        FailureKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn challenge(text: &str) -> Refusal {
    let how = HeaderValue::from_static("Basic realm=\"posthouse\", charset=\"UTF-8\"");
    let refusal = refusal(StatusCode::UNAUTHORIZED, FailureKind::Usage, text);
    refusal.with(header::WWW_AUTHENTICATE, how)
}

fn granted(value: &Value) -> Response {
    answer(StatusCode::OK, &json!({ "ok": value }))
}

/// An answer that says no.
struct Refusal(Box<Response>);

impl Refusal {
    fn of(status: StatusCode, error: &CommandError) -> Self {
        Self(Box::new(answer(status, &json!({ "error": error }))))
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().insert(name, value);
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

fn refusal(status: StatusCode, kind: FailureKind, text: &str) -> Refusal {
    Refusal::of(status, &CommandError::new(kind, text))
}

fn answer(status: StatusCode, value: &Value) -> Response {
    const HEADERS: [(HeaderName, &str); 2] = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, HEADERS, value.to_string()).into_response()
}
