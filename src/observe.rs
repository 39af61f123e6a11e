//! Seen from outside: `/metrics` for Prometheus, `/livez` and `/readyz` for whoever restarts or routes.
//!
//! Off unless `observe.listen` is set. It answers out of memory alone, so that it answers where the database does not.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// A process whose heart has not beaten for so long hangs: the heartbeat comes every 10 s, a run beats every 5 s, and each try
/// to close one takes a minute at most.
const HANGS_AFTER: Duration = Duration::from_mins(2);

/// How long a client may take to say what it wants.
const HEADER_PATIENCE: Duration = Duration::from_secs(5);

/// Connections at a time; who comes then is turned away.
const MAX_CONNECTIONS: usize = 32;

/// The format of the metrics.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The vital signs of the process; clones share one heart.
#[derive(Clone, Debug)]
pub struct Vitals(Arc<Heart>);

#[derive(Debug)]
struct Heart {
    born: Instant,
    /// Milliseconds from the birth to the last beat; none yet while it starts.
    last_beat_ms: AtomicU64,
    has_beaten: AtomicBool,
    is_ready: AtomicBool,
}

impl Default for Vitals {
    fn default() -> Self {
        Self(Arc::new(Heart {
            born: Instant::now(),
            last_beat_ms: AtomicU64::new(0),
            has_beaten: AtomicBool::new(false),
            is_ready: AtomicBool::new(false),
        }))
    }
}

impl Vitals {
    /// Shows that the work goes round.
    pub fn beat(&self) {
        let age_ms = u64::try_from(self.0.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_beat_ms.store(age_ms, Relaxed);
        self.0.has_beaten.store(true, Relaxed);
    }

    /// Says whether the database answers.
    pub fn set_ready(&self, is_ready: bool) {
        self.0.is_ready.store(is_ready, Relaxed);
    }

    /// Whether it beats; one that still starts may wait for its database for long.
    fn is_alive(&self) -> bool {
        let silence = self.0.born.elapsed().saturating_sub(Duration::from_millis(self.0.last_beat_ms.load(Relaxed)));
        !self.0.has_beaten.load(Relaxed) || silence < HANGS_AFTER
    }
}

/// A server that has its port.
#[derive(Debug)]
pub struct Observer {
    listener: TcpListener,
    registry: Registry,
    vitals: Vitals,
}

impl Observer {
    /// Takes the port.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn bind(listen: SocketAddr, registry: Registry, vitals: Vitals) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(listen).await?, registry, vitals })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until it is dropped.
    pub async fn serve(&self) -> Infallible {
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => connections.push(self.converse(stream)),
                    // An error concerns one client that has gone away already, or a moment without free handles.
                    Ok(_) | Err(_) => tokio::task::yield_now().await,
                },
                Some(()) = connections.next() => {}
            }
        }
    }

    async fn converse(&self, stream: TcpStream) {
        let service = service_fn(async |request| Ok::<_, Infallible>(self.answer(&request)));
        // It fails where the client goes away.
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_PATIENCE)
            .serve_connection(TokioIo::new(stream), service)
            .await
            .ok();
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let state = |is_well: bool, words: &'static str| {
            if is_well { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, words) }
        };
        let (status, text) = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/livez") => state(self.vitals.is_alive(), "it hangs\n"),
            (&Method::GET | &Method::HEAD, "/readyz") => {
                let is_ready = self.vitals.0.is_ready.load(Relaxed) && self.vitals.is_alive();
                state(is_ready, "the database does not answer\n")
            }
            (&Method::GET | &Method::HEAD, "/metrics") => return self.metrics(),
            _ => (StatusCode::NOT_FOUND, "there are /metrics, /livez and /readyz\n"),
        };
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        response
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut text = String::new();
        let mut response = match encode(&mut text, &self.registry) {
            Ok(()) => Response::new(Full::new(Bytes::from(text))),
            Err(_) => Response::new(Full::new(Bytes::from_static(b"the metrics cannot be written\n"))),
        };
        response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(OPENMETRICS));
        response
    }
}
