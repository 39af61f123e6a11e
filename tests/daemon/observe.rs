//! What is seen of a daemon from outside: metrics, liveness, readiness.

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::program::{Program, Running};
use crate::support::{KEY, Stage};

/// Where it listens, out of its own words.
pub(crate) async fn address(daemon: &mut Running) -> String {
    daemon.says("observed at http://").await;
    let said = daemon.stderr();
    let rest = said.split("observed at http://").nth(1).unwrap();
    rest.split([':', '"']).take(2).collect::<Vec<_>>().join(":")
}

pub(crate) async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn observed(stage: &Stage, arguments: &[&str]) -> Program {
    stage.program(arguments).set("SANGGWOND_OBSERVE__LISTEN", "127.0.0.1:0")
}

/// The value of a series.
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find(|line| line.rsplit_once(' ').is_some_and(|(name, _)| name == series));
    let line = line.unwrap_or_else(|| panic!("there is no {series} in\n{metrics}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn every_series_is_there_before_the_first_request_and_counts_after_it() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let mut daemon = observed(&stage, &[]).start();
    let address = address(&mut daemon).await;
    stage.standin.reached(5).await;

    let before = get(&address, "/metrics").await;
    assert!(before.contains("content-type: application/openmetrics-text"), "{before}");
    for outcome in
        ["good", "throttled", "unavailable", "unreachable", "broken", "refused", "key_refused", "quota_spent"]
    {
        assert!(value(&before, &format!("sanggwond_requests_total{{outcome=\"{outcome}\"}}")) < 0.5);
    }
    for status in ["succeeded", "partial", "failed", "interrupted"] {
        assert!(value(&before, &format!("sanggwond_runs_total{{status=\"{status}\"}}")) < 0.5);
        assert!(value(&before, &format!("sanggwond_run_last_status{{status=\"{status}\"}}")) < 0.5);
    }
    let now = [("requests_in_flight", 5.0), ("run_active", 1.0), ("run_last_success_timestamp_seconds", 0.0)];
    for (name, expected) in now {
        assert!((value(&before, &format!("sanggwond_{name}")) - expected).abs() < 0.5, "{name} in\n{before}");
    }
    stage.standin.release();
    daemon.says("ended as succeeded").await;

    let after = get(&address, "/metrics").await;
    assert!(value(&after, "sanggwond_requests_total{outcome=\"good\"}") > 7.5);
    assert!(value(&after, "sanggwond_request_duration_seconds_count") > 7.5);
    assert!(value(&after, "sanggwond_runs_total{status=\"succeeded\"}") > 0.5);
    assert!(value(&after, "sanggwond_places_total{change=\"new\"}") > 25.5);
    assert!(value(&after, "sanggwond_next_tick_timestamp_seconds") > 1e9);
    assert!(!after.contains(KEY), "the key is in\n{after}");
    assert!(get(&address, "/readyz").await.starts_with("HTTP/1.1 200"), "the database answers");
    assert!(get(&address, "/").await.starts_with("HTTP/1.1 404"));
    daemon.signal(Signal::SIGTERM);
    daemon.finish().await.expect_code(0);

    // The next one knows of the success before it has done anything.
    let mut daemon = observed(&stage, &[]).start();
    let address = self::address(&mut daemon).await;
    daemon.says("next runs by").await;
    let told = "select floor(extract(epoch from finished_at))::float8 from crawl_run";
    let finished_at: f64 = stage.value(told).await;
    while get(&address, "/readyz").await.starts_with("HTTP/1.1 503") {}
    while (value(&get(&address, "/metrics").await, "sanggwond_run_last_success_timestamp_seconds") - finished_at).abs()
        > 0.5
    {}
    let metrics = get(&address, "/metrics").await;
    assert!(value(&metrics, "sanggwond_run_last_status{status=\"succeeded\"}") > 0.5);
    assert!((value(&metrics, "sanggwond_quota_left") - 99_992.0).abs() < 0.5, "{metrics}");
}

#[tokio::test]
async fn a_daemon_without_its_database_is_alive_and_not_ready() {
    let stage = Stage::small().await;
    let mut daemon = observed(&stage, &[]).set("DATABASE_URL", "postgres://nobody@localhost:1/none").start();
    let address = address(&mut daemon).await;
    daemon.says("trying again in").await;

    assert!(get(&address, "/livez").await.starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/readyz").await.starts_with("HTTP/1.1 503"));
    let listen = |health: Program| health.set("SANGGWOND_OBSERVE__LISTEN", &address);
    let healthy = listen(stage.program(&["health"])).finish().await.expect_code(0);
    assert_eq!(healthy.stdout, "the daemon is alive: ok\n");

    daemon.signal(Signal::SIGTERM);
    daemon.finish().await.expect_code(0);
    let gone = listen(stage.program(&["health"])).finish().await.expect_code(1);
    assert!(gone.stderr.contains("nobody answers at http://127.0.0.1:"), "{}", gone.stderr);
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_sentence() {
    let stage = Stage::small().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let finished = stage.program(&[]).set("SANGGWOND_OBSERVE__LISTEN", &address).finish().await.expect_code(1);

    let sentence = format!("could not listen on {address}, which observe.listen names");
    assert!(finished.stderr.contains(&sentence), "{}", finished.stderr);
    let wrong = stage.program(&[]).set("SANGGWOND_OBSERVE__LISTEN", "9464").finish().await.expect_code(2);
    assert!(wrong.stderr.contains("observe.listen"), "{}", wrong.stderr);
}
