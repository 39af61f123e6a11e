//! The pages of a daemon: the situation now and the report, in every state, and without harm to a run.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::observe::{address, get, get_with, loiterers, observed};
use crate::report::measure;
use crate::support::{KEY, Stage};

/// The page without its style.
async fn live(address: &str) -> String {
    let page = get(address, "/").await;
    let (before, rest) = page.split_once("<style>").unwrap();
    format!("{before}{}", rest.split_once("</style>").unwrap().1)
}

#[tokio::test]
async fn the_live_page_shows_a_run_at_work_and_how_it_ended() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let mut daemon = observed(&stage, &[]).start();
    let address = address(&mut daemon).await;
    stage.standin.reached(5).await;

    let at_work = live(&address).await;
    stage.standin.release();
    daemon.says("run 1 ended as succeeded").await;
    let succeeded = loop {
        let page = live(&address).await;
        // The page of the last second may be kept.
        if !page.contains("is not finished") {
            break page;
        }
    };

    assert!(at_work.starts_with("HTTP/1.1 200") && at_work.contains("\r\nrefresh: 5\r\n"), "{at_work}");
    for words in [
        "content-security-policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "cache-control: no-store",
        "<span>The last due full run, run 1, is not finished</span>",
        "<progress max=\"6\" value=\"0\" aria-label=\"Cells of run 1 that are done\">0 of 6</progress>",
        "<dt>At work</dt><dd>run 1 (catch up) on ",
        "<a href=\"/report\">Report with map and changes</a>",
    ] {
        assert!(at_work.contains(words), "{words:?} is not in {at_work}");
    }
    assert!(succeeded.contains("<span>The last due full run, run 1, succeeded</span>"), "{succeeded}");
    assert!(succeeded.contains("refresh: 30") && !succeeded.contains("<progress"), "{succeeded}");
    assert!(!get(&address, "/?refresh=off").await.contains("\r\nrefresh:"));
    assert!(!at_work.contains(KEY) && !succeeded.contains(KEY) && !succeeded.contains("postgres://"));
}

#[tokio::test]
async fn the_live_page_tells_pauses_cancellations_and_partial_runs_truthfully_and_fits_a_phone() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.program(&["pause", "--reason", "<holiday>"]).finish().await.expect_code(0);
    let page = async |sql: &'static str| {
        stage.execute(sql).await;
        let mut daemon = observed(&stage, &[]).start();
        let address = address(&mut daemon).await;
        daemon.says("the schedule is paused").await;
        let page = live(&address).await;
        let whole = get(&address, "/").await;
        daemon.terminate().await.expect_code(0);
        (page, whole.split_once("\r\n\r\n").unwrap().1.to_owned())
    };

    let (cancelled, _) =
        page("update crawl_run set status = 'cancelled', reason = 'cancelled by kim@ops-1: wrong keywords'").await;
    let (partial, whole) = page("update crawl_run set status = 'partial', reason = 'said <b> & 500'").await;
    std::fs::write(stage.folder.path().join("report.html"), whole).unwrap();
    let measured = measure(stage.folder.path(), false).await;
    let (empty, _) = page("truncate crawl_run cascade").await;

    assert!(
        cancelled.contains("<dd>run 1 cancelled, started ") && cancelled.contains("kim@ops-1: wrong keywords"),
        "{cancelled}"
    );
    assert!(partial.contains("run 1, is partial</span>") && partial.contains("said &lt;b&gt; &amp; 500"), "{partial}");
    assert!(partial.contains("<dt>Schedule</dt><dd>paused from ") && partial.contains("&lt;holiday&gt;"), "{partial}");
    assert!(empty.contains("<span>No full run has been started yet</span>"), "{empty}");
    // What loads are the three links, and only if somebody follows them.
    assert_eq!((&measured["xml_errors"], &measured["loads"]), (&json!([]), &json!(3)));
    for (frame, width) in measured["frames"].as_array().unwrap().iter().zip([390, 1280]) {
        assert_eq!((&frame["scroll_width"], &frame["beyond"]), (&json!(width), &json!([])), "{frame}");
    }
}

#[tokio::test]
async fn the_pages_are_in_the_language_of_the_browser() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let mut daemon = observed(&stage, &[]).set("SANGGWOND_SCHEDULE__ENABLED", "false").start();
    let address = address(&mut daemon).await;
    daemon.says("the schedule is disabled").await;

    for (path, english, korean) in [
        ("/", "The last due full run, run 1, succeeded", "가장 최근에 예정된 전체 실행(실행 1)이 성공했습니다"),
        ("/report", "Run 1 succeeded: all 6 cells are done", "실행 1 성공: 셀 6개 모두 완료"),
    ] {
        let in_korean = get_with(&address, path, "Accept-Language: ko-KR,ko;q=0.9,en;q=0.8\r\n").await;
        let in_english = get_with(&address, path, "Accept-Language: en-GB\r\n").await;

        assert!(in_korean.contains("<html lang=\"ko\">") && in_korean.contains(korean), "{in_korean}");
        assert!(in_english.contains("<html lang=\"en\">") && in_english.contains(english), "{in_english}");
        assert!(in_korean.contains("vary: accept-language") && get(&address, path).await.contains(english));
    }
}

#[tokio::test]
async fn without_a_database_the_pages_say_so() {
    let stage = Stage::small().await;
    let mut daemon = observed(&stage, &[]).set("DATABASE_URL", "postgres://u:canary-password@127.0.0.1:9/db").start();
    let address = address(&mut daemon).await;

    for path in ["/", "/report"] {
        let page = get(&address, path).await;

        assert!(page.starts_with("HTTP/1.1 503"), "{page}");
        assert_eq!(page.contains("refresh: 30"), path == "/", "{page}");
        assert!(page.contains("<span>The database cannot be read</span>"), "{page}");
        assert!(page.contains("The daemon is waiting for its database; its log says why.") && !page.contains("canary"));
    }
}

#[tokio::test]
async fn the_report_is_made_once_for_many_clients_and_once_a_minute() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let mut daemon = observed(&stage, &[]).set("SANGGWOND_SCHEDULE__ENABLED", "false").start();
    let address = address(&mut daemon).await;
    daemon.says("the schedule is disabled").await;

    let many = futures_util::future::join_all((0..25).map(|_| get(&address, "/report"))).await;
    stage.crawl().await;
    let later = get(&address, "/report").await;

    let body = |page: &str| page.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert!(many.iter().all(|page| body(page) == body(&many[0])) && body(&later) == body(&many[0]));
    assert!(many[0].starts_with("HTTP/1.1 200") && many[0].contains("Run 1 succeeded"), "{}", many[0]);
    assert!(!many[0].contains("\r\nrefresh:") && many[0].contains("content-security-policy: "));
}

#[tokio::test]
async fn pages_are_read_only() {
    let stage = Stage::small().await;
    let mut daemon = observed(&stage, &[]).set("SANGGWOND_SCHEDULE__ENABLED", "false").start();
    let address = address(&mut daemon).await;
    let ask = async |method: &str| {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };

    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = ask(method).await;
        assert!(refused.starts_with("HTTP/1.1 405") && refused.contains("allow: GET, HEAD"), "{method}: {refused}");
    }
    assert!(ask("HEAD").await.ends_with("\r\n\r\n"), "only the headers");
}

#[tokio::test]
async fn thousands_of_slow_connections_disturb_no_run() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let mut daemon = observed(&stage, &[]).start();
    let address = address(&mut daemon).await;
    stage.standin.reached(5).await;

    for _ in 0..50 {
        // Each group is dropped by this side before the next one comes.
        drop(loiterers(&address, 100, b"GET / HTTP/1.1\r\nHost: a\r\n").await);
    }
    let _last = loiterers(&address, 100, b"GET / HTTP/1.1\r\nHost: a\r\n").await;
    stage.standin.release();
    daemon.says("run 1 ended as succeeded").await;

    assert!(get(&address, "/livez").await.starts_with("HTTP/1.1 200"));
    assert_eq!(stage.value::<i64>("select requests from crawl_run").await, stage.standin.requests().cast_signed());
    daemon.terminate().await.expect_code(0);
}
