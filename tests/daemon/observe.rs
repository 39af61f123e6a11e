//! The monitoring endpoints of a daemon: metrics, liveness, readiness.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use sanggwond::standin::Fault;

use crate::support::program::{Program, Running};
use crate::support::{KEY, Stage, lacks};

/// The address of the endpoints, from the daemon's log.
pub(crate) async fn address(daemon: &mut Running) -> String {
    daemon.says("monitoring endpoints at http://").await;
    let said = daemon.stderr();
    let rest = said.split("monitoring endpoints at http://").nth(1).unwrap();
    rest.split([':', '"']).take(2).collect::<Vec<_>>().join(":")
}

pub(crate) async fn get(address: &str, path: &str) -> String {
    get_as(address, path, "*/*").await
}

/// The response to a request that accepts these content types.
async fn get_as(address: &str, path: &str, accept: &str) -> String {
    get_with(address, path, &format!("Accept: {accept}\r\n")).await
}

/// The response to a request with these headers.
pub(crate) async fn get_with(address: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

pub(crate) fn observed(stage: &Stage, arguments: &[&str]) -> Program {
    stage.program(arguments).set("SANGGWOND_OBSERVE__LISTEN", "127.0.0.1:0")
}

/// The value of a metric.
pub(crate) fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find(|line| line.rsplit_once(' ').is_some_and(|(name, _)| name == series));
    let line = line.unwrap_or_else(|| panic!("there is no {series} in\n{metrics}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn every_series_exists_before_the_first_request_and_counts_after_it() {
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
    assert!(get(&address, "/nowhere").await.starts_with("HTTP/1.1 404"));
    daemon.terminate().await.expect_code(0);

    // The next daemon reports the last success before it has run anything.
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

    daemon.terminate().await.expect_code(0);
    let gone = listen(stage.program(&["health"])).finish().await.expect_code(1);
    assert!(gone.stderr.contains("no response from http://127.0.0.1:"), "{}", gone.stderr);
}

/// Connections that send these bytes and then stay open.
pub(crate) async fn loiterers(address: &str, count: usize, words: &[u8]) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(words).await.unwrap();
        streams.push(stream);
    }
    streams
}

/// The processor time that a process has used, in ticks of 10 ms.
fn ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn idle_clients_do_not_block_the_health_endpoint() {
    let stage = Stage::small().await;
    let mut daemon = observed(&stage, &[]).start();
    let address = address(&mut daemon).await;

    for words in [
        "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: a\r\n",
        "POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nx",
        "",
    ] {
        let _streams = loiterers(&address, 40, words.as_bytes()).await;

        assert!(get(&address, "/livez").await.starts_with("HTTP/1.1 200"), "{words:?}");
        let health = stage.program(&["health"]).set("SANGGWOND_OBSERVE__LISTEN", &address);
        health.finish().await.expect_code(0);
    }
}

#[tokio::test]
async fn a_connection_gets_one_answer_even_if_the_client_half_closes_it() {
    let stage = Stage::small().await;
    let mut daemon = observed(&stage, &[]).start();
    let address = address(&mut daemon).await;
    let request = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";

    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(request.repeat(3).as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    // The system may reset the connection, because not all bytes of the client were read.
    stream.read_to_end(&mut answer).await.ok();

    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

/// Usual number of open file descriptors of the daemon.
const USUALLY_OPEN: usize = 24;

#[tokio::test]
async fn a_daemon_without_free_file_descriptors_uses_little_cpu_and_answers() {
    let stage = Stage::small().await;
    let mut daemon = observed(&stage, &[]).start();
    let address = address(&mut daemon).await;
    daemon.says("ended as succeeded").await;
    let pid = daemon.pid();
    // Only root may read this. Otherwise the usual number is assumed.
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(USUALLY_OPEN, Iterator::count);
    assert!((USUALLY_OPEN - 4..USUALLY_OPEN + 16).contains(&open), "{open} are open");
    let limit = format!("--nofile={0}:{0}", open + 4);
    let limited = std::process::Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status().unwrap();
    assert!(limited.success());
    let before = ticks(pid);

    let _streams = loiterers(&address, 30, b"").await;
    daemon.says("could not accept a monitoring connection").await;
    assert!(get(&address, "/livez").await.starts_with("HTTP/1.1 200"));

    let used = ticks(pid) - before;
    assert!(used < 50, "{used} ticks of 10 ms");
}

#[tokio::test]
async fn a_port_that_is_in_use_is_an_error_with_its_address() {
    let stage = Stage::small().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let finished = stage.program(&[]).set("SANGGWOND_OBSERVE__LISTEN", &address).finish().await.expect_code(1);

    let sentence = format!("could not listen on {address} (observe.listen)");
    assert!(finished.stderr.contains(&sentence), "{}", finished.stderr);
    let wrong = stage.program(&[]).set("SANGGWOND_OBSERVE__LISTEN", "9464").finish().await.expect_code(2);
    assert!(wrong.stderr.contains("observe.listen"), "{}", wrong.stderr);
}

#[tokio::test]
async fn the_metrics_are_in_the_format_that_is_accepted_and_promtool_finds_no_fault() {
    let stage = Stage::small().await;
    let mut daemon = observed(&stage, &[]).start();
    let address = address(&mut daemon).await;
    daemon.says("ended as succeeded").await;

    // As Prometheus asks, as an older one asks, and as a browser does.
    let both = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (accept, is_text) in [(both, false), ("text/plain;version=0.0.4;q=1,*/*;q=0.1", true), ("text/html,*/*", false)]
    {
        let answer = get_as(&address, "/metrics", accept).await;

        assert_eq!(answer.contains("content-type: text/plain; version=0.0.4"), is_text, "{accept}: {answer}");
        assert_eq!(answer.contains("# EOF"), !is_text, "{accept}");
        assert!(value(&answer, "sanggwond_requests_total{outcome=\"good\"}") > 7.5, "{accept}");
    }
    let text = get_as(&address, "/metrics", "text/plain").await;
    let (_, metrics) = text.split_once("\r\n\r\n").unwrap();
    daemon.terminate().await.expect_code(0);
    let Ok(mut promtool) = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
    else {
        return lacks("promtool check metrics", "promtool is not installed");
    };
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), metrics.as_bytes()).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    assert!(checked.status.success(), "{}{metrics}", String::from_utf8_lossy(&checked.stderr));
}

#[tokio::test]
async fn the_run_at_work_its_pauses_and_the_process_have_metrics() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let mut daemon = observed(&stage, &[]).start();
    let address = address(&mut daemon).await;
    stage.standin.reached(5).await;

    // The cells are shown at the first ping of the run lock.
    let mut at_work = get(&address, "/metrics").await;
    while value(&at_work, "sanggwond_run_cells{state=\"pending\"}") < 5.5 {
        at_work = get(&address, "/metrics").await;
    }
    stage.standin.release();
    daemon.says("run 1 ended as succeeded").await;
    stage.standin.script([Fault::Unavailable { retry_after: Some("1".to_owned()) }]);
    stage.program(&["request"]).finish().await.expect_code(0);
    daemon.says("run 2 ended as succeeded").await;
    let after = get(&address, "/metrics").await;
    daemon.terminate().await.expect_code(0);

    assert!(value(&at_work, "sanggwond_run_started_timestamp_seconds") > 1e9);
    assert!(value(&after, "sanggwond_gate_paused_seconds_total{outcome=\"unavailable\"}") > 0.9, "{after}");
    assert!(value(&at_work, "process_resident_memory_bytes") > 1e6);
    assert!(value(&at_work, "process_open_fds") > 3.0 && value(&at_work, "process_max_fds") > 3.0);
    assert!(value(&at_work, "process_cpu_seconds_total") >= 0.0 && value(&at_work, "process_start_time_seconds") > 1e9);
    for series in ["run_started_timestamp_seconds", "run_cells{state=\"done\"}", "run_places_seen"] {
        assert!(value(&after, &format!("sanggwond_{series}")).abs() < 0.5, "{series}: {after}");
    }
}
