//! Servers that close connections in ways that the protocols allow. Their answers contain no places.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

/// An answer without places.
const NOTHING: &str = r#"{"documents":[],"meta":{"is_end":true,"pageable_count":0,"total_count":0}}"#;

/// What a server has counted.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Connections.
    pub(crate) connections: AtomicUsize,
    /// Requests that were answered.
    pub(crate) answered: AtomicUsize,
    /// Requests that were not answered.
    pub(crate) lost: AtomicUsize,
}

impl Seen {
    fn count(counter: &AtomicUsize) -> usize {
        counter.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// Starts an HTTP/1.1 server that answers this many requests per connection, and closes the connection when the next
/// one has arrived. The client sees a connection that was closed just as it was reused. Returns the URL.
pub(crate) fn closes_after(requests: usize, seen: Arc<Seen>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            Seen::count(&seen.connections);
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || answer_some(stream, requests, &seen));
        }
    });
    url
}

fn answer_some(mut stream: TcpStream, requests: usize, seen: &Seen) {
    for _ in 0..requests {
        if !read_request(&mut stream) {
            return;
        }
        let length = NOTHING.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{NOTHING}").unwrap();
        Seen::count(&seen.answered);
    }
    if read_request(&mut stream) {
        Seen::count(&seen.lost);
    }
}

/// Reads to the end of a request without a body; `false` if the client has closed the connection.
fn read_request(stream: &mut TcpStream) -> bool {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return false;
        }
        request.push(byte[0]);
    }
    true
}

/// An HTTP/2 server with TLS that answers three requests per connection. When the fourth arrives, it sends GOAWAY
/// without an error, which names the third as the last one that it processed.
pub(crate) struct SaysGoodbye {
    /// Its URL.
    pub(crate) url: String,
    folder: TempDir,
}

impl SaysGoodbye {
    /// Starts it.
    pub(crate) fn start(seen: Arc<Seen>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Arc::new(tls(folder.path(), "localhost"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                Seen::count(&seen.connections);
                let stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
                let seen = Arc::clone(&seen);
                // An error is ignored: the client may close the connection first.
                std::thread::spawn(move || drop(serve(stream, &seen)));
            }
        });
        Self { url, folder }
    }

    /// The file with the certificate of its authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

/// Creates a certificate authority, and a certificate for a host.
pub(crate) fn tls(folder: &Path, host: &str) -> ServerConfig {
    let script = r#"cd "$0"
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2
        openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj "/CN=$1"
        echo "subjectAltName=DNS:$1" >names
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem"#;
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", script]).arg(folder).arg(host).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(shell.status().unwrap().success(), "openssl makes no certificate");
    let certificates = CertificateDer::pem_file_iter(folder.join("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(certificates, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// The frame types and flags of HTTP/2 (RFC 9113, section 6) that are needed here.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Number of requests that are answered per connection.
const TAKEN: usize = 3;

type Tls = StreamOwned<ServerConnection, TcpStream>;

fn serve(mut stream: Tls, seen: &Seen) -> std::io::Result<()> {
    // The connection preface of the client is always the same 24 bytes.
    stream.read_exact(&mut [0; 24])?;
    send(&mut stream, SETTINGS, 0, 0, &[])?;
    let mut last = 0;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload)?;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match (head[3], head[4] & ACK) {
            (SETTINGS, 0) => send(&mut stream, SETTINGS, ACK, 0, &[])?,
            (PING, 0) => send(&mut stream, PING, ACK, 0, &payload)?,
            // The streams of the client have the numbers 1, 3, 5 and so on.
            (HEADERS, _) if id.div_ceil(2) as usize <= TAKEN => {
                last = id;
                // 0x88 is `:status: 200`.
                send(&mut stream, HEADERS, END_HEADERS, id, &[0x88])?;
                send(&mut stream, DATA, END_STREAM, id, NOTHING.as_bytes())?;
                Seen::count(&seen.answered);
            }
            (HEADERS, _) => {
                Seen::count(&seen.lost);
                send(&mut stream, GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())?;
            }
            _ => {}
        }
    }
}

fn send(stream: &mut Tls, kind: u8, flags: u8, id: u32, payload: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    stream.write_all(&frame)?;
    stream.flush()
}
