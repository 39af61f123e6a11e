//! Tests of the stand-in's responses over HTTP.

use flate2::read::GzDecoder;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::standin::samples::{at, place};
use crate::standin::{Fault, World};

const SEARCH: &str = "/v2/local/search/keyword.json?query=%EC%B9%B4%ED%8E%98";
const KEY: &str = "Authorization: KakaoAK abc\r\n";

/// A raw response; empty if the connection was closed without one.
#[derive(Debug, Default)]
struct Received {
    head: String,
    body: Vec<u8>,
    /// The value of `Content-Length`.
    length: usize,
}

impl Received {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap_or("0").parse().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn standin(places: i32) -> Standin {
    let places = (0..places).map(|number| place(&format!("{}", 10_000_000 + number), at(37.5, 127.0)));
    Standin::new(World::new(places.collect()))
}

/// Serves a stand-in while a test runs.
async fn served<T>(standin: &Standin, test: impl AsyncFnOnce(SocketAddr) -> T) -> T {
    let listening = standin.bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listening.address;
    tokio::select! {
        () = listening.serve() => unreachable!("it serves until it is dropped"),
        result = test(address) => result,
    }
}

async fn send(stream: &mut TcpStream, target: &str, headers: &str) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> Received {
    let mut reply = Received::default();
    while !reply.head.ends_with("\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return reply };
        reply.head.push(char::from(byte));
    }
    let length = |line: &str| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned);
    reply.length = reply.head.lines().find_map(length).unwrap().parse().unwrap();
    stream.take(reply.length as u64).read_to_end(&mut reply.body).await.unwrap();
    reply
}

async fn get(address: SocketAddr, target: &str, headers: &str) -> Received {
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, target, headers).await;
    receive(&mut stream).await
}

/// The response of a fault.
async fn reply_to(fault: Fault) -> Received {
    let standin = standin(20);
    standin.script([fault]);
    let reply = served(&standin, async |address| get(address, SEARCH, KEY).await).await;
    assert_eq!((standin.faults(), standin.requests(), standin.in_flight()), (1, 1, 0));
    reply
}

#[tokio::test]
async fn one_connection_carries_many_searches() {
    let standin = standin(20);

    served(&standin, async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        for (page, count) in [(1, 15), (2, 5)] {
            send(&mut stream, &format!("{SEARCH}&page={page}"), KEY).await;
            let reply = receive(&mut stream).await;
            assert_eq!(reply.status(), 200);
            assert_eq!(reply.json()["documents"].as_array().unwrap().len(), count);
        }
    })
    .await;

    assert_eq!((standin.connections(), standin.requests(), standin.in_flight()), (1, 2, 0));
}

#[tokio::test]
async fn the_figures_of_the_server_count_searches_and_not_themselves() {
    let standin = standin(20);

    let stats = served(&standin, async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        for target in [SEARCH, STATS, SEARCH, STATS] {
            send(&mut stream, target, KEY).await;
            receive(&mut stream).await;
        }
        get(address, STATS, "").await.json()
    })
    .await;

    let [busy_s, elapsed_s] = ["busy_s", "elapsed_s"].map(|name| stats[name].as_f64().unwrap());
    assert!(busy_s > 0.0 && busy_s <= elapsed_s, "{stats}");
    assert_eq!((stats["requests"].as_u64(), standin.requests()), (Some(2), 2));
}

#[tokio::test]
async fn a_wrong_key_is_rejected_and_repeated_in_the_message() {
    let standin = standin(1);
    standin.set(Switches { api_key: Some("secret".to_owned()), ..Switches::default() });

    served(&standin, async |address| {
        let (none, wrong) = (get(address, SEARCH, "").await, get(address, SEARCH, KEY).await);
        assert_eq!((none.status(), wrong.status()), (401, 401));
        assert_eq!(none.json()["message"], "cannot find Authorization : KakaoAK header");
        assert_eq!(wrong.json()["message"], "appKey(abc) does not exist");
        assert_eq!(get(address, SEARCH, "Authorization: KakaoAK secret\r\n").await.status(), 200);
    })
    .await;
}

#[tokio::test]
async fn invalid_parameters_and_unknown_paths_are_api_errors() {
    served(&standin(1), async |address| {
        let missing = get(address, "/v2/local/search/keyword.json?x=1", KEY).await;
        assert_eq!((missing.status(), missing.json()["errorType"].clone()), (400, "MissingParameter".into()));
        assert_eq!(get(address, "/v2/local/search/other.json?query=a", KEY).await.status(), 404);
        let category = get(address, "/v2/local/search/category.json?category_group_code=CE7", KEY).await.json();
        assert_eq!((&category["meta"]["same_name"], &category["meta"]["total_count"]), (&Value::Null, &1.into()));
    })
    .await;
}

#[tokio::test]
async fn an_exhausted_quota_has_two_formats() {
    let standin = standin(1);
    let spent = Switches {
        daily_quota: Some(0),
        retry_after: Some("30".to_owned()),
        latency: Duration::from_hours(1),
        ..Switches::default()
    };

    served(&standin, async |address| {
        standin.set(spent.clone());
        let throttled = get(address, SEARCH, KEY).await;
        assert_eq!((throttled.status(), throttled.json()["errorType"].clone()), (429, "RequestThrottled".into()));
        assert!(throttled.head.contains("retry-after: 30\r\n"), "{}", throttled.head);
        standin.set(Switches { quota_as_code: true, ..spent });
        let code = get(address, SEARCH, KEY).await;
        assert_eq!((code.status(), code.json()["code"].clone()), (400, (-10).into()));
    })
    .await;

    assert_eq!(standin.throttled(), 2);
}

#[tokio::test]
async fn a_held_request_is_in_flight_and_one_too_many_is_throttled() {
    let standin = standin(1);
    standin.set(Switches { max_in_flight: Some(1), ..Switches::default() });
    standin.hold();

    let (first, second, ()) = served(&standin, async |address| {
        let release = async {
            standin.reached(2).await;
            assert_eq!((standin.in_flight(), standin.peak_in_flight()), (2, 2));
            standin.release();
        };
        tokio::join!(get(address, SEARCH, KEY), get(address, SEARCH, KEY), release)
    })
    .await;

    let mut statuses = [first.status(), second.status()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 429]);
    assert_eq!((standin.throttled(), standin.in_flight()), (1, 0));
}

#[tokio::test]
async fn a_cut_body_ends_in_the_middle_of_its_length() {
    let reply = reply_to(Fault::CutBody).await;

    assert_eq!(reply.status(), 200);
    assert!(reply.length > 1000 && reply.body.len() == reply.length / 2, "{} {}", reply.length, reply.body.len());
}

#[tokio::test]
async fn broken_json_is_a_complete_body() {
    let reply = reply_to(Fault::BrokenJson).await;

    assert_eq!((reply.status(), reply.body.len()), (200, reply.length));
    assert!(reply.length > 500 && serde_json::from_slice::<Value>(&reply.body).is_err());
}

#[tokio::test]
async fn a_dropped_connection_sends_nothing() {
    assert_eq!(reply_to(Fault::Drop).await.head, "");
}

#[tokio::test]
async fn each_fault_has_its_response() {
    assert_eq!(reply_to(Fault::Empty).await.length, 0);
    assert_eq!(reply_to(Fault::Body("[]".to_owned())).await.body, b"[]");
    let retry_after = Some("7".to_owned());
    let throttled = reply_to(Fault::Throttled { retry_after: retry_after.clone() }).await;
    assert!(throttled.status() == 429 && throttled.head.contains("retry-after: 7\r\n"));
    let unavailable = reply_to(Fault::Unavailable { retry_after }).await;
    assert!(unavailable.status() == 503 && unavailable.head.contains("retry-after: 7\r\n"));
    assert_eq!(reply_to(Fault::Status(500, false)).await.json()["errorType"], "InternalServerError");
    for (fault, status) in [(Fault::Status(502, true), 502), (Fault::HtmlOk, 200)] {
        let reply = reply_to(fault).await;
        assert!(reply.status() == status && reply.body.starts_with(b"<html>"), "{reply:?}");
    }
}

#[tokio::test]
async fn a_hanging_request_is_in_flight_until_its_client_disconnects() {
    let standin = standin(1);
    standin.script([Fault::Hang]);

    served(&standin, async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        send(&mut stream, SEARCH, KEY).await;
        standin.reached(1).await;
        assert_eq!(get(address, SEARCH, KEY).await.status(), 200);
        assert_eq!(standin.in_flight(), 1);
        assert_eq!(stream.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(stream);
        while standin.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn long_responses_are_compressed_if_the_client_accepts_it() {
    served(&standin(20), async |address| {
        let plain = get(address, SEARCH, KEY).await;
        let packed = get(address, SEARCH, &format!("{KEY}Accept-Encoding: gzip, br\r\n")).await;
        let mut unpacked = Vec::new();
        io::Read::read_to_end(&mut GzDecoder::new(packed.body.as_slice()), &mut unpacked).unwrap();
        assert!(packed.head.contains("content-encoding: gzip\r\n") && !plain.head.contains("gzip"));
        assert!(packed.length < plain.length / 4 && unpacked == plain.body);
    })
    .await;
}

#[tokio::test]
async fn the_world_can_change_between_two_requests() {
    let standin = standin(1);

    served(&standin, async |address| {
        assert_eq!(get(address, SEARCH, KEY).await.json()["meta"]["total_count"], 1);
        standin.set_world(World::new(Vec::new()));
        assert_eq!(get(address, SEARCH, KEY).await.json()["meta"]["total_count"], 0);
    })
    .await;
}

#[tokio::test]
async fn requests_are_logged_with_the_status_of_their_answers() {
    let standin = standin(1);
    standin.record(true);
    standin.script([Fault::Drop]);

    served(&standin, async |address| {
        get(address, SEARCH, KEY).await;
        get(address, &format!("{SEARCH}&page=2"), &format!("{KEY}User-Agent: test/1\r\n")).await;
        standin.record(false);
        get(address, SEARCH, KEY).await;
    })
    .await;

    let recorded = standin.recorded();
    assert_eq!(recorded.iter().map(|entry| entry.status).collect::<Vec<_>>(), [0, 200]);
    assert_eq!((recorded[1].params["query"].as_str(), recorded[1].params["page"].as_str()), ("카페", "2"));
    assert_eq!(recorded[1].user_agent.as_deref(), Some("test/1"));
    assert_eq!(recorded[1].authorization.as_deref(), Some("KakaoAK abc"));
}

#[tokio::test]
async fn the_end_of_serving_closes_the_connections() {
    let mut stream = served(&standin(1), async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        send(&mut stream, SEARCH, KEY).await;
        receive(&mut stream).await;
        stream
    })
    .await;

    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}
