//! Requests and answers as HTTP has them.
//!
//! | path | what |
//! |---|---|
//! | `/.well-known/jmap` | leads to the session (RFC 8620 §2.2) |
//! | `GET /jmap/session` | the Session object |
//! | `POST /jmap/api` | calls (RFC 8620 §3.1) |
//! | `POST /jmap/upload/…`, `GET /jmap/download/…` | octets (RFC 8620 §6) |
//! | `GET /jmap/events` | changes as they come (RFC 8620 §7.3) |
//!
//! A page in somebody's browser cannot ask on their behalf: there is no cookie, no header of CORS that
//! would let it read an answer, and what browsers say comes from another site is refused.

use crate::Jmap;
use crate::auth::{Door, Refused};
use crate::limits::RETRY_SECONDS;
use crate::{events, transfer};
use axum::Router;
use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use jmap_proto::RequestError;
use jmap_proto::limits::REQUEST_BYTES_MAX;
use runtime::net::Visitor;
use serde_json::{Value, json};

pub(crate) fn router(jmap: Jmap) -> Router {
    Router::new()
        .route("/.well-known/jmap", get(well_known))
        .route("/jmap/session", get(session))
        .route("/jmap/api", post(api))
        .route("/jmap/upload/{account}", post(transfer::upload))
        .route(
            "/jmap/download/{account}/{blob}/{name}",
            get(transfer::download),
        )
        .route("/jmap/events", get(events::stream))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(jmap)
}

async fn well_known() -> Redirect {
    Redirect::temporary("/jmap/session")
}

async fn session(
    State(jmap): State<Jmap>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let user = jmap.user(&visitor, &headers).await?;
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let session = jmap.session(&user, visitor.is_tls(), host).await;
    Ok(answer(StatusCode::OK, &session))
}

async fn api(
    State(jmap): State<Jmap>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    // Nothing is taken up from who is nobody.
    let user = jmap.user(&visitor, &headers).await?;
    let problem = |error: &RequestError| Refusal::problem(error);
    let inside = jmap
        .pass(&user, Door::Requests)
        .map_err(|limit| problem(&RequestError::Limit(limit)))?;
    let too_large = || problem(&RequestError::Limit("maxSizeRequest"));
    if body.size_hint().lower() > REQUEST_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let body = match to_bytes(body, REQUEST_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) if error.to_string().contains("length limit") => return Err(too_large()),
        Err(_) => return Err(problem(&RequestError::NotJson("it is cut off".into()))),
    };
    let _busy = visitor.busy();
    if !is_json(&headers) {
        let text = "say Content-Type: application/json";
        return Err(problem(&RequestError::NotJson(text.into())));
    }
    let response = jmap.answer(&user, inside, &body).await;
    let response = response.map_err(|error| problem(&error))?;
    Ok(answer(StatusCode::OK, &response))
}

/// RFC 8620 §3.1: anything else is refused.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// An answer that says no.
pub(crate) struct Refusal(Box<Response>);

impl Refusal {
    pub(crate) fn problem(error: &RequestError) -> Self {
        let (status, problem) = error.problem();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        Self::of(status, &problem)
    }

    fn of(status: StatusCode, problem: &Value) -> Self {
        let mut response = answer(status, problem);
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Self(Box::new(response))
    }

    /// A status with a sentence.
    pub(crate) fn told(status: StatusCode, text: &str) -> Self {
        let problem = json!({
            "type": "about:blank",
            "status": status.as_u16(),
            "detail": text,
        });
        Self::of(status, &problem)
    }

    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().append(name, value);
        self
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Plain => Self::told(
                StatusCode::FORBIDDEN,
                "passwords are taken over TLS only, or from this machine",
            ),
            Refused::Foreign => Self::told(
                StatusCode::FORBIDDEN,
                "pages of other sites may not ask here",
            ),
            Refused::Challenge(text) => Self::told(StatusCode::UNAUTHORIZED, &text)
                .with(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Basic realm=\"posthouse\", charset=\"UTF-8\""),
                )
                .with(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"posthouse\""),
                ),
            Refused::Wait(text) => Self::told(StatusCode::TOO_MANY_REQUESTS, &text)
                .with(header::RETRY_AFTER, RETRY_SECONDS.into()),
            Refused::Unavailable => Self::told(
                StatusCode::SERVICE_UNAVAILABLE,
                "this is not possible at the moment",
            ),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// Nothing of it is for caches (RFC 8620 §2: "no-cache, no-store, must-revalidate").
pub(crate) fn answer(status: StatusCode, value: &Value) -> Response {
    const HEADERS: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, HEADERS, value.to_string()).into_response()
}
