//! The HTTP side: connections, and the way of a request from its arrival to its answer.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderName};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::limits::{Candidate, Verdict};
use super::reply::{Payload, Reply, faulty};
use super::switches::Switches;
use super::traffic::Recorded;
use super::{Standin, answer, locked, request};

/// A stand-in that has its port and waits to be served.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    standin: Standin,
}

impl Listening {
    /// Takes a port.
    pub(super) async fn bind(standin: Standin, listen: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        Ok(Self { address: listener.local_addr()?, listener, standin })
    }

    /// Its base URL, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers until it is dropped, which closes all connections.
    pub async fn serve(self) {
        // All connections live in this future: nothing outlives it, and a few of them need no task of their own.
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    // An error concerns one client that has gone away already.
                    let Ok((stream, _)) = accepted else { continue };
                    self.standin.0.traffic.connections.fetch_add(1, Ordering::SeqCst);
                    connections.push(converse(&self.standin, stream));
                }
                Some(()) = connections.next() => {}
            }
        }
    }
}

/// Serves one connection to its end.
async fn converse(standin: &Standin, stream: TcpStream) {
    // Both may fail where the client goes away, and so does a fault that closes the connection.
    stream.set_nodelay(true).ok();
    let service = service_fn(|request| respond(standin, request));
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

/// Answers one request; an error closes the connection without an answer.
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
        Ok(wanted) => {
            let world = Arc::clone(&standin.0.world.borrow());
            Reply::json(200, answer::body(&world, &wanted, switches))
        }
        Err(refusal) => Reply::refused(&refusal),
    }
}

#[cfg(test)]
mod tests;
