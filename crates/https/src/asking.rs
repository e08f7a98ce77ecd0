//! One request over one connection.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use resolver::AddressAnswer;
use runtime::Task;
use runtime::net::Conn;

use crate::content::{self, Content};
use crate::limits::{ADDRESSES_MAX, CONNECT_TIMEOUT, RETRY_AFTER_MAX};
use crate::{Answer, Document, Failure, Https, Posted, Wanted};

/// What a request says beside its address.
struct Said<'a> {
    method: Method,
    fields: Vec<(HeaderName, &'a str)>,
    content: &'a dyn Content,
}

/// The answer, and the connection that it comes over: it ends with this.
struct Asked {
    response: Response<Incoming>,
    _talking: Task<Result<(), hyper::Error>>,
}

impl Https {
    pub(crate) async fn fetch(&self, wanted: &Wanted<'_>) -> Result<Document, Failure> {
        let said = Said {
            method: Method::GET,
            fields: vec![(ACCEPT, wanted.media_type)],
            content: &Bytes::new(),
        };
        let Asked { response, _talking } = self.ask(wanted.url, said).await?;
        if response.status() != StatusCode::OK {
            return Err(other(format!("it answers {}", response.status())));
        }
        let media_type = media_type(response.headers());
        let body = Limited::new(response.into_body(), wanted.bytes_max).collect();
        let body = body.await.map_err(other)?.to_bytes().to_vec();
        Ok(Document { media_type, body })
    }

    pub(crate) async fn send(
        &self,
        posted: &Posted<'_>,
        content: &dyn Content,
    ) -> Result<Answer, Failure> {
        let mut fields = vec![(CONTENT_TYPE, posted.media_type)];
        for (name, value) in posted.fields {
            fields.push((name.parse().map_err(other)?, value.as_str()));
        }
        let said = Said {
            method: Method::POST,
            fields,
            content,
        };
        let now_ms = self.runtime.now().unix_ms;
        let Asked { response, _talking } = self.ask(posted.url, said).await?;
        let headers = response.headers();
        let mut answer = Answer {
            status: response.status().as_u16(),
            retry_after: retry_after(headers, now_ms),
            media_type: media_type(headers),
            body: Vec::new(),
        };
        // What was decided stands in the status, whatever becomes of the words.
        answer.body = beginning(response.into_body(), posted.answer_bytes_max).await;
        Ok(answer)
    }

    async fn ask(&self, url: &str, said: Said<'_>) -> Result<Asked, Failure> {
        let uri: Uri = url.parse().map_err(|_| other("it is no address"))?;
        let conn = self.open(&uri).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(conn))
            .await
            .map_err(other)?;
        let talking = self.runtime.spawn("https", connection);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let host = uri.authority().map_or("", |authority| authority.as_str());
        // RFC 9110 §4.2.4: a name and a password in the address are not the host's.
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let mut request = Request::builder()
            .method(said.method)
            .uri(path)
            .header(HOST, host)
            .header(USER_AGENT, "posthouse");
        for (name, value) in said.fields {
            request = request.header(name, value);
        }
        let size = said.content.size();
        if size == 0 && request.method_ref() == Some(&Method::POST) {
            // RFC 9110 §8.6 (SHOULD): hyper leaves it out where there is no body.
            request = request.header(CONTENT_LENGTH, 0);
        }
        let (feed, body) = content::stream(size);
        let request = request.body(body).map_err(other)?;
        let mut answered = Box::pin(sender.send_request(request));
        let mut feeding = Box::pin(content::feed(said.content, feed));
        let mut is_fed = false;
        let response = loop {
            tokio::select! {
                response = &mut answered => break response.map_err(with_cause)?,
                () = &mut feeding, if !is_fed => is_fed = true,
            }
        };
        Ok(Asked {
            response,
            _talking: talking,
        })
    }

    async fn open(&self, uri: &Uri) -> Result<Conn, Failure> {
        let (port, clear) = match uri.scheme_str() {
            Some("https") => (443, false),
            Some("http") if self.clear_here => (80, true),
            _ => return Err(other("it is not https")),
        };
        let host = uri.host().ok_or_else(|| other("it names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(port);
        if clear {
            return self.connect(host, port, clear).await;
        }
        let Some(tls) = &self.tls else {
            return Err(other("this machine trusts no certificate authorities"));
        };
        let mut conn = self.connect(host, port, clear).await?;
        let shaken = Box::pin(conn.connect_tls(tls, host)).await;
        shaken.map_err(|error| match runtime::tls::certificate_fault(&error) {
            Some(fault) => Failure::Certificate(fault.to_string()),
            None => other(error),
        })?;
        Ok(conn)
    }

    async fn connect(&self, host: &str, port: u16, clear: bool) -> Result<Conn, Failure> {
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => match self.resolver.addresses(host).await {
                Ok(AddressAnswer::Addresses(addresses)) => addresses,
                Ok(_) => return Err(other(format!("{host} has no address"))),
                Err(error) => return Err(other(error)),
            },
        };
        let mut last = format!("{host} has no address");
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            if self.reach.as_ref().is_some_and(|may| !may(address)) {
                last = format!("{host} is at {address}, where nothing is asked for");
                continue;
            }
            if clear && !address.to_canonical().is_loopback() {
                last =
                    format!("{host} is at {address}, which is not this machine: it must be https");
                continue;
            }
            let address = SocketAddr::new(address, port);
            match runtime::net::connect(address, None, CONNECT_TIMEOUT).await {
                Ok(conn) => return Ok(conn),
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        Err(other(last))
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    let value = value.and_then(|value| value.split(';').next());
    value.unwrap_or_default().trim().to_ascii_lowercase()
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now_ms: u64) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = mime::parse_date(value.as_bytes())?;
            let until_ms = u64::try_from(date.unix_seconds).ok()?.saturating_mul(1000);
            Duration::from_millis(until_ms.saturating_sub(now_ms))
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

async fn beginning(mut body: Incoming, bytes_max: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < bytes_max && !body.is_end_stream() {
        let Some(Ok(frame)) = body.frame().await else {
            break;
        };
        let data = frame.into_data().unwrap_or_default();
        let room = bytes_max - read.len();
        read.extend_from_slice(&data[..data.len().min(room)]);
    }
    read
}

fn other(why: impl std::fmt::Display) -> Failure {
    Failure::Other(why.to_string())
}

/// hyper says what it was doing; why that went wrong stands behind it.
fn with_cause(error: hyper::Error) -> Failure {
    match std::error::Error::source(&error) {
        Some(cause) => other(format!("{error}: {cause}")),
        None => other(error),
    }
}
