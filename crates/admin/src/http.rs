//! The HTTP service: a page that says what this is, health, metrics.
//!
//! `/healthz` answers 200 while the server works and 503 while it drains. `/metrics` exists for visitors from this
//! machine alone: numbers tell strangers more than they should know.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::serve::IncomingStream;
use observe::Metrics;
use runtime::net::{Busy, Conn, Listener, Visitor};
use runtime::tls::ServerTls;
use runtime::{Runtime, Shutdown, Sleep, Tasks};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::api::Api;
use crate::limits;

const PAGE: &str = include_str!("page.html");

/// What the service answers from.
#[derive(Clone)]
struct Site {
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
}

/// Serves HTTP on `listener`, under TLS when given, until the shutdown signal; with the API, if there is one, and
/// with what another face answers (`beside`), which finds the [`Visitor`] in each request's extensions.
pub async fn serve(
    listener: Listener,
    tls: Option<ServerTls>,
    metrics: Arc<Metrics>,
    api: Option<Api>,
    beside: Option<Router>,
    runtime: Runtime,
) {
    let shutdown = runtime.shutdown();
    let site = Site {
        metrics,
        shutdown: shutdown.clone(),
    };
    let local = listener.local_addr();
    let is_tls = tls.is_some();
    let (sender, receiver) = mpsc::channel(limits::HTTP_WAITING_MAX);
    let accepting = runtime.spawn(
        "http accept",
        accept(listener, tls, runtime.clone(), sender),
    );
    let door = Door { receiver, local };
    let router = router(site, api.map(|api| crate::api::router(api, is_tls)));
    let service = match beside {
        Some(beside) => router.merge(beside.layer(from_fn(introduce))),
        None => router,
    }
    .into_make_service_with_connect_info::<Peer>();
    let drained = {
        let shutdown = shutdown.clone();
        async move { shutdown.draining().await }
    };
    let serving = axum::serve(door, service).with_graceful_shutdown(drained);
    if let Err(error) = serving.await {
        tracing::error!(%error, %local, "the HTTP service ended");
    }
    drop(accepting);
}

fn router(site: Site, api: Option<Router<Site>>) -> Router {
    let router = Router::new()
        .route("/", get(page))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics));
    match api {
        Some(api) => router.merge(api),
        None => router,
    }
    .with_state(site)
}

/// Tells another face who asks.
async fn introduce(
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().insert(peer.0);
    next.run(request).await
}

async fn page() -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (HEADERS, Html(PAGE)).into_response()
}

async fn health(State(site): State<Site>) -> (StatusCode, &'static str) {
    if site.shutdown.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn metrics(State(site): State<Site>, ConnectInfo(peer): ConnectInfo<Peer>) -> Response {
    if !peer.ip().is_loopback() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let kind = [(
        header::CONTENT_TYPE,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )];
    (kind, site.metrics.encode()).into_response()
}

/// Takes connections, has each handshake in its own task, and hands them on.
async fn accept(
    listener: Listener,
    tls: Option<ServerTls>,
    runtime: Runtime,
    sender: mpsc::Sender<Visit>,
) {
    let places = Arc::new(Semaphore::new(limits::HTTP_SESSIONS_MAX));
    let handshakes = Tasks::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let mut conn = match listener.accept().await {
            Ok(conn) => conn,
            Err(error) => {
                tracing::error!(%error, "an HTTP listener is broken");
                return;
            }
        };
        let (tls, sender, clock) = (tls.clone(), sender.clone(), runtime.clone());
        handshakes.spawn(&runtime, async move {
            if let Some(tls) = tls
                && conn.start_tls(&tls).await.is_err()
            {
                return;
            }
            // The service is ending when nobody takes it.
            let _ = sender.send(Visit::new(conn, clock, place)).await;
        });
    }
}

/// The HTTP library's view of a listener.
struct Door {
    receiver: mpsc::Receiver<Visit>,
    local: SocketAddr,
}

impl axum::serve::Listener for Door {
    type Io = Visit;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visit, SocketAddr) {
        match self.receiver.recv().await {
            Some(visit) => {
                let peer = visit.conn.peer_addr();
                (visit, peer)
            }
            // The listener is gone; the shutdown signal ends the service.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

/// Who asks.
#[derive(Clone)]
pub(crate) struct Peer(Visitor);

impl Peer {
    pub(crate) fn ip(&self) -> IpAddr {
        self.0.ip()
    }

    /// While this lives, the connection is not closed for silence.
    pub(crate) fn busy(&self) -> Busy {
        self.0.busy()
    }
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(stream.io().visitor.clone())
    }
}

/// A connection that ends when nothing moves on it.
struct Visit {
    conn: Conn,
    runtime: Runtime,
    idle: Pin<Box<Sleep>>,
    visitor: Visitor,
    _place: OwnedSemaphorePermit,
}

impl Visit {
    fn new(conn: Conn, runtime: Runtime, place: OwnedSemaphorePermit) -> Self {
        let idle = Box::pin(runtime.sleep(limits::HTTP_IDLE));
        Self {
            visitor: Visitor::new(conn.peer_addr(), conn.is_tls()),
            conn,
            runtime,
            idle,
            _place: place,
        }
    }

    fn watched<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.idle.set(self.runtime.sleep(limits::HTTP_IDLE));
            return result;
        }
        while self.idle.as_mut().poll(cx).is_ready() {
            if !self.visitor.is_busy() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.idle.set(self.runtime.sleep(limits::HTTP_IDLE));
        }
        Poll::Pending
    }
}

impl AsyncRead for Visit {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.conn).poll_read(cx, buf);
        this.watched(cx, result)
    }
}

impl AsyncWrite for Visit {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.conn).poll_write(cx, buf);
        this.watched(cx, result)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.conn).poll_flush(cx);
        this.watched(cx, result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.conn).poll_shutdown(cx);
        this.watched(cx, result)
    }
}
