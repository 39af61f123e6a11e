//! The report: a browser shows it correctly with any names, and it loads nothing.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::support::Stage;

/// Four runs: two full ones, the second with a failed cell; a partial-scope run; and a skipped tick.
const HISTORY: &str = r#"
    update crawl_run set finished_at = started_at + interval '10 minutes';
    update crawl_cell set status = 'failed', failures = 2, attempts = 10, error = 'said <b>"no"</b> & 500'
    where crawl_run_id = 2 and cell_no = 1;
    update crawl_run set status = 'partial', cells_done = 5, cells_failed = 1 where crawl_run_id = 2;
    insert into place_change (place_id, crawl_run_id, kind, after, latitude, longitude, not_after, recorded_at)
    select place_id, 2, 'opened', '{}', latitude, longitude, now(), now() from place where place_id in ('1', '2', '21');
    insert into place_change (place_id, crawl_run_id, kind, before, latitude, longitude, not_after, recorded_at)
    select place_id, 2, 'closed', '{}', latitude, longitude, now(), now() - interval '29 days' from place where place_id = '3';
    update crawl_run set scope = '{"stations": ["서울역"], "keywords": []}' where crawl_run_id = 3;
    insert into crawl_run (trigger, scheduled_for, status, reason, coverage, started_at, finished_at, heartbeat_at, version, host)
    values ('schedule', date_trunc('second', now()), 'skipped', 'run 2 <was> unfinished', 'station', now(), now(), now(), '', '')"#;

/// A stage with the runs of [`HISTORY`].
async fn stage_with_runs() -> Stage {
    let stage = Stage::small().await;
    for _ in 0..3 {
        stage.crawl().await;
    }
    stage.execute(HISTORY).await;
    stage
}

/// The report, written to a file in the folder of the stage.
async fn report(stage: &Stage) -> String {
    let file = stage.folder.path().join("report.html");
    let finished = stage.program(&["report", "--output", file.to_str().unwrap()]).finish().await.expect_code(0);
    assert_eq!(finished.stdout, "");
    std::fs::read_to_string(file).unwrap()
}

/// Measurements of the page in a browser.
pub(crate) async fn measure(folder: &Path, is_dark: bool) -> Value {
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    // Escape `<`, so that nothing in the page can end the script.
    let page = serde_json::to_string(&page).unwrap().replace('<', "\\u003c");
    let measuring = include_str!("report/measure.html").replace("PAGE;", &format!("{page};"));
    std::fs::write(folder.join("measure.html"), measuring).unwrap();
    let browser = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--allow-file-access-from-files",
        ])
        .arg(format!("--user-data-dir={}", folder.join("browser").display()))
        .arg(format!("--blink-settings=preferredColorScheme={}", i32::from(!is_dark)))
        .args(["--enable-logging=stderr", "--hide-scrollbars", "--window-size=1400,2000", "--dump-dom"])
        .arg(format!("file://{}", folder.join("measure.html").display()))
        .kill_on_drop(true)
        .output()
        .await
        .expect("chromium is installed (tests/run does so)");
    let (seen, said) = (String::from_utf8_lossy(&browser.stdout), String::from_utf8_lossy(&browser.stderr));
    assert!(!said.contains("CONSOLE"), "{said}");
    let measured = seen.split("<pre id=\"measured\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let measured = decoded(measured.unwrap_or_else(|| panic!("nothing was measured: {said}")));
    serde_json::from_str(&measured).unwrap_or_else(|error| panic!("{error}: {measured:?} {said}"))
}

/// Decodes percent-encoding.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(code, 16).unwrap());
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn the_page_shows_the_newest_full_run_and_what_it_found() {
    let stage = stage_with_runs().await;
    stage.execute("delete from crawl_run where status = 'skipped'").await;

    let page = report(&stage).await;

    for words in [
        "Run 2 is partial: 1 of 6 cells failed",
        "Since then, partial-scope run 3: all 6 cells are done.",
        "no earlier run to compare with",
        "3 of 3 for all keywords",
        "<span class=\"error stacked\"><bdi lang=\"ko\">카페</bdi>: said ",
        "limited to a part",
        "In the last four weeks 3 places opened, 0 closed, 0 changed and 0 reopened.",
        "said &lt;b&gt;&quot;no&quot;&lt;/b&gt; &amp; 500",
        "<title>서울역 (1호선): 5 places</title>",
    ] {
        assert!(page.contains(words), "{words:?} is not in {page}");
    }

    // The first run is not typical, so run 2 is the first to compare with.
    stage.crawl().await;
    let page = report(&stage).await;
    assert!(page.contains("Run 5 succeeded") && page.contains("usually 8 (the same)"), "{page}");
    assert!(!page.contains("rejected") && !page.contains("Retired"), "{page}");
}

#[tokio::test]
async fn the_page_shows_retirements_rejected_documents_and_pauses() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage
        .execute(
            r#"update crawl_run set documents_rejected = 1560, rejected_example = 'document 7 has no <id>',
                 retired = '{"stations": [], "keywords": ["공원", "<카페>"], "radius_m": {"from": 1000, "to": 500}, "rows": 12732}',
                 status = 'running', finished_at = null, pause_reason = 'the API answers 503',
                 paused_since = '2026-11-23T03:00:00+09:00', paused_until = '2026-11-23T03:01:00+09:00'"#,
        )
        .await;

    let page = report(&stage).await;

    for words in [
        "Retired: 2 keywords (공원, &lt;카페&gt;), radius changed from 1000 m to 500 m; 12,732 rows removed from local_info.",
        "1,560 documents were rejected, for example document 7 has no &lt;id&gt;.",
        "Requests have been paused since Monday 23 November 2026, 03:00 in Seoul; the next request is sent on Monday 23 November 2026, 03:01 in Seoul. Reason: the API answers 503.",
    ] {
        assert!(page.contains(words), "{words:?} is not in {page}");
    }
}

#[tokio::test]
async fn a_skipped_tick_is_the_headline_and_the_figures_are_those_of_the_previous_run() {
    let stage = stage_with_runs().await;

    let page = report(&stage).await;

    assert!(page.contains("<span>The run was skipped</span>"), "{page}");
    assert!(page.contains("Reason: run 2 &lt;was&gt; unfinished."), "{page}");
    assert!(page.contains("The figures are those of run 2, ") && page.contains(": 1 of 6 cells failed."), "{page}");
}

#[tokio::test]
async fn the_page_fits_a_phone_and_a_desktop_and_loads_nothing() {
    let stage = stage_with_runs().await;
    stage
        .execute(r#"update station set name = '<b>"A&B''</b><script>역', lines = '{"<1>호선"}' where name = '서울역'"#)
        .await;
    stage.execute("update station_keyword set truncated = true, complete_since = null where places = 5").await;
    stage.execute("update keyword set query = '<카&페>' where query = '카페'").await;

    let page = report(&stage).await;
    let measured = measure(stage.folder.path(), false).await;
    let dark = measure(stage.folder.path(), true).await;

    assert_eq!(measured["xml_errors"], serde_json::json!([]));
    assert_eq!(measured["elements"], measured["xml_elements"], "HTML and XML agree on where every element ends");
    assert!(measured["elements"].as_u64().unwrap() > 200, "{measured}");
    for (frame, width) in measured["frames"].as_array().unwrap().iter().zip([390, 1280]) {
        assert_eq!((&frame["width"], &frame["scroll_width"]), (&width.into(), &width.into()), "{frame}");
        assert_eq!(frame["beyond"], serde_json::json!([]), "{frame}");
    }
    assert_eq!((&measured["loads"], &measured["bold"]), (&0.into(), &0.into()), "{measured}");
    assert!(!page.contains("url(") && !page.contains("@import") && page.contains("default-src &#39;none&#39;"));
    assert_eq!(measured["title"], "The run was skipped");
    let circles = measured["circles"].as_array().unwrap();
    assert!(
        circles.contains(&r#"<b>"A&B'</b><script>역 (<1>호선): 5 places; truncated: <카&페>"#.into()),
        "{circles:?}"
    );
    assert_eq!(circles.len(), 3);
    let columns = ["column succeeded", "column partial", "column succeeded"].repeat(2);
    assert_eq!(measured["columns"], serde_json::json!(columns), "the skipped run has no bar");
    assert_ne!(measured["background"], dark["background"]);
}

#[tokio::test]
async fn the_report_is_in_the_language_of_the_option_the_locale_or_the_configuration() {
    let stage = stage_with_runs().await;
    let heading = async |arguments: &[&str], variables: &[(&str, &str)]| {
        let arguments = [&["report"], arguments].concat();
        let program =
            variables.iter().fold(stage.program(&arguments), |program, (name, value)| program.set(name, value));
        let page = program.finish().await.expect_code(0).stdout;
        page.split_once("<h1>").unwrap().1.split_once("</h1>").unwrap().0.rsplit_once("<span>").unwrap().1.to_owned()
    };
    let (english, korean) = ("The run was skipped</span>", "실행을 건너뛰었습니다</span>");
    let configured = ("SANGGWOND_REPORT__LANGUAGE", "ko");

    assert_eq!(heading(&[], &[]).await, english);
    assert_eq!(heading(&["--lang", "ko"], &[("LANG", "en_US.UTF-8")]).await, korean);
    assert_eq!(heading(&[], &[("LANG", "ko_KR.UTF-8")]).await, korean);
    assert_eq!(heading(&[], &[("LC_ALL", "en_US.UTF-8"), ("LANG", "ko_KR.UTF-8")]).await, english);
    assert_eq!(heading(&[], &[("LANG", "C.UTF-8"), configured]).await, korean);
    assert_eq!(heading(&["--lang", "en"], &[configured]).await, english);
    let unknown = stage.program(&["report", "--lang", "fr"]).finish().await.expect_code(2);
    assert!(unknown.stderr.contains("write \"en\" or \"ko\""), "{}", unknown.stderr);
    let configured =
        stage.program(&["check"]).set("SANGGWOND_REPORT__LANGUAGE", "Korean").finish().await.expect_code(2);
    assert!(configured.stderr.contains("report.language"), "{}", configured.stderr);
}

#[tokio::test]
async fn the_korean_page_fits_a_phone_and_a_desktop() {
    let stage = stage_with_runs().await;
    let file = stage.folder.path().join("report.html");
    let arguments = ["report", "--lang", "ko", "--output", file.to_str().unwrap()];
    stage.program(&arguments).finish().await.expect_code(0);

    let measured = measure(stage.folder.path(), false).await;

    assert_eq!((&measured["xml_errors"], &measured["loads"]), (&serde_json::json!([]), &0.into()));
    for (frame, width) in measured["frames"].as_array().unwrap().iter().zip([390, 1280]) {
        assert_eq!((&frame["scroll_width"], &frame["beyond"]), (&width.into(), &serde_json::json!([])), "{frame}");
    }
}

#[tokio::test]
async fn the_page_of_a_database_without_runs_says_that_there_is_none() {
    let stage = Stage::small().await;
    let bare = stage.program(&["report"]).finish().await.expect_code(1);
    assert!(bare.stderr.contains("run `sanggwond migrate`"), "{}", bare.stderr);
    stage.program(&["migrate"]).finish().await.expect_code(0);

    let page = stage.program(&["report"]).finish().await.expect_code(0).stdout;

    assert!(page.starts_with("<!DOCTYPE html>\n<html lang=\"en\">") && page.ends_with("</html>\n"), "{page}");
    assert!(page.contains("No run yet") && !page.contains("<table"), "{page}");
}

#[tokio::test]
async fn the_file_is_replaced_completely_or_not_at_all() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let folder = stage.folder.path().join("pages");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("old.html"), "old").unwrap();
    std::os::unix::fs::symlink("old.html", folder.join("link.html")).unwrap();
    let to = |name: &str| stage.program(&["report", "--output", folder.join(name).to_str().unwrap()]);

    to("link.html").finish().await.expect_code(0);
    let nowhere = to("nowhere/page.html").finish().await.expect_code(1);
    let taken = to("").finish().await.expect_code(1);

    assert!(std::fs::read_to_string(folder.join("old.html")).unwrap().contains("Run 1 succeeded"));
    assert!(folder.join("link.html").is_symlink());
    assert!(nowhere.stderr.contains("could not write") && nowhere.stderr.contains("nowhere/page.html"), "{nowhere:?}");
    assert!(taken.stderr.contains("it is a folder; name a file in it"), "{taken:?}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "nothing is left beside");
}
