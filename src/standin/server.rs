//! The HTTP server of the stand-in: accepts connections and handles requests.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderName};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::answer::Asked;
use super::limits::{Candidate, Verdict};
use super::reply::{Payload, Reply, faulty};
use super::stopwatch::{Measured, MeasuredStream, Stopwatch};
use super::switches::Switches;
use super::traffic::Recorded;
use super::{Standin, answer, locked, request};

/// The pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The path of the server's own figures, outside the paths of the API.
const STATS: &str = "/standin/stats";

/// A stand-in that is bound to its port.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    standin: Standin,
}

impl Listening {
    /// Binds an address.
    pub(super) async fn bind(standin: Standin, listen: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        Ok(Self { address: listener.local_addr()?, listener, standin })
    }

    /// Its base URL, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves requests until the future is dropped, which closes all connections.
    pub async fn serve(self) {
        // All connections are polled in this future, so that none outlives it. There are only a few.
        let stopwatch = Stopwatch::default();
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let Ok((stream, _)) = accepted else {
                        // The client has already disconnected, or too many files are open.
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    };
                    self.standin.0.traffic.connections.fetch_add(1, Ordering::SeqCst);
                    connections.push(converse(&self.standin, &stopwatch, stream));
                }
                Some(()) = connections.next() => {}
            }
        }
    }
}

/// Serves one connection until it ends.
async fn converse(standin: &Standin, stopwatch: &Stopwatch, stream: TcpStream) {
    // Errors are ignored: the client has disconnected, or a fault closes the connection.
    stream.set_nodelay(true).ok();
    let measured = stopwatch.connection();
    let stream = MeasuredStream { stream, measured: measured.clone() };
    let service = service_fn(|request| serve(standin, stopwatch, &measured, request));
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

/// Handles a request for the figures of the server, or one of the API.
async fn serve(
    standin: &Standin,
    stopwatch: &Stopwatch,
    measured: &Measured,
    request: Request<Incoming>,
) -> io::Result<Response<Payload>> {
    if request.uri().path() == STATS {
        measured.skip();
        return Ok(Reply::json(200, stats(stopwatch)).response(""));
    }
    measured.arrived();
    respond(standin, request).await
}

/// The number of requests, the sum of the server's own times for them, and the time from the first to the last, as JSON.
fn stats(stopwatch: &Stopwatch) -> String {
    let served = stopwatch.served();
    let (busy_s, elapsed_s) = (served.busy.as_secs_f64(), served.elapsed().as_secs_f64());
    serde_json::json!({ "requests": served.requests, "busy_s": busy_s, "elapsed_s": elapsed_s }).to_string()
}

/// Handles one request; an error closes the connection without a response.
async fn respond(standin: &Standin, request: Request<Incoming>) -> io::Result<Response<Payload>> {
    let traffic = &standin.0.traffic;
    let params = request::params(request.uri().query().unwrap_or_default());
    let arrival = traffic.arrive(|| Recorded::new(request.uri().path(), &params, request.headers()));
    let switches = Arc::clone(&standin.0.switches.borrow());
    let candidate = Candidate {
        authorization: header(&request, &AUTHORIZATION),
        query: params.get("query").map(String::as_str),
        in_flight: arrival.in_flight,
    };
    let verdict = locked(&standin.0.limits).judge(&switches, &candidate, Instant::now());
    traffic.count(&verdict);
    if !matches!(verdict, Verdict::Refused(_)) && !switches.latency.is_zero() {
        tokio::time::sleep(switches.latency).await;
    }
    traffic.released().await;
    let right = || right_reply(standin, &request, &params, &switches);
    let reply = match verdict {
        Verdict::LetIn => right(),
        Verdict::Refused(refusal) => Reply::refused(&refusal),
        Verdict::Fault(fault) => faulty(fault, right).await?,
    };
    let accepted = header(&request, &ACCEPT_ENCODING).unwrap_or_default();
    let response = reply.retry_after(switches.retry_after.as_ref()).response(accepted);
    arrival.answered(response.status().as_u16());
    Ok(response)
}

fn header<'a>(request: &'a Request<Incoming>, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

fn right_reply(
    standin: &Standin,
    request: &Request<Incoming>,
    params: &BTreeMap<String, String>,
    switches: &Switches,
) -> Reply {
    let path = if request.method() == Method::GET { request.uri().path() } else { "" };
    match request::parse(path, params) {
        Ok(mut wanted) => {
            let world = Arc::clone(&standin.0.world.borrow());
            let query = wanted.search.query.clone();
            if let Some(drift) = switches.drift {
                drift.read(&mut wanted);
            }
            let asked = Asked { wanted: &wanted, query: query.as_deref(), number: standin.requests() };
            Reply::json(200, answer::body(&world, asked, switches))
        }
        Err(refusal) => Reply::refused(&refusal),
    }
}

#[cfg(test)]
mod tests;
