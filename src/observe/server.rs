//! The HTTP server for monitoring. A client can neither block it nor cause much work: one request per connection, a time
//! limit per connection, and small buffers.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{AbortRegistration, Abortable};
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ACCEPT_LANGUAGE, ALLOW, CONTENT_TYPE, HeaderValue, REFRESH};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tracing::warn;

use super::pages::{self, Made, Pages};
use super::process::Process;
use super::slots::Slots;
use super::vitals::Vitals;
use crate::domain::language::Language;

/// Time limit for receiving the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit of a connection.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum size of the request line and headers, in bytes.
const MAX_REQUEST: usize = 16 << 10;

/// The pause after a failed `accept`, for example when the process has too many open files. Each further failure doubles it, up
/// to `LONGEST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The content type of the metrics.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The content type of pages.
const HTML: &str = "text/html; charset=utf-8";

/// The content type of all other responses.
const PLAIN: &str = "text/plain; charset=utf-8";

/// The process makes no progress.
const HANGS: &str = "the process hangs: no progress for 2 min\n";

/// The process makes progress, but cannot use its database.
const NOT_READY: &str = "the database has not been checked yet, or its last check failed\n";

/// The server, bound to its port.
#[derive(Debug)]
pub struct Observer<'a> {
    listener: TcpListener,
    pages: &'a dyn Pages,
    registry: Registry,
    vitals: Vitals,
}

impl<'a> Observer<'a> {
    /// Binds the port.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn bind(
        listen: SocketAddr,
        mut registry: Registry,
        vitals: Vitals,
        pages: &'a dyn Pages,
    ) -> io::Result<Self> {
        registry.register_collector(Box::new(Process::new()));
        Ok(Self { listener: TcpListener::bind(listen).await?, registry, vitals, pages })
    }

    /// The local address.
    ///
    /// # Errors
    /// When the system does not return it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves requests until the future is dropped.
    pub async fn serve(&self) -> Infallible {
        let (mut connections, mut slots) = (FuturesUnordered::new(), Slots::default());
        let (mut pause, mut not_before) = (FIRST_PAUSE, Instant::now());
        loop {
            tokio::select! {
                accepted = self.accept(not_before) => match accepted {
                    Ok((stream, client)) => {
                        pause = FIRST_PAUSE;
                        let (number, aborted) = slots.admit(client.ip().to_canonical().is_loopback());
                        connections.push(self.serve_one(stream, number, aborted));
                    }
                    // The client has already closed the connection.
                    Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
                    Err(error) => {
                        if pause == FIRST_PAUSE {
                            warn!(error = &error as &dyn std::error::Error, "could not accept a monitoring connection; retrying");
                        }
                        slots.abort_oldest();
                        not_before = Instant::now() + pause;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                },
                Some(number) = connections.next() => slots.remove(number),
            }
        }
    }

    async fn accept(&self, not_before: Instant) -> io::Result<(TcpStream, SocketAddr)> {
        tokio::time::sleep_until(not_before).await;
        self.listener.accept().await
    }

    /// Serves a connection until it ends or is aborted, and returns its number.
    async fn serve_one(&self, stream: TcpStream, number: u64, aborted: AbortRegistration) -> u64 {
        Abortable::new(self.converse(stream), aborted).await.ok();
        number
    }

    async fn converse(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(async |request| Ok::<_, Infallible>(self.answer(&request).await));
        let conversation = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_REQUEST)
            .keep_alive(false)
            // A client may close its sending side after the request.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        // Errors are ignored: the client has disconnected or was too slow.
        tokio::time::timeout(TIMEOUT, conversation).await.ok();
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal =
                response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, Bytes::from_static(b"only GET and HEAD\n"));
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        if let Some(page) = pages::at(request.uri().path(), request.uri().query()) {
            let asked = request.headers().get(ACCEPT_LANGUAGE).and_then(|header| header.to_str().ok());
            return html(self.pages.make(page, asked.and_then(Language::of_header)).await);
        }
        let (is_alive, is_ready) = (self.vitals.is_alive(), self.vitals.is_ready());
        let (status, text) = match request.uri().path() {
            "/metrics" => return self.metrics(wants_text(request)),
            "/livez" | "/readyz" if !is_alive => (StatusCode::SERVICE_UNAVAILABLE, HANGS),
            "/readyz" if !is_ready => (StatusCode::SERVICE_UNAVAILABLE, NOT_READY),
            "/livez" | "/readyz" => (StatusCode::OK, "ok\n"),
            _ => (StatusCode::NOT_FOUND, "not found; there are /, /report, /metrics, /livez and /readyz\n"),
        };
        response(status, PLAIN, Bytes::from_static(text.as_bytes()))
    }

    /// The metrics, in the older text format or in that of `OpenMetrics`.
    fn metrics(&self, wants_text: bool) -> Response<Full<Bytes>> {
        let mut metrics = String::new();
        let (encoded, content_type) = if wants_text {
            (prometheus_text::encode(&mut metrics, &self.registry), prometheus_text::CONTENT_TYPE)
        } else {
            (text::encode(&mut metrics, &self.registry), OPENMETRICS)
        };
        if encoded.is_err() {
            let failure = Bytes::from_static(b"could not encode the metrics\n");
            return response(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, failure);
        }
        response(StatusCode::OK, content_type, Bytes::from(metrics))
    }
}

/// Whether a client asks for the text format of Prometheus and not for `OpenMetrics`. Without a wish, it gets `OpenMetrics`.
fn wants_text(request: &Request<Incoming>) -> bool {
    let accepted = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut takes_text, mut takes_openmetrics) = (false, false);
    for kind in accepted.flat_map(|value| value.split(',')) {
        takes_text |= kind.trim_start().starts_with("text/plain");
        takes_openmetrics |= kind.contains("openmetrics");
    }
    takes_text && !takes_openmetrics
}

fn html(made: Made) -> Response<Full<Bytes>> {
    let status = if made.is_whole { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = response(status, HTML, made.html);
    let headers = response.headers_mut();
    for (name, value) in pages::HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(refresh) = made.refresh {
        headers.insert(REFRESH, HeaderValue::from(refresh.as_secs()));
    }
    response
}

fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::net::Ipv4Addr;
    use std::pin::Pin;

    use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
    use prometheus_client::metrics::MetricType;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::observe::Page;

    /// No pages.
    #[derive(Debug)]
    struct Nothing;

    impl Pages for Nothing {
        fn make(&self, _: Page, _: Option<Language>) -> Pin<Box<dyn Future<Output = Made> + '_>> {
            Box::pin(async { Made { html: Bytes::new(), is_whole: true, refresh: None } })
        }
    }

    async fn observer() -> Observer<'static> {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Observer::bind(listen, Registry::default(), Vitals::default(), &Nothing).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_reads_is_disconnected_after_thirty_seconds() {
        let observer = observer().await;
        // The pipe is full after a few bytes of the response.
        let (mut client, server) = tokio::io::duplex(64);
        let start = Instant::now();
        let asking = async { client.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap() };

        tokio::join!(observer.converse(server), asking);

        assert_eq!(start.elapsed(), TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_its_headers_slowly_is_disconnected_after_five_seconds() {
        let observer = observer().await;
        let (mut client, server) = tokio::io::duplex(64);
        let start = Instant::now();
        let dripping = async {
            client.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
            while client.write_all(b"x: y\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };

        tokio::join!(observer.converse(server), dripping);

        assert_eq!(start.elapsed(), HEADER_TIMEOUT);
    }

    /// A metric without a value.
    #[derive(Debug)]
    struct Broken;

    impl EncodeMetric for Broken {
        fn encode(&self, _: MetricEncoder<'_>) -> fmt::Result {
            Err(fmt::Error)
        }

        fn metric_type(&self) -> MetricType {
            MetricType::Gauge
        }
    }

    #[tokio::test]
    async fn metrics_that_cannot_be_encoded_are_an_internal_error_in_plain_text() {
        let mut observer = observer().await;
        observer.registry.register("broken", "A metric without a value", Broken);

        let response = observer.metrics(false);

        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[CONTENT_TYPE], PLAIN);
    }

    #[tokio::test(start_paused = true)]
    async fn readyz_says_what_is_wrong() {
        let observer = observer().await;
        let ask = async || {
            let (mut client, server) = tokio::io::duplex(1024);
            let asking = async {
                client.write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
                let mut answer = String::new();
                client.read_to_string(&mut answer).await.unwrap();
                answer.rsplit_once("\r\n").unwrap().1.to_owned()
            };
            tokio::join!(observer.converse(server), asking).1
        };

        assert_eq!(ask().await, NOT_READY);
        observer.vitals.beat();
        observer.vitals.set_ready(true);
        assert_eq!(ask().await, "ok\n");
        tokio::time::advance(Duration::from_mins(3)).await;
        assert_eq!(ask().await, HANGS);
    }
}
