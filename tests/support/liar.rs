//! A proxy between the program and the stand-in that changes answers, and a server that makes them up.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use reqwest::Url;

/// An answer: its status and its body.
pub(crate) type Answer = (u16, Vec<u8>);

/// Starts a server that answers each request with the result of `answer`. Returns its URL.
pub(crate) fn answers(answer: impl Fn(&Url) -> Answer + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            // An error is ignored: the client may close the connection first.
            std::thread::spawn(move || drop(serve(stream, answer.as_ref())));
        }
    });
    url
}

/// Starts a proxy that forwards each request to `real`, and answers with the result of `change`. Returns its URL.
pub(crate) fn changes(real: &str, change: impl Fn(&Url, Answer) -> Answer + Send + Sync + 'static) -> String {
    let address = real.trim_start_matches("http://").to_owned();
    answers(move |asked| change(asked, ask(&address, asked).unwrap()))
}

fn serve(mut stream: TcpStream, answer: &(impl Fn(&Url) -> Answer + ?Sized)) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(head) = read_head(&mut stream)? {
        let target = head.split(' ').nth(1).unwrap_or("/");
        let (status, body) = answer(&Url::parse(&format!("http://liar{target}")).unwrap());
        let mut bytes = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend(body);
        stream.write_all(&bytes)?;
    }
    Ok(())
}

/// Reads a request up to the empty line; `None` if the connection was closed.
fn read_head(stream: &mut TcpStream) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        head.extend_from_slice(&buffer[..count]);
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

/// Sends a request to the real server.
fn ask(address: &str, asked: &Url) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    let target = format!("{}?{}", asked.path(), asked.query().unwrap_or_default());
    let key = super::KEY;
    let request =
        format!("GET {target} HTTP/1.1\r\nhost: standin\r\nauthorization: KakaoAK {key}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
    Ok((status, answer.split_off(end)))
}

/// A parameter of a search; empty if it is missing.
pub(crate) fn parameter(asked: &Url, name: &str) -> String {
    asked.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}
