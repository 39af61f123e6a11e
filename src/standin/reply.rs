//! HTTP responses, including faulty ones.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{Either, Full};
use hyper::Response;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION, RETRY_AFTER};

use super::refusal::{self, Refusal};
use super::switches::Fault;

/// Bodies up to this size are never compressed.
const SHORT_BYTES: usize = 1024;

/// The body of a response.
pub(super) type Payload = Either<Full<Bytes>, Cut>;

/// A response before it is encoded.
#[derive(Debug)]
pub(super) struct Reply {
    status: u16,
    content_type: &'static str,
    retry_after: Option<String>,
    location: Option<String>,
    body: Vec<u8>,
    /// Whether the connection is closed in the middle of the body.
    is_cut: bool,
}

impl Reply {
    /// A JSON body.
    pub(super) fn json(status: u16, body: String) -> Self {
        let content_type = "application/json;charset=UTF-8";
        Self { status, content_type, retry_after: None, location: None, body: body.into_bytes(), is_cut: false }
    }

    /// An error of the API.
    pub(super) fn refused(refusal: &Refusal) -> Self {
        Self::json(refusal.status(), refusal.body())
    }

    /// An HTML error page, as a proxy in front of the API sends it.
    fn html(status: u16) -> Self {
        let body = format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n");
        Self { content_type: "text/html", ..Self::json(status, body) }
    }

    /// Sets `Retry-After` of a 429 or 503 response that has none.
    pub(super) fn retry_after(self, wait: Option<&String>) -> Self {
        let is_later = matches!(self.status, 429 | 503);
        Self { retry_after: self.retry_after.or_else(|| wait.filter(|_| is_later).cloned()), ..self }
    }

    /// Encodes the response; a long body is compressed if the client accepts that.
    pub(super) fn response(self, accepted_encodings: &str) -> Response<Payload> {
        let mut builder = Response::builder().status(self.status).header(CONTENT_TYPE, self.content_type);
        if let Some(wait) = &self.retry_after {
            builder = builder.header(RETRY_AFTER, wait);
        }
        if let Some(target) = &self.location {
            builder = builder.header(LOCATION, target);
        }
        let payload = if self.is_cut {
            Either::Right(Cut::new(self.body))
        } else if self.body.len() > SHORT_BYTES && accepted_encodings.contains("gzip") {
            builder = builder.header(CONTENT_ENCODING, "gzip");
            Either::Left(Full::new(Bytes::from(gzip(&self.body))))
        } else {
            Either::Left(Full::new(Bytes::from(self.body)))
        };
        builder.body(payload).expect("tests use only valid statuses and headers")
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing to memory cannot fail")
}

/// The response of a fault; `right` creates the correct response.
///
/// # Errors
/// When the connection must be closed without a response.
pub(super) async fn faulty(fault: Fault, right: impl Fn() -> Reply) -> io::Result<Reply> {
    Ok(match fault {
        Fault::Status(status, true) => Reply::html(status),
        Fault::Status(400, false) => {
            Reply::json(400, refusal::error_body("ValidationError", "size should be at most 15"))
        }
        Fault::Status(status, false) => {
            Reply::json(status, refusal::error_body("InternalServerError", "something went wrong"))
        }
        Fault::Throttled { retry_after } => Reply { retry_after, ..Reply::json(429, Refusal::Throttled.body()) },
        Fault::Unavailable { retry_after } => Reply { retry_after, ..Reply::html(503) },
        Fault::HtmlOk => Reply::html(200),
        Fault::Empty => Reply::json(200, String::new()),
        Fault::Body(body) => Reply::json(200, body),
        Fault::Reply { status, location, body } => Reply { location, ..Reply::json(status, body) },
        Fault::BrokenJson => {
            let mut reply = right();
            reply.body.truncate(reply.body.len() / 2);
            reply
        }
        Fault::CutBody => Reply { is_cut: true, ..right() },
        Fault::Hang => std::future::pending().await,
        Fault::Drop => return Err(io::ErrorKind::ConnectionAborted.into()),
    })
}

/// A truncated body: its first half is sent, then the connection is closed.
#[derive(Debug)]
pub(super) struct Cut {
    claimed: u64,
    half: Option<Bytes>,
    is_flushed: bool,
}

impl Cut {
    fn new(mut body: Vec<u8>) -> Self {
        let claimed = body.len() as u64;
        body.truncate(body.len() / 2);
        Self { claimed, half: Some(Bytes::from(body)), is_flushed: false }
    }
}

impl Body for Cut {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        if self.is_flushed {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        // An immediate error would discard the half that is still buffered.
        self.is_flushed = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.claimed)
    }
}
