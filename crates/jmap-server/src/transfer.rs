//! Upload and download. RFC 8620 §6.1, §6.2

use crate::Jmap;
use crate::auth::{Door, Inside};
use crate::blob_id::{Base, BlobRef};
use crate::blobs_of::{Opened, Unread};
use crate::http::{Refusal, answer};
use crate::limits::DOWNLOAD_RETRY_SECONDS;
use crate::methods::store_failed;
use crate::streaming::{Pieces, Streamed};
use crate::uploads::{Incoming, NotKept};
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use directory::BoxFuture;
use http_body::Body as _;
use jmap_proto::RequestError;
use mailstore::StoreError;
use runtime::net::Visitor;
use serde_json::json;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

pub(crate) async fn upload(
    State(jmap): State<Jmap>,
    Extension(visitor): Extension<Visitor>,
    Path(account_id): Path<String>,
    headers: HeaderMap,
    mut body: Body,
) -> Result<Response, Refusal> {
    let user = jmap.user(&visitor, &headers).await?;
    let room = jmap.room(&user, &account_id).await;
    let room = room.map_err(|_| not_now())?;
    let room =
        room.ok_or_else(|| Refusal::told(StatusCode::NOT_FOUND, "there is no such account"))?;
    if !room.takes_octets() {
        return Err(Refusal::told(
            StatusCode::FORBIDDEN,
            "the account is read-only",
        ));
    }
    let _busy = visitor.busy();
    let limit = |name| Refusal::problem(&RequestError::Limit(name));
    let _inside = jmap.pass(&user, Door::Uploads).map_err(limit)?;
    let mut incoming = Incoming::new(&jmap, &user, &room.account);
    incoming.check(body.size_hint().lower()).map_err(not_kept)?;
    while let Some(piece) = next_piece(&mut body, &jmap).await? {
        incoming = incoming.push(&jmap, piece).await.map_err(not_kept)?;
    }
    let (number, size) = incoming.finish(&jmap).await.map_err(not_kept)?;
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let blob = BlobRef {
        base: Base::Upload(number),
        path: Vec::new(),
    };
    let told = json!({
        "accountId": account_id,
        "blobId": blob.to_string(),
        "type": kind.unwrap_or("application/octet-stream"),
        "size": size,
    });
    Ok(answer(StatusCode::CREATED, &told))
}

fn not_kept(why: NotKept) -> Refusal {
    match why {
        NotKept::TooLarge => Refusal::problem(&RequestError::Limit("maxSizeUpload")),
        NotKept::OverQuota(over) => {
            Refusal::told(StatusCode::INSUFFICIENT_STORAGE, &over.to_string())
        }
        NotKept::Failed(error) => unavailable(&error),
    }
}

fn unavailable(error: &StoreError) -> Refusal {
    let _ = store_failed(error);
    not_now()
}

fn not_now() -> Refusal {
    Refusal::told(
        StatusCode::SERVICE_UNAVAILABLE,
        "this is not possible at the moment",
    )
}

/// The next piece of a body; who sends none for long is gone.
async fn next_piece(body: &mut Body, jmap: &Jmap) -> Result<Option<Bytes>, Refusal> {
    loop {
        let next = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        let next = jmap
            .shared
            .ports
            .runtime
            .timeout(crate::limits::STALL, next)
            .await;
        match next {
            Ok(None) => return Ok(None),
            // Trailers are of no interest.
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(piece) if !piece.is_empty() => return Ok(Some(piece)),
                _ => {}
            },
            Ok(Some(Err(_))) => {
                return Err(Refusal::told(StatusCode::BAD_REQUEST, "it is cut off"));
            }
            Err(_) => {
                return Err(Refusal::told(
                    StatusCode::REQUEST_TIMEOUT,
                    "nothing came for long",
                ));
            }
        }
    }
}

pub(crate) async fn download(
    State(jmap): State<Jmap>,
    Extension(visitor): Extension<Visitor>,
    Path((account_id, blob_id, name)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let user = jmap.user(&visitor, &headers).await?;
    let nothing = || Refusal::told(StatusCode::NOT_FOUND, "there is nothing of that id");
    let inside = jmap.pass(&user, Door::Downloads).map_err(|_| {
        let text = "there are too many downloads at the moment";
        Refusal::told(StatusCode::TOO_MANY_REQUESTS, text)
            .with(header::RETRY_AFTER, DOWNLOAD_RETRY_SECONDS.into())
    })?;
    let room = jmap.room(&user, &account_id).await;
    let room = room.map_err(|_| not_now())?.ok_or_else(nothing)?;
    let look = jmap.look(&room).await.map_err(|_| not_now())?;
    let busy = visitor.busy();
    let opened = jmap.open_blob(&look, &blob_id, &Arc::default()).await;
    drop(busy);
    let opened = opened.map_err(|why| match why {
        Unread::Store(error) => unavailable(&error),
        Unread::TooMuch => nothing(),
    })?;
    let opened = opened.ok_or_else(nothing)?;
    let size = opened.size;
    let pieces = Download {
        opened,
        visitor,
        _inside: inside,
    };
    let query = query.unwrap_or_default();
    let mut asked = form_urlencoded::parse(query.as_bytes());
    let kind = asked
        .find(|(key, _)| key == "type")
        .map(|(_, kind)| kind.into_owned());
    let kind = kind.and_then(|kind| media_type(&kind));
    let kind = kind.unwrap_or_else(|| HeaderValue::from_static("application/octet-stream"));
    const HEADERS: [(HeaderName, &str); 3] = [
        // RFC 8620 §6.2: what an id names never changes.
        (
            header::CACHE_CONTROL,
            "private, immutable, max-age=31536000",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A stranger's HTML must not run here, whoever opens it.
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; sandbox",
        ),
    ];
    let mut response = (HEADERS, Body::new(Streamed::new(pieces, size))).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
        .headers_mut()
        .insert(header::CONTENT_DISPOSITION, disposition(&name));
    Ok(response)
}

/// A type and subtype with parameters; nothing else.
fn media_type(text: &str) -> Option<HeaderValue> {
    let good = |b: u8| b.is_ascii_graphic() || b == b' ';
    let plain = text.len() <= 255 && text.bytes().all(good) && text.contains('/');
    plain.then(|| HeaderValue::from_str(text).ok()).flatten()
}

/// RFC 6266 §4.1, RFC 8187: a name in any script, and never a path.
fn disposition(name: &str) -> HeaderValue {
    let mut encoded = String::new();
    for byte in name.bytes().take(1024) {
        match byte {
            b'/' | b'\\' => encoded.push('_'),
            b if b.is_ascii_alphanumeric() || b".-_~".contains(&b) => encoded.push(char::from(b)),
            b => encoded.push_str(&format!("%{b:02X}")),
        }
    }
    let value = format!("attachment; filename*=UTF-8''{encoded}");
    HeaderValue::from_str(&value).unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

/// Octets that are sent.
struct Download {
    opened: Opened,
    visitor: Visitor,
    _inside: Inside,
}

impl Pieces for Download {
    fn next(mut self) -> BoxFuture<'static, (Self, Option<io::Result<Bytes>>)> {
        Box::pin(async move {
            // Who takes nothing for long is gone: it is our reading alone that is no silence.
            let busy = self.visitor.busy();
            let piece = self.opened.next_piece().await;
            drop(busy);
            let piece = piece.map_err(|error| {
                tracing::error!(%error, "jmap: a download is cut off");
                io::Error::other("it cannot be read")
            });
            (self, piece.transpose())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path_and_no_header() {
        for (name, value) in [
            ("a b.txt", "attachment; filename*=UTF-8''a%20b.txt"),
            (
                "../x\r\nSet-Cookie: a",
                "attachment; filename*=UTF-8''.._x%0D%0ASet-Cookie%3A%20a",
            ),
            ("你", "attachment; filename*=UTF-8''%E4%BD%A0"),
        ] {
            assert_eq!(disposition(name), value);
        }
        assert!(media_type("text/html; charset=utf-8").is_some());
        for bad in ["html", "a/b\r\nc: d", "é/x", ""] {
            assert_eq!(media_type(bad), None);
        }
    }
}
