//! A stand-in for the receivers of notices: a monitor, or a webhook.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

/// How a receiver answers.
#[derive(Clone, Debug, Default)]
pub(crate) enum Mood {
    /// With 200.
    #[default]
    Accepts,
    /// With this status.
    Answers(u16),
    /// With a redirect to this URL.
    Redirects(String),
    /// Not at all.
    Hangs,
}

/// A request that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The path and the query.
    pub(crate) target: String,
    /// The header `Idempotency-Key`.
    pub(crate) key: Option<String>,
    /// The body.
    pub(crate) body: String,
    /// Whether it was accepted.
    pub(crate) accepted: bool,
}

impl Heard {
    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The receiver.
#[derive(Debug)]
pub(crate) struct Receiver {
    /// Its URL, without a path.
    pub(crate) url: String,
    mood: Arc<Mutex<Mood>>,
    heard: mpsc::Receiver<Heard>,
}

impl Receiver {
    /// Starts one that accepts everything.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (arrived, heard) = mpsc::channel(1000);
        let mood = Arc::new(Mutex::new(Mood::default()));
        let current = Arc::clone(&mood);
        std::thread::spawn(move || {
            // Connections that are never answered stay open.
            let mut hanging = Vec::new();
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mood = current.lock().unwrap().clone();
                if let Some(request) = answer(&mut stream, &mood) {
                    arrived.blocking_send(request).ok();
                }
                if matches!(mood, Mood::Hangs) {
                    hanging.push(stream);
                }
            }
        });
        Self { url, mood, heard }
    }

    /// Changes how it answers from now on.
    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// The next request; it waits until one arrives.
    pub(crate) async fn next(&mut self) -> Heard {
        let patience = Duration::from_mins(1);
        tokio::time::timeout(patience, self.heard.recv()).await.expect("a request arrives").unwrap()
    }

    /// The requests that have arrived and were not returned yet.
    pub(crate) fn rest(&mut self) -> Vec<Heard> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }
}

/// Reads a request and answers it.
fn answer(stream: &mut TcpStream, mood: &Mood) -> Option<Heard> {
    let mut request = read(stream)?;
    request.accepted = matches!(mood, Mood::Accepts);
    let status = match mood {
        Mood::Accepts => "200 OK".to_owned(),
        Mood::Answers(status) => format!("{status} No"),
        Mood::Redirects(to) => format!("302 Found\r\nlocation: {to}"),
        Mood::Hangs => return Some(request),
    };
    write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").ok();
    Some(request)
}

/// Reads a request; `None` if the client goes before its end.
fn read(stream: &mut TcpStream) -> Option<Heard> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        text.extend(&buffer[..count]);
        let whole = String::from_utf8_lossy(&text);
        let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
        let header = |name: &str| {
            let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
            fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        let length = header("content-length").map_or(0, |length| length.parse().unwrap());
        if body.len() >= length {
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            return Some(Heard { target, key: header("idempotency-key"), body: body.to_owned(), accepted: false });
        }
    }
}
