//! Connections that the server closes as the protocol allows: no failure, no retry, no pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::Stage;
use crate::support::hostile::{SaysGoodbye, Seen, closes_after};
use crate::support::program::Program;
use crate::support::town::scattered;

/// A crawl of ten stations on one connection at a time. A pause would take an hour.
fn crawl(stage: &Stage, url: &str) -> Program {
    stage.set_stations(&scattered(10));
    let crawl = stage.program(&["crawl"]).set("SANGGWOND_KAKAO__BASE_URL", url);
    crawl.set("SANGGWOND_KAKAO__MAX_IN_FLIGHT", "1").set("SANGGWOND_KAKAO__BACKOFF", "1h")
}

/// Number of requests of a crawl: one for each of two keywords around each station.
const REQUESTS: usize = 20;

fn read(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::SeqCst)
}

/// The status and the request counters of the run.
async fn row(stage: &Stage) -> String {
    stage.value("select format('%s: %s requests, %s retries', status, requests, retries) from crawl_run").await
}

#[tokio::test]
async fn a_connection_that_is_closed_while_it_is_reused_is_not_a_failure() {
    let (stage, seen) = (Stage::small().await, Arc::new(Seen::default()));
    let url = closes_after(2, Arc::clone(&seen));

    crawl(&stage, &url).finish().await.expect_code(0);

    // Requests that were lost with a connection were sent, and count.
    let sent = REQUESTS + read(&seen.lost);
    assert_eq!(row(&stage).await, format!("succeeded: {sent} requests, 0 retries"));
    assert_eq!(read(&seen.answered), REQUESTS);
    let reserved: i32 = stage.value("select requests from api_usage").await;
    assert_eq!(reserved, i32::try_from(sent).unwrap());
    // The client may open more connections than it needs in the end.
    assert!(read(&seen.connections) >= 10 && read(&seen.lost) > 0, "{seen:?}");
}

#[tokio::test]
async fn a_connection_that_never_answered_is_a_failure() {
    let (stage, seen) = (Stage::small().await, Arc::new(Seen::default()));
    let url = closes_after(0, Arc::clone(&seen));

    let crawl = stage.program(&["crawl"]).set("SANGGWOND_KAKAO__BASE_URL", &url);
    let finished = crawl.set("SANGGWOND_KAKAO__INTERRUPT_AFTER", "200ms").finish().await.expect_code(4);

    assert!(finished.stdout.contains("run 1 interrupted (no good answer for "), "{}", finished.stdout);
    let sent: i64 = stage.value("select requests from crawl_run").await;
    assert!(read(&seen.lost) <= 16, "{seen:?}, {sent} requests");
}

#[tokio::test]
async fn an_http2_goaway_is_not_an_outage_and_unprocessed_requests_are_sent_again() {
    let (stage, seen) = (Stage::small().await, Arc::new(Seen::default()));
    let server = tokio::task::spawn_blocking({
        let seen = Arc::clone(&seen);
        move || SaysGoodbye::start(seen)
    });
    let server = server.await.unwrap();

    let crawl = crawl(&stage, &server.url).set("SSL_CERT_FILE", server.authority().to_str().unwrap());
    crawl.finish().await.expect_code(0);

    assert_eq!(row(&stage).await, "succeeded: 20 requests, 0 retries");
    assert_eq!(read(&seen.answered), REQUESTS);
    assert_eq!((read(&seen.connections), read(&seen.lost)), (7, 6));
}
