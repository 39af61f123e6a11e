//! A server in front of the stand-in that speaks HTTP/2 over TLS, as servers of this kind do. It passes requests on over
//! HTTP/1.1. Where the stand-in closes a connection without an answer, or in the middle of one, it resets the stream
//! (`RST_STREAM`).

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::header::HOST;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Stage;
use super::hostile::tls;
use super::program::Program;

/// How a front treats its connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// The host of its certificate.
    pub(crate) certificate_for: &'static str,
    /// `SETTINGS_MAX_CONCURRENT_STREAMS`.
    pub(crate) streams: u32,
    /// What becomes of a connection with its n-th request.
    pub(crate) farewell: Option<(usize, Farewell)>,
}

/// How a front ends a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Farewell {
    /// GOAWAY; the requests in flight are answered.
    GoAway,
    /// A reset of the TCP connection.
    Reset,
}

impl Default for Manner {
    fn default() -> Self {
        Self { certificate_for: "localhost", streams: 100, farewell: None }
    }
}

/// The server. It ends with its value.
pub(crate) struct Front {
    url: String,
    folder: TempDir,
    connections: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Front {
    /// Starts one in front of the stand-in of a stage.
    pub(crate) async fn of(stage: &Stage, manner: Manner) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls(folder.path(), manner.certificate_for)));
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let (connections, target) = (Arc::new(AtomicUsize::new(0)), stage.api_url.clone());
        let mut serving = JoinSet::new();
        let counter = Arc::clone(&connections);
        serving.spawn(async move {
            let mut conversations = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let (acceptor, target) = (acceptor.clone(), target.clone());
                // An error is ignored: the client may close the connection, or reject the certificate.
                conversations.spawn(async move { drop(converse(stream, acceptor, &target, manner).await) });
            }
        });
        Self { url, folder, connections, _serving: serving }
    }

    /// The binary with these arguments, which sends its requests here.
    pub(crate) fn program(&self, stage: &Stage, arguments: &[&str]) -> Program {
        stage.program(arguments).set("SANGGWOND_KAKAO__BASE_URL", &self.url).set("SSL_CERT_FILE", self.authority())
    }

    /// The number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The file with the certificate of its authority.
    fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

async fn converse(stream: TcpStream, acceptor: TlsAcceptor, target: &str, manner: Manner) -> io::Result<()> {
    // What is left unsent when the connection is dropped becomes a reset.
    stream.set_zero_linger()?;
    let stream = acceptor.accept(stream).await?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let (count, is_over) = (AtomicUsize::new(0), Notify::new());
    let service = service_fn(|request: Request<Incoming>| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        if manner.farewell.is_some_and(|(last, _)| number == last) {
            is_over.notify_one();
        }
        pass_on(client.clone(), target.to_owned(), request)
    });
    let builder = {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.max_concurrent_streams(manner.streams);
        builder
    };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    loop {
        tokio::select! {
            ended = &mut connection => return ended.map_err(io::Error::other),
            () = is_over.notified() => match manner.farewell {
                Some((_, Farewell::GoAway)) => connection.as_mut().graceful_shutdown(),
                Some((_, Farewell::Reset)) | None => return Ok(()),
            },
        }
    }
}

async fn pass_on(
    client: Client<HttpConnector, Empty<Bytes>>,
    target: String,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri: Uri = format!("{target}{path}").parse().unwrap();
    let mut onward = Request::get(uri).body(Empty::new()).unwrap();
    *onward.headers_mut() = request.headers().clone();
    onward.headers_mut().remove(HOST);
    client.request(onward).await
}
