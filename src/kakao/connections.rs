//! Resends requests that were lost because the server closed an idle connection.
//!
//! A server may close an idle connection at any time. A request that is sent at that moment gets no answer, although the
//! server works. HTTP allows the client to send it again at once (RFC 9110, 9.2.2: GET is idempotent; RFC 9112, 9.3.1), and
//! it does not count as a failure. On a connection that has never answered it does, because an outage begins that way.
//!
//! HTTP/2 servers report which requests they have not processed (GOAWAY, `REFUSED_STREAM`). reqwest resends those itself.

use std::collections::HashSet;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::{RequestBuilder, Response};

/// Maximum number of times that one request is sent again because its connection was closed.
const MAX_RESENDS: u32 = 5;

/// Number of addresses at which the set is cleared. Connections that are closed while idle stay in the set, so it would
/// grow without limit; far fewer are ever open.
const MAX_KNOWN: usize = 4096;

/// The local addresses of connections that have answered.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<HashSet<SocketAddr>>);

impl Connections {
    /// Sends a request, and sends it again at once if it was lost with a connection that had answered before.
    ///
    /// Also returns how often the request was sent: 0 if no connection could be opened, 2 if it was sent again once.
    pub(super) async fn send(&self, request: RequestBuilder) -> (u32, Result<Response, reqwest::Error>) {
        let mut request = request;
        let mut sent = 0;
        for _ in 0..MAX_RESENDS {
            let Some(again) = request.try_clone() else { break };
            match request.send().await {
                Ok(response) => return (sent + 1, Ok(self.answered(response))),
                Err(error) => {
                    sent += u32::from(!is_unsent(&error));
                    if !self.is_lost_with_its_connection(&error) {
                        return (sent, Err(error));
                    }
                    request = again;
                }
            }
        }
        let answer = request.send().await;
        sent += u32::from(!answer.as_ref().is_err_and(is_unsent));
        (sent, answer.map(|response| self.answered(response)))
    }

    fn answered(&self, response: Response) -> Response {
        if let Some(info) = response.extensions().get::<HttpInfo>() {
            let mut known = self.lock();
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(info.local_addr());
        }
        response
    }

    fn is_lost_with_its_connection(&self, error: &reqwest::Error) -> bool {
        let Some(failure) = find::<legacy::Error>(error) else { return false };
        let mut extensions = hyper::http::Extensions::new();
        if let Some(connection) = failure.connect_info() {
            connection.get_extras(&mut extensions);
        }
        let has_answered = extensions.get::<HttpInfo>().is_some_and(|info| self.lock().remove(&info.local_addr()));
        let is_unsent = find::<hyper::Error>(failure).is_some_and(hyper::Error::is_canceled);
        is_unsent || (has_answered && find::<hyper::Error>(failure).is_some_and(is_closed))
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request failed before it was sent on a connection.
fn is_unsent(error: &reqwest::Error) -> bool {
    error.is_connect() || find::<hyper::Error>(error).is_some_and(hyper::Error::is_canceled)
}

/// Whether the other side has closed the connection.
fn is_closed(error: &hyper::Error) -> bool {
    let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionAborted, io::ErrorKind::BrokenPipe];
    error.is_incomplete_message()
        || error.is_closed()
        || find::<io::Error>(error).is_some_and(|error| kinds.contains(&error.kind()))
}

/// The first error of type `E` in the chain of sources.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut error = Some(error);
    while let Some(this) = error {
        if let Some(found) = this.downcast_ref::<E>() {
            return Some(found);
        }
        error = this.source();
    }
    None
}
