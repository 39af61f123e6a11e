//! The API over HTTP/2 and TLS: the same faults, and those that only this protocol has.

use crate::faults::{ALL, places_and_listings, survives_each_fault};
use crate::support::Stage;
use crate::support::front::{Farewell, Front, Manner};

async fn status(stage: &Stage) -> String {
    stage.value("select concat_ws(': ', status, reason) from crawl_run").await
}

/// The requests that the run counted.
async fn counted(stage: &Stage) -> u64 {
    u64::try_from(stage.value::<i64>("select requests from crawl_run").await).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_repeated_after_each_kind_of_fault_over_http2() {
    survives_each_fault(async |stage| Some(Front::of(stage, Manner::default()).await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_end_with_goaway_cost_nothing() {
    let stage = Stage::small().await;
    let front = Front::of(&stage, Manner { farewell: Some((2, Farewell::GoAway)), ..Manner::default() }).await;

    front.program(&stage, &["crawl"]).set("SANGGWOND_KAKAO__BACKOFF", "1h").finish().await.expect_code(0);

    assert_eq!(status(&stage).await, "succeeded");
    assert_eq!(places_and_listings(&stage).await, ALL);
    assert_eq!(counted(&stage).await, stage.standin.requests());
    assert!(front.connections() > 1, "{} connections", front.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_reset_lose_no_place_and_no_request() {
    let stage = Stage::small().await;
    let front = Front::of(&stage, Manner { farewell: Some((2, Farewell::Reset)), ..Manner::default() }).await;

    front.program(&stage, &["crawl"]).finish().await.expect_code(0);

    assert_eq!(status(&stage).await, "succeeded");
    assert_eq!(places_and_listings(&stage).await, ALL);
    assert!(counted(&stage).await >= stage.standin.requests(), "every request that arrived is counted");
    assert!(front.connections() > 1, "{} connections", front.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_host_is_no_api() {
    let stage = Stage::small().await;
    let front = Front::of(&stage, Manner { certificate_for: "elsewhere.example", ..Manner::default() }).await;

    let crawl = front.program(&stage, &["crawl"]).set("SANGGWOND_KAKAO__INTERRUPT_AFTER", "200ms");
    crawl.finish().await.expect_code(4);

    let status = status(&stage).await;
    assert!(status.starts_with("interrupted: no good answer for ") && status.contains("certificate"), "{status}");
    assert_eq!((stage.standin.requests(), counted(&stage).await), (0, 0), "the key was sent to nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_at_a_time_is_enough() {
    let stage = Stage::small().await;
    let front = Front::of(&stage, Manner { streams: 1, ..Manner::default() }).await;

    front.program(&stage, &["crawl"]).set("SANGGWOND_KAKAO__BACKOFF", "1h").finish().await.expect_code(0);

    assert_eq!(status(&stage).await, "succeeded");
    assert_eq!(places_and_listings(&stage).await, ALL);
    assert_eq!((counted(&stage).await, stage.standin.peak_in_flight()), (stage.standin.requests(), 1));
}
