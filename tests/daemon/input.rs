//! Texts from outside in other encodings and forms: rejected with their position, or treated like the usual form.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::support::Stage;

/// 카페 and 공원 as decomposed letters (NFD), as macOS writes file names.
const CAFE_IN_LETTERS: &str = "\u{110f}\u{1161}\u{1111}\u{1166}";
const PARK_IN_LETTERS: &str = "\u{1100}\u{1169}\u{11bc}\u{110b}\u{116f}\u{11ab}";

/// 서울역 as decomposed letters (NFD).
const SEOUL_IN_LETTERS: &str = "\u{1109}\u{1165}\u{110b}\u{116e}\u{11af}\u{110b}\u{1167}\u{11a8}";

const KEYWORDS: &str =
    "select query || case when retired_at is not null then ' retired' else '' end from keyword order by keyword_id";

const STATIONS: &str =
    "select name || case when retired_at is not null then ' retired' else '' end from station order by station_id";

#[tokio::test]
async fn a_stray_quote_in_the_station_file_is_refused_and_retires_nothing() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let before = stage.texts(STATIONS).await;
    let rows = std::fs::read_to_string(stage.folder.path().join("stations.csv")).unwrap();
    stage.set_stations(&rows.replacen("\n신촌역", "\n\"신촌역", 1));

    for command in ["crawl", "check", "daemon"] {
        let refused = stage.program(&[command]).finish().await;

        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert_eq!(refused.status.code(), Some(if command == "check" { 1 } else { 2 }), "{said}");
        assert!(
            said.contains("stations.csv, line 2, column 1: the quote that opens here is not closed on its line"),
            "{said}"
        );
    }
    assert_eq!(stage.texts(STATIONS).await, before);
}

#[tokio::test]
async fn a_keyword_in_quotes_is_refused_and_retires_nothing() {
    let stage = Stage::small().await;
    stage.crawl().await;

    for value in ["\"카페,공원\"", "'카페,공원'", "카페,\"공원\"", "\"카페\",공원"] {
        let refused = stage.program(&["crawl"]).set("SANGGWOND_CRAWL__KEYWORDS", value).finish().await.expect_code(2);

        assert!(refused.stderr.contains("quote") && refused.stderr.contains("remove it"), "{}", refused.stderr);
    }
    let refused = stage.program(&["crawl"]).set("SANGGWOND_CRAWL__KEYWORDS", "\"카페\"").finish().await.expect_code(2);

    assert!(refused.stderr.contains("docker --env-file"), "{}", refused.stderr);
    assert_eq!(stage.texts(KEYWORDS).await, ["카페", "공원"]);
}

#[tokio::test]
async fn a_name_in_another_unicode_form_is_the_same_name() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let (keywords, stations) = (stage.texts(KEYWORDS).await, stage.texts(STATIONS).await);
    let rows = std::fs::read_to_string(stage.folder.path().join("stations.csv")).unwrap();
    stage.set_stations(&rows.replace("서울역", &format!("\u{3000}{SEOUL_IN_LETTERS}\u{a0}")));
    let in_letters = |arguments: &[&str]| {
        stage
            .program(arguments)
            .set("SANGGWOND_CRAWL__KEYWORDS", format!("{CAFE_IN_LETTERS},\u{3000}{PARK_IN_LETTERS}\u{a0}"))
    };

    in_letters(&["crawl"]).finish().await.expect_code(0);
    in_letters(&["crawl", "--station", SEOUL_IN_LETTERS, "--keyword", CAFE_IN_LETTERS]).finish().await.expect_code(0);
    let exported = stage
        .program(&["export", "--format", "csv", "--station", SEOUL_IN_LETTERS, "--keyword", CAFE_IN_LETTERS])
        .finish()
        .await;

    assert_eq!(exported.expect_code(0).stdout.lines().count(), 1 + 5);
    assert_eq!(stage.texts(KEYWORDS).await, keywords);
    assert_eq!(stage.texts(STATIONS).await, stations);
    let scope = "select scope ->> 'keywords' from crawl_run where scope is not null";
    assert_eq!(stage.texts(scope).await, ["[\"카페\"]"]);
}

#[tokio::test]
async fn a_name_stored_in_another_unicode_form_by_an_older_version_is_the_same_name() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage
        .execute("update keyword set query = normalize(query, nfd); update station set name = normalize(name, nfd)")
        .await;
    stage.execute("delete from _sqlx_migrations where version = 11; alter table crawl_run drop late_because").await;

    stage.crawl().await;

    assert_eq!(stage.texts(KEYWORDS).await, ["카페", "공원"]);
    assert_eq!(stage.value::<i64>("select count(*) from station where retired_at is null").await, 3);
    assert_eq!(stage.value::<i64>("select count(*) from station").await, 3);
}

#[tokio::test]
async fn an_invisible_character_on_the_command_line_is_refused() {
    let stage = Stage::small().await;

    let refused = stage.program(&["crawl", "--station", "서울\u{200b}역"]).finish().await.expect_code(2);

    assert!(refused.stderr.contains("U+200B, a zero width space"), "{}", refused.stderr);
}

#[tokio::test]
async fn a_database_url_that_cannot_be_read_starts_no_private_server() {
    let stage = Stage::small().await;
    let private = stage.folder.path().join("private");
    let program = || stage.program(&["crawl"]).unset("DATABASE_URL").set("STATE_DIRECTORY", &private);
    let latin_1 = OsString::from_vec(b"postgres://u:canary\xfc@localhost/d".to_vec());
    let file = |name: &str, content: &[u8]| -> PathBuf {
        let path = stage.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let programs = [
        (program().set("DATABASE_URL", latin_1.clone()), "DATABASE_URL is not UTF-8"),
        (program().set("SANGGWOND_DATABASE__URL", latin_1), "SANGGWOND_DATABASE__URL is not UTF-8"),
        (
            program().set("DATABASE_URL", "'postgres://u:canary@localhost/d'"),
            "DATABASE_URL begins or ends with a quote",
        ),
        (program().set("DATABASE_URL_FILE", file("1", b"postgres://u:canary\xfc@h/d")), "is not UTF-8"),
        (program().set("DATABASE_URL_FILE", file("2", b"")), "which DATABASE_URL_FILE names, is empty"),
        (program().set("DATABASE_URL_FILE", file("3", b"postgres://u:canary@h/d\nx\n")), "has several lines"),
        (program().set("DATABASE_URL_FILE", OsString::from_vec(b"/a\xfc".to_vec())), "DATABASE_URL_FILE is not UTF-8"),
        (program().set("CREDENTIALS_DIRECTORY", file("4", b"")), "could not read "),
    ];

    for (program, words) in programs {
        let refused = program.finish().await.expect_code(2);

        assert!(refused.stderr.contains(words) && !refused.stderr.contains("canary"), "{words}: {}", refused.stderr);
        assert!(!private.exists(), "{words}");
    }
}

#[tokio::test]
async fn no_part_of_an_invalid_url_is_printed() {
    let stage = Stage::small().await;
    let urls = [
        "postgres://u:12/canary@localhost/places",
        "postgres://u:12?canary@localhost/places",
        "postgres://u:12#canary@localhost/places",
        "postgres://u:can/ary?12@localhost/places",
        "postgres://u:canary%@localhost/places",
        "postgres://u:p@localhost/places?canary=1",
        "postgres://u:p@localhost/places?channel_binding=canary",
        "postgres://u:p@canary,/places",
        "mysql://u:canary@localhost/places",
    ];

    for url in urls {
        for command in ["crawl", "check", "daemon"] {
            let refused =
                stage.program(&[command]).set("DATABASE_URL", url).set("SANGGWOND_LOG__FILTER", "trace").finish().await;

            let said = format!("{}{}", refused.stdout, refused.stderr);
            assert_eq!(refused.status.code(), Some(if command == "check" { 1 } else { 2 }), "{url}: {said}");
            assert!(said.contains("database.url (DATABASE_URL) cannot be used: "), "{url}: {said}");
            assert!(!said.contains("canary") && !said.contains("can/ary") && !said.contains("ary?12"), "{url}: {said}");
        }
    }
}

/// A station file of a hundred million blank lines, which takes far longer to read than a signal takes to arrive.
fn endless(folder: &Path) -> PathBuf {
    let path = folder.join("endless");
    std::fs::write(&path, vec![b'\n'; 100_000_000]).unwrap();
    path
}

/// Waits until a process has used 1 s of processor time, which only the reading of the station file takes.
async fn computes(pid: i32) {
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let user = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(11).unwrap().to_owned();
        user.parse::<u64>().unwrap()
    };
    while ticks() < 100 {
        // Poll, because the system sends no notification.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_signal_ends_the_program_while_it_reads_stations() {
    let stage = Stage::small().await;
    let endless = endless(stage.folder.path());

    for (command, code) in [("check", 4), ("crawl", 4), ("daemon", 0)] {
        let running = stage.program(&[command]).set("SANGGWOND_CRAWL__STATIONS", &endless).start();
        computes(running.pid()).await;

        running.terminate().await.expect_code(code);
    }
}
