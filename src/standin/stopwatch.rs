//! Measures the time that the server itself takes for a request: from its arrival to the last byte of its response.
//!
//! A client sees more: the way there and back, and its own delays. Benchmarks divide by the server's time.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::locked;

/// The requests of all connections; clones share the totals.
#[derive(Clone, Debug, Default)]
pub(super) struct Stopwatch(Arc<Mutex<Served>>);

/// The totals since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served {
    /// Requests that arrived.
    pub(super) requests: u64,
    /// The sum of their times.
    pub(super) busy: Duration,
    /// When the first request arrived and the last byte was sent.
    span: Option<(Instant, Instant)>,
}

impl Served {
    /// The time from the first arrival to the last byte.
    pub(super) fn elapsed(&self) -> Duration {
        self.span.map_or(Duration::ZERO, |(first, last)| last - first)
    }
}

impl Stopwatch {
    /// The totals now.
    pub(super) fn served(&self) -> Served {
        *locked(&self.0)
    }

    /// Measures the requests of one connection.
    pub(super) fn connection(&self) -> Measured {
        Measured { stopwatch: self.clone(), since: Arc::default() }
    }
}

/// The requests of one connection, one at a time; clones share the current one.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    stopwatch: Stopwatch,
    /// Up to when the time of the current request is counted.
    since: Arc<Mutex<Option<Instant>>>,
}

impl Measured {
    /// A request has arrived.
    pub(super) fn arrived(&self) {
        let now = Instant::now();
        *locked(&self.since) = Some(now);
        let mut served = locked(&self.stopwatch.0);
        served.requests += 1;
        served.span.get_or_insert((now, now));
    }

    /// What follows is not measured, until the next request arrives.
    pub(super) fn skip(&self) {
        *locked(&self.since) = None;
    }

    /// A part of the response, which may be the last one, was handed to the socket.
    fn sent(&self) {
        let now = Instant::now();
        let mut current = locked(&self.since);
        let Some(since) = *current else { return };
        *current = Some(now);
        let mut served = locked(&self.stopwatch.0);
        served.busy += now - since;
        if let Some((_, last)) = &mut served.span {
            *last = now;
        }
    }
}

/// A connection whose responses are measured.
#[derive(Debug)]
pub(super) struct MeasuredStream {
    pub(super) stream: TcpStream,
    pub(super) measured: Measured,
}

impl AsyncRead for MeasuredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for MeasuredStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.measured.sent();
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        if written.is_ready() {
            self.measured.sent();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
