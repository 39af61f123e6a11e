//! The log: every cause, numbers as numbers, local times, and no messages of other crates.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sanggwond::standin::{Fault, Switches};
use serde_json::Value;

use crate::support::Stage;
use crate::support::program::{Finished, Program};

/// The levels of a filter.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// The lines on stderr as JSON.
fn lines(stderr: &str) -> Vec<Value> {
    stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

/// The lines whose message starts with these words.
fn saying<'a>(lines: &'a [Value], words: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["message"].as_str().unwrap().starts_with(words)).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The directives of log filters in the documentation.
fn documented_filters() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = ["README.md", "config/default.toml", "src/telemetry.rs"].map(|path| root.join(path)).to_vec();
    documents.extend(files(&root.join("deploy")));
    let texts = documents.iter().filter_map(|path| fs::read_to_string(path).ok());
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '=');
    let is_directive = |word: &&str| word.split_once('=').is_some_and(|(_, level)| LEVELS.contains(&level));
    texts
        .flat_map(|text| {
            // Skip the unit tests of a file.
            let text = text.split("#[cfg(test)]").next().unwrap().to_owned();
            let words = text.split(|c: char| !is_part(c)).filter(is_directive).map(str::to_owned);
            words.filter(|word| word.contains("::") || word.contains('_')).collect::<Vec<_>>()
        })
        .collect()
}

#[tokio::test]
async fn every_filter_that_the_documentation_names_produces_lines() {
    let filters = documented_filters();
    assert!(filters.contains("sanggwond::kakao=debug") && filters.contains("sanggwond::store=debug"), "{filters:?}");

    for filter in filters {
        let stage = Stage::small().await;
        stage.standin.script([Fault::Status(500, false)]);
        let finished = stage.program(&["crawl"]).set("SANGGWOND_LOG__FILTER", &filter).finish().await.expect_code(0);

        let (target, level) = filter.split_once('=').unwrap();
        let is_of_filter = |line: &Value| {
            line["target"].as_str().unwrap().starts_with(target)
                && line["level"].as_str().unwrap().eq_ignore_ascii_case(level)
        };
        assert!(lines(&finished.stderr).iter().any(is_of_filter), "{filter} produces no line:\n{}", finished.stderr);
    }
}

#[tokio::test]
async fn a_retry_is_logged_at_debug_and_a_page_at_trace_with_its_cell() {
    let stage = Stage::small().await;
    stage.standin.script([Fault::Status(500, false)]);

    let filter = "sanggwond::kakao=trace";
    let finished = stage.program(&["crawl"]).set("SANGGWOND_LOG__FILTER", filter).finish().await.expect_code(0);

    let lines = lines(&finished.stderr);
    let retries: Vec<_> = lines.iter().filter(|line| line["level"] == "DEBUG").collect();
    assert_eq!(retries.len(), 1, "{}", finished.stderr);
    let retry = retries[0]["message"].as_str().unwrap();
    assert!(retry.starts_with("page 1 of ") && retry.contains(" is requested again in 1ms: 500: "), "{retry}");
    let pages: Vec<_> = lines.iter().filter(|line| line["level"] == "TRACE").collect();
    assert_eq!(pages.len(), 8, "{}", finished.stderr);
    let of_cafes = pages.iter().find(|page| page["keyword"] == "카페" && page["page"] == 2).unwrap();
    assert_eq!(of_cafes["run.id"], 1);
    assert!(of_cafes["total_count"].is_number() && of_cafes["duration_ms"].is_number(), "{of_cafes}");
}

/// A daemon whose database becomes read-only in the middle of a run.
async fn read_only(stage: &Stage, format: &str) -> Finished {
    stage.crawl().await;
    stage.execute("update crawl_run set status = 'interrupted', finished_at = null").await;
    stage.read_only(true).await;
    let daemon = stage.program(&[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms");
    let mut daemon = daemon.set("SANGGWOND_LOG__FORMAT", format).start();
    daemon.says("could not check which runs are due").await;
    daemon.terminate().await.expect_code(0)
}

#[tokio::test]
async fn the_cause_of_an_error_is_in_the_line_in_both_formats() {
    let cause = "a statement failed: cannot execute UPDATE in a read-only transaction (25006); it is a standby, or its sessions \
                 are read-only (database.url may name all servers)";

    let json = read_only(&Stage::small().await, "json").await;
    let text = read_only(&Stage::small().await, "text").await;

    let all = lines(&json.stderr);
    assert_eq!(saying(&all, "could not check which runs are due")[0]["error"], cause, "{}", json.stderr);
    assert!(text.stderr.contains(&format!("error=\"{cause}\"")), "{}", text.stderr);
}

#[tokio::test]
async fn every_line_of_a_run_carries_its_number_as_a_number() {
    let stage = Stage::small().await;

    let finished = stage.program(&["crawl"]).set("SANGGWOND_LOG__FILTER", "debug").finish().await.expect_code(0);

    let all = lines(&finished.stderr);
    let with_number: Vec<_> = all.iter().filter(|line| line.get("run.id").is_some()).collect();
    assert!(with_number.iter().all(|line| line["run.id"] == 1), "{}", finished.stderr);
    for words in ["run 1 started", "writing ", "run 1 ended as succeeded"] {
        assert!(!saying(&all, words).is_empty(), "{words} is not in\n{}", finished.stderr);
        assert!(saying(&all, words).iter().all(|line| line["run.id"] == 1), "{words} in\n{}", finished.stderr);
    }
    assert_eq!(saying(&all, "run 1 ended as succeeded")[0]["level"], "INFO");
}

#[tokio::test]
async fn a_partial_or_failed_run_is_logged_as_a_warning_also_if_manual() {
    let stage = Stage::small().await;
    let refused = ("공원".to_owned(), Fault::Status(400, false));
    stage.standin.set(Switches { faults_for: vec![refused], ..Switches::default() });
    let partial = stage.program(&["crawl"]).finish().await.expect_code(3);
    stage.standin.set(Switches { api_key: Some("another".to_owned()), ..Switches::default() });
    let failed = stage.program(&["crawl"]).finish().await.expect_code(1);

    let level = |finished: &Finished, words| saying(&lines(&finished.stderr), words)[0]["level"].clone();
    assert_eq!(level(&partial, "run 1 ended as partial (3 cells failed"), "WARN");
    assert_eq!(level(&failed, "run 2 ended as failed (the API refuses the key"), "WARN");
}

#[tokio::test]
async fn text_lines_have_the_time_of_the_schedules_zone_with_its_offset() {
    let stage = Stage::small().await;
    let crawl = || stage.program(&["crawl"]).set("SANGGWOND_LOG__FORMAT", "text");

    let usual = crawl().finish().await.expect_code(0);
    let kathmandu = crawl().set("SANGGWOND_SCHEDULE__TIMEZONE", "Asia/Kathmandu").finish().await.expect_code(0);

    for (finished, offset) in [(usual, "+09:00"), (kathmandu, "+05:45")] {
        for line in finished.stderr.lines() {
            let time = line.split(' ').next().unwrap();
            assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok() && time.ends_with(offset), "{line}");
        }
    }
}

#[tokio::test]
async fn a_slow_write_is_one_warning() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let running = stage.program(&["crawl"]).set("SANGGWOND_LOG__FORMAT", "text").start();
    stage.standin.reached(5).await;
    let mut holder = stage.pool().begin().await.unwrap();
    sqlx::query("select from crawl_run for update").execute(&mut *holder).await.unwrap();
    stage.standin.release();
    stage.blocked_by_a_lock().await;

    sqlx::query("select pg_sleep(1.1)").execute(&mut *holder).await.unwrap();
    holder.commit().await.unwrap();
    let finished = running.finish().await.expect_code(0);

    let is_slow = |line: &&str| line.contains(" WARN writing ") && line.contains("cells took ");
    assert_eq!(finished.stderr.lines().filter(is_slow).count(), 1, "{}", finished.stderr);
    for of_the_driver in ["slow statement", "select", "update", "sqlx"] {
        assert!(!finished.stderr.contains(of_the_driver), "{}", finished.stderr);
    }
}

/// A server with a self-signed certificate, which is not trusted.
const DISTRUSTED: &str = r#"cd "$0"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
    exec openssl s_server -quiet -accept 127.0.0.1:"$1" -cert cert.pem -key key.pem -naccept 1000 >/dev/null 2>&1"#;

#[tokio::test]
async fn log_lines_of_other_crates_are_hidden_and_the_causes_of_errors_are_shown() {
    let stage = Stage::small().await;
    // The port was free a moment ago. A port cannot be reserved for another program more safely than that.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut server = tokio::process::Command::new("sh");
    server.args(["-euc", DISTRUSTED]).arg(stage.folder.path()).arg(&port);
    let _server = server.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    while tokio::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap())).await.is_err() {
        tokio::task::yield_now().await;
    }
    let crawl = |program: Program| {
        program
            .set("SANGGWOND_KAKAO__BASE_URL", format!("https://localhost:{port}"))
            .set("SANGGWOND_KAKAO__INTERRUPT_AFTER", "5s")
    };

    let finished = crawl(stage.program(&["crawl"])).finish().await.expect_code(4);
    let opted_in = crawl(stage.program(&["crawl", "--fresh"])).set("SANGGWOND_LOG__FILTER", "info,hyper_util=debug");
    let opted_in = opted_in.finish().await.expect_code(4);

    let all = lines(&finished.stderr);
    let of = |line: &Value, crate_name: &str| line["target"].as_str().unwrap().starts_with(crate_name);
    assert!(all.iter().all(|line| of(line, "sanggwond")), "{}", finished.stderr);
    let pause = saying(&all, "requests are paused for")[0];
    assert!(pause["message"].as_str().unwrap().contains("could not connect: ") && pause["level"] == "WARN", "{pause}");
    assert!(pause["message"].as_str().unwrap().contains("certificate"), "{pause}");
    assert!(lines(&opted_in.stderr).iter().any(|line| of(line, "hyper_util")), "{}", opted_in.stderr);
}

#[tokio::test]
async fn a_panic_is_logged_in_the_usual_format() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.execute("update crawl_run set status = 'interrupted', finished_at = null, cells_done = 5").await;
    let overflow = "update crawl_cell set status = 'pending', failures = 32767, attempts = 0 where cell_no = 1";
    stage.execute(overflow).await;
    let refused = ["카페", "공원"].map(|keyword| (keyword.to_owned(), Fault::Status(400, false)));
    stage.standin.set(Switches { faults_for: refused.into(), ..Switches::default() });

    let finished = stage.program(&["crawl"]).finish().await;

    if cfg!(debug_assertions) {
        let finished = finished.expect_code(1);
        let all = lines(&finished.stderr);
        let bug = saying(&all, "a bug: attempt to add with overflow")[0];
        assert!(bug["level"] == "ERROR" && bug["panic.at"].as_str().unwrap().starts_with("src/"), "{bug}");
    }
}

#[tokio::test]
async fn a_link_or_pipe_in_place_of_a_log_file_is_refused_without_a_wait() {
    let stage = Stage::small().await;
    let (folder, victim) = (stage.folder.path().join("logs"), stage.folder.path().join("victim"));
    fs::create_dir(&folder).unwrap();
    fs::write(&victim, "").unwrap();
    let name = format!("sanggwond.{}.log", sanggwond::clock::now().format("%Y-%m-%d"));
    let file = folder.join(&name);
    let crawl = || stage.program(&["crawl"]).set("SANGGWOND_LOG__DIRECTORY", folder.to_str().unwrap());

    std::os::unix::fs::symlink(&victim, &file).unwrap();
    let link = crawl().finish().await.expect_code(2);
    fs::remove_file(&file).unwrap();
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pipe = crawl().finish().await.expect_code(2);
    fs::remove_file(&file).unwrap();
    crawl().finish().await.expect_code(0);

    let sentence = |fault: &str| {
        let folder = folder.display();
        let words = format!("could not write log files into {folder}, the folder that log.directory names");
        format!("sanggwond: {words}: {name} {fault}; remove it\n")
    };
    assert_eq!(link.stderr, sentence("is a symbolic link"));
    assert_eq!(pipe.stderr, sentence("is not a regular file"));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "");
    assert!(fs::read_to_string(&file).unwrap().contains("run 1 ended as succeeded"));
}

#[tokio::test]
async fn a_filter_that_would_log_nothing_is_refused() {
    let stage = Stage::small().await;

    let finished = stage.program(&["crawl"]).set("SANGGWOND_LOG__FILTER", "inof").finish().await.expect_code(2);

    let sentence = "sanggwond: invalid log.filter \"inof\"; expected a level (info) or directives";
    assert!(finished.stderr.starts_with(sentence) && finished.stderr.lines().count() == 1, "{}", finished.stderr);
}
