//! Results: a failed write is an error, and JSON and CSV use the same names and formats.

use std::collections::BTreeSet;
use std::fs::File;

use serde_json::Value;

use crate::support::Stage;

/// A run with values in the columns that are usually empty, and changes.
const HISTORY: &str = r#"
    update crawl_run set documents_rejected = 1560, rejected_example = 'document 7 has no id',
        retired = '{"keywords": ["공원"], "rows": 7}', scope = '{"stations": ["서울역"], "keywords": []}',
        scheduled_for = '2026-11-23T03:00:00+09:00', resume_at = now(), status = 'running', finished_at = null,
        pause_reason = 'the API answers 503', paused_since = now(), paused_until = now();
    insert into place_change (place_id, crawl_run_id, kind, before, after, latitude, longitude, not_before, not_after, recorded_at)
    select place_id, 1, 'changed', '{"name": "x"}', '{"name": "y"}', latitude, longitude, now() - interval '1 day', now(), now()
    from place where place_id = '1'"#;

async fn stage() -> Stage {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage
}

/// The arguments of each command that prints a result. A new database needs `crawl` first.
const COMMANDS: [&[&str]; 25] = [
    &["runs"],
    &["runs", "--format", "json"],
    &["runs", "--format", "csv"],
    &["runs", "--failed"],
    &["runs", "1"],
    &["runs", "1", "--format", "json"],
    &["next"],
    &["next", "--format", "json"],
    &["changes"],
    &["changes", "--format", "json"],
    &["changes", "--format", "csv"],
    &["export", "--format", "csv"],
    &["export", "--format", "geojson"],
    &["report"],
    &["purge", "--not-seen-for", "90d", "--dry-run"],
    &["purge", "--all", "--dry-run"],
    &["purge", "--not-seen-for", "90d", "--yes"],
    &["check"],
    &["check", "--coverage"],
    &["migrate"],
    &["crawl"],
    &["crawl", "--format", "json"],
    &["--help"],
    &["runs", "--help"],
    &["--version"],
];

#[tokio::test]
async fn an_output_that_cannot_be_written_is_an_error_in_every_command_and_format() {
    let stage = stage().await;

    for arguments in COMMANDS.iter().copied().chain([&["health"][..]]) {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let finished = stage.program(arguments).finish_into(full).await;

        let words = "sanggwond: could not write to stdout: No space left on device (os error 28)\n";
        assert!(finished.stderr.ends_with(words), "{arguments:?}: {finished:?}");
        assert_eq!(finished.status.code(), Some(1), "{arguments:?}");
    }
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run where status = 'succeeded'").await, 3);
}

#[tokio::test]
async fn a_stdout_that_cannot_be_written_is_an_error() {
    let stage = stage().await;

    for arguments in [&["runs"][..], &["changes"], &["export", "--format", "csv"], &["next"], &["health"], &["--help"]]
    {
        let read_only = File::open("/dev/null").unwrap();
        let finished = stage.program(arguments).finish_into(read_only).await;

        let words = "sanggwond: could not write to stdout: Bad file descriptor (os error 9)\n";
        assert_eq!(finished.status.code(), Some(1), "{arguments:?}: {finished:?}");
        // `health` first reports that no daemon is running.
        assert!(finished.stderr.ends_with(words) || arguments == ["health"], "{arguments:?}: {finished:?}");
    }
}

#[tokio::test]
async fn a_closed_pipe_is_not_an_error() {
    let stage = stage().await;

    for arguments in COMMANDS {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let finished = stage.program(arguments).finish_into(writer).await;

        assert_eq!(finished.status.code(), Some(0), "{arguments:?}: {finished:?}");
        assert!(!finished.stderr.contains("Broken pipe"), "{arguments:?}: {}", finished.stderr);
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    // The exit code of `health` is still the result of the check.
    stage.program(&["health"]).finish_into(writer).await.expect_code(1);
}

#[tokio::test]
async fn a_full_disk_under_a_file_of_results_is_named() {
    let stage = stage().await;
    let folder = stage.folder.path().join("results");
    std::fs::create_dir(&folder).unwrap();

    for arguments in [&["export", "--format", "csv"][..], &["export", "--format", "geojson"], &["report"]] {
        let file = folder.join("result");
        let program = stage.program(&[arguments, &["--output", file.to_str().unwrap()]].concat());
        // A limit on the size of files simulates a full disk.
        let finished = program.through(&["env", "--ignore-signal=XFSZ", "prlimit", "--fsize=100"]).finish().await;

        let words = format!("sanggwond: could not write {}: File too large", file.display());
        assert!(finished.stderr.starts_with(&words), "{finished:?}");
        assert_eq!(finished.status.code(), Some(1), "{arguments:?}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{arguments:?} left something");
    }
}

/// All instants in a JSON value, recognized by their names.
fn instants<'a>(value: &'a Value, found: &mut Vec<(&'a str, &'a Value)>) {
    let is_instant = |key: &str| {
        key.ends_with("_at")
            || ["scheduled_for", "paused_since", "paused_until", "not_before", "not_after"].contains(&key)
    };
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if is_instant(key) && !value.is_null() {
                    found.push((key, value));
                }
                instants(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| instants(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether a text is RFC 3339 in UTC, to the second.
fn is_rfc3339(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00Z" && chrono::DateTime::parse_from_rfc3339(text).is_ok()
}

#[tokio::test]
async fn instants_are_rfc_3339_with_an_offset_everywhere() {
    let stage = stage().await;
    stage.execute(HISTORY).await;
    let said = async |arguments: &[&str]| stage.program(arguments).finish().await.expect_code(0).stdout;

    let cases: [(&[&str], &[&str]); 4] = [
        (&["runs", "--format", "json"], &["started_at", "scheduled_for", "paused_since", "paused_until"]),
        (
            &["runs", "1", "--format", "json"],
            &["started_at", "scheduled_for", "heartbeat_at", "resume_at", "paused_until"],
        ),
        (&["changes", "--format", "json"], &["recorded_at", "not_before", "not_after"]),
        (&["export", "--format", "geojson"], &["first_seen_at", "changed_at"]),
    ];
    for (arguments, expected) in cases {
        let json: Value = serde_json::from_str(&said(arguments).await).unwrap();
        let mut found = Vec::new();
        instants(&json, &mut found);

        for (key, value) in &found {
            assert!(value.as_str().is_some_and(is_rfc3339), "{arguments:?}: {key} is {value}");
        }
        for key in expected {
            assert!(found.iter().any(|(found, _)| found == key), "{arguments:?}: {key} is not there");
        }
    }
    let next: Vec<String> = serde_json::from_str(&said(&["next", "--format", "json"]).await).unwrap();
    assert!(next.len() == 5 && next.iter().all(|tick| is_rfc3339(tick)), "{next:?}");
    assert!(next.iter().all(|tick| tick.ends_with("T18:00:00Z")), "03:00 in Seoul: {next:?}");
}

#[tokio::test]
async fn a_value_has_the_same_name_and_format_in_lists_details_and_csv() {
    let stage = stage().await;
    stage.execute(HISTORY).await;
    let said = async |arguments: &[&str]| stage.program(arguments).finish().await.expect_code(0).stdout;

    let list: Value = serde_json::from_str(&said(&["runs", "--format", "json"]).await).unwrap();
    let full: Value = serde_json::from_str(&said(&["runs", "1", "--format", "json"]).await).unwrap();
    let csv = said(&["runs", "--format", "csv"]).await;

    let row = list[0].as_object().unwrap();
    for (key, value) in row {
        assert_eq!(&full[key], value, "{key}");
    }
    for key in
        ["coverage", "scope", "documents_rejected", "rejected_example", "retired", "paused_since", "pause_reason"]
    {
        assert!(!row[key].is_null(), "{key} is not in the list");
    }
    for key in ["crawl_run_id", "duration_s", "cells_total", "requests", "documents_rejected", "places_seen"] {
        assert!(row[key].is_number(), "{key} is {}", row[key]);
    }
    assert_eq!(row["scope"]["stations"][0], "서울역");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let heads: BTreeSet<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(heads, row.keys().cloned().collect::<BTreeSet<_>>());
    let record: std::collections::BTreeMap<String, String> = reader.deserialize().next().unwrap().unwrap();
    for (key, cell) in record {
        let expected = match &row[&key] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
        };
        assert_eq!(cell, expected, "{key}");
    }
    let changes: Value = serde_json::from_str(&said(&["changes", "--format", "json"]).await).unwrap();
    let csv = said(&["changes", "--format", "csv"]).await;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let heads: BTreeSet<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(heads, changes[0].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>());
    assert!(csv.contains("Z,") && !csv.contains("+00:00"), "{csv}");
    let crawled: Value = serde_json::from_str(&said(&["crawl", "--fresh", "--format", "json"]).await).unwrap();
    assert!(crawled["crawl_run_id"].is_number() && crawled["elapsed_s"].is_number(), "{crawled}");
}

#[tokio::test]
async fn a_limited_run_and_rejected_documents_are_shown_in_the_list() {
    let stage = stage().await;
    let plain = stage.program(&["runs"]).finish().await.expect_code(0).stdout;
    stage.execute(HISTORY).await;
    stage.execute("update crawl_run set status = 'succeeded', finished_at = now(), pause_reason = null, paused_since = null, paused_until = null").await;

    let limited = stage.program(&["runs"]).finish().await.expect_code(0).stdout;

    assert!(plain.ends_with("  all 6 cells done\n"), "{plain}");
    assert!(limited.ends_with("  limited to 서울역: all 6 cells done; 1,560 documents rejected\n"), "{limited}");
}

#[tokio::test]
async fn escape_sequences_are_escaped_on_a_terminal() {
    let stage = stage().await;
    stage
        .execute(
            r"update place set name = E'\x1b[2J가게\u202e' where place_id = '1';
              update crawl_run set status = 'failed', reason = E'said \x1b]0;owned\x07'",
        )
        .await;
    stage.execute(HISTORY).await;
    let said = async |arguments: &[&str]| stage.program(arguments).finish().await.expect_code(0).stdout;

    let (changes, runs, full) = (said(&["changes"]).await, said(&["runs"]).await, said(&["runs", "1"]).await);

    assert!(changes.contains("␛[2J가게\\u{202e} (1): name: x → y"), "{changes}");
    for shown in [&changes, &runs, &full] {
        assert!(!shown.contains('\x1b') && !shown.contains('\x07'), "{shown:?}");
    }
    assert!(full.contains("said ␛]0;owned␇"), "{full}");
}

#[tokio::test]
async fn invisible_characters_are_escaped_in_text_and_unchanged_in_json_and_csv() {
    let stage = stage().await;
    let name = "가\u{200b}게\u{ad} \u{2066}a\u{2069} \u{61c}\u{e0041} 👨‍🍳";
    stage.execute(&format!("update place set name = '{name}' where place_id = '1'")).await;
    stage.execute(HISTORY).await;
    let said = async |arguments: &[&str]| stage.program(arguments).finish().await.expect_code(0).stdout;

    let text = said(&["changes"]).await;

    assert!(text.contains("가\\u{200b}게\\u{ad} \\u{2066}a\\u{2069} \\u{61c}\\u{e0041} 👨‍🍳 (1)"), "{text}");
    for arguments in [
        &["changes", "--format", "json"][..],
        &["changes", "--format", "csv"],
        &["export", "--format", "csv"],
        &["export", "--format", "geojson"],
    ] {
        assert!(said(arguments).await.contains(name), "{arguments:?}");
    }
    let refused = stage.program(&["runs", "--config\u{202e}"]).finish().await.expect_code(2);
    assert!(refused.stderr.contains("--config\\u{202e}"), "{}", refused.stderr);
    let export = ["export", "--format", "csv", "--output", "/nowhere/a\u{202e}\x1b[2J.csv"];
    let unwritten = stage.program(&export).finish().await.expect_code(1);
    assert!(unwritten.stderr.contains("could not write /nowhere/a\\u{202e}␛[2J.csv"), "{}", unwritten.stderr);
}

#[tokio::test]
async fn excel_rows_have_no_formula_and_times_in_seoul() {
    let stage = stage().await;
    stage.execute("update place set name = '=1+1', phone = ' +82-2' where place_id = '1'").await;
    stage.execute("update place set name = '＝1' where place_id = '2'").await;
    stage.execute(HISTORY).await;
    let rows = async |arguments: &[&str]| {
        let text = stage.program(arguments).finish().await.expect_code(0).stdout;
        let rest = text.strip_prefix('\u{feff}').expect("it begins with a byte order mark").to_owned();
        let mut reader = csv::Reader::from_reader(rest.as_bytes());
        let rows = reader.deserialize().map(|row| row.unwrap());
        rows.collect::<Vec<std::collections::BTreeMap<String, String>>>()
    };

    let places = rows(&["export", "--format", "csv", "--excel"]).await;
    let changes = rows(&["changes", "--format", "csv", "--excel"]).await;
    let exact = stage.program(&["export", "--format", "csv"]).finish().await.expect_code(0).stdout;

    let place = |id: &str| places.iter().find(|place| place["place_id"] == id).unwrap();
    assert_eq!((place("1")["name"].as_str(), place("1")["phone"].as_str()), ("'=1+1", "' +82-2"));
    assert_eq!((place("2")["name"].as_str(), place("1")["closed_at"].as_str()), ("'＝1", ""));
    assert!(changes.iter().any(|change| change["name"] == "'=1+1"), "{changes:?}");
    let is_local = |text: &str| chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").is_ok();
    assert!(places.iter().all(|place| is_local(&place["first_seen_at"]) && is_local(&place["changed_at"])));
    assert!(changes.iter().all(|change| is_local(&change["recorded_at"]) && is_local(&change["not_after"])));
    assert!(exact.contains("\r\n1,=1+1,") && !exact.contains('\u{feff}'), "{exact}");
    for arguments in [["export", "--format", "geojson", "--excel"], ["changes", "--format", "json", "--excel"]] {
        let refused = stage.program(&arguments).finish().await.expect_code(2);
        assert_eq!(refused.stderr, "sanggwond: --excel needs --format csv\n");
    }
}

#[tokio::test]
async fn health_always_exits_with_0_or_1() {
    let stage = Stage::small().await;

    let no_tables = stage.program(&["health"]).finish().await.expect_code(1);
    let bad_key = stage.program(&["health"]).set("SANGGWOND_CRAWL__RADIUS", "1").finish().await.expect_code(1);

    assert!(no_tables.stderr.contains("run `sanggwond migrate`"), "{}", no_tables.stderr);
    assert!(bad_key.stderr.contains("unknown field"), "{}", bad_key.stderr);
}
