//! Subcommands, exit codes, and the messages for invalid input.

use insta::assert_snapshot;

use crate::support::program::Program;
use crate::support::{KEY, Stage};

#[tokio::test]
async fn bad_input_is_refused_with_its_origin_and_exit_code_2() {
    let stage = Stage::small().await;
    let cases: [(&str, &str, &[&str]); 9] = [
        ("SANGGWOND_CRAWL__RADIUS_M", "20001", &["crawl.radius_m", "invalid radius 20001", "SANGGWOND_"]),
        ("SANGGWOND_CRAWL__PAGE_DELAY", "soon", &["crawl.page_delay", "expected 500ms"]),
        ("SANGGWOND_CRAWL__RADIUS", "1", &["radius", "unknown field"]),
        ("SANGGWOND_SCHEDULE__CRON", "3 o'clock", &["schedule.cron"]),
        ("SANGGWOND_SCHEDULE__CRON", "0 0 3 31 2 *", &["is never due again", "0 0 3 * * Mon"]),
        ("SANGGWOND_SCHEDULE__TIMEZONE", "Korea/Seoul", &["schedule.timezone", "Korea/Seoul"]),
        ("SANGGWOND_LOG__FILTER", "loud=very", &["log.filter"]),
        ("DATABASE_URL", "mysql://root:hunter2@db/x", &["postgres://user:password@host/database"]),
        ("KAKAO_REST_API_KEY", "열쇠", &["kakao.api_key"]),
    ];
    for (variable, value, expected) in cases {
        let finished = stage.program(&["daemon"]).set(variable, value).finish().await.expect_code(2);

        for words in expected {
            assert!(finished.stderr.contains(words), "{variable}={value}: {words:?} is not in {}", finished.stderr);
        }
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
        assert!(!finished.stderr.contains("hunter2") && !finished.stderr.contains("panicked"), "{}", finished.stderr);
    }
    assert_eq!(stage.standin.requests(), 0);
}

#[tokio::test]
async fn the_help_lists_the_commands_the_common_options_and_the_exit_codes() {
    let help = Program::new(&["--help"]).finish().await.expect_code(0).stdout;

    assert_snapshot!(help, @"
    Keeps a PostgreSQL database of the places around every urban rail station in Korea up to date

    Usage: sanggwond [OPTIONS] [COMMAND]

    Commands:
      daemon       Wait for the schedule and start the runs that are due (the default)
      crawl        Start a run now, or resume the unfinished one
      status       Show the daemons, the run at work, the last full run and what comes next
      runs         Show the run history, newest first, or one run in full
      changes      Show the places that opened, changed, closed and reopened, newest first
      export       Write the places, or their changes, as CSV, GeoJSON, NDJSON or GeoParquet
      request      Let a running daemon start a run, with its own configuration and key
      cancel       End an unfinished run for good, wherever it works
      pause        Let no run start by itself until further notice
      unpause      End the pause of the schedule
      purge        Delete places permanently
      next         Show when the next runs are due
      report       Write an HTML page about the last runs, the changes and the stations
      check        Check configuration, stations, database and API key (sends one request)
      migrate      Apply the missing migrations to the database
      health       Exit with 0 if the daemon on this host is alive, otherwise with 1
      completions  Print a completion script for a shell
      help         Print this message or the help of the given subcommand(s)

    Options:
          --config <FILE>  The configuration file; default: /etc/sanggwond/config.toml, if it exists
          --demo           Crawl made-up data instead of Kakao's, into a separate database (its name
                           ends in _demo)
      -h, --help           Print help
      -V, --version        Print version

    Exit codes: 0 success (a daemon: stopped by a signal); 1 failed, a check failed, or another process
    holds the run lock; 2 wrong usage or configuration; 3 the run is partial; 4 interrupted by a signal,
    or the run is interrupted or cancelled. `health` exits with 0 or 1 only; `status` has its own codes.
    ");
}

#[tokio::test]
async fn an_error_in_a_file_names_the_file() {
    let stage = Stage::small().await;
    let file = stage.folder.path().join("config.toml");
    for (text, words) in
        [("[crawl]\nradius_m = 'far'", "crawl.radius_m"), ("[crawl\n", "TOML parse error"), ("[crwl]\nx = 1", "crwl")]
    {
        std::fs::write(&file, text).unwrap();

        let finished = stage.program(&["next"]).finish().await.expect_code(2);

        assert!(
            finished.stderr.contains(file.to_str().unwrap()) && finished.stderr.contains(words),
            "{}",
            finished.stderr
        );
    }
    std::fs::remove_file(&file).unwrap();
    let finished = stage.program(&["next"]).finish().await.expect_code(2);
    assert!(finished.stderr.contains("config.toml"), "{}", finished.stderr);
}

#[tokio::test]
async fn the_error_for_a_missing_key_explains_how_to_get_one() {
    let stage = Stage::small().await;

    for arguments in [&["crawl"][..], &["daemon"]] {
        let finished = stage.program(arguments).unset("KAKAO_REST_API_KEY").finish().await.expect_code(2);

        assert!(finished.stderr.contains("set KAKAO_REST_API_KEY, or add --demo"), "{}", finished.stderr);
    }
}

#[tokio::test]
async fn a_missing_database_url_is_an_error_if_the_private_server_is_disabled() {
    let stage = Stage::small().await;

    let program = stage.program(&["crawl"]).unset("DATABASE_URL").set("SANGGWOND_DATABASE__PRIVATE", "false");
    let finished = program.finish().await.expect_code(2);

    assert!(finished.stderr.contains("set DATABASE_URL"), "{}", finished.stderr);
}

#[tokio::test]
async fn the_error_for_an_unknown_name_lists_the_known_ones() {
    let stage = Stage::small().await;

    let station = stage.program(&["crawl", "--station", "울"]).finish().await.expect_code(2);
    let keyword = stage.program(&["crawl", "--keyword", "술집"]).finish().await.expect_code(2);

    assert!(station.stderr.contains("did you mean 서울역?"), "{}", station.stderr);
    assert!(keyword.stderr.contains("the keywords are 카페, 공원"), "{}", keyword.stderr);
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 0);
    assert_eq!(stage.value::<i64>("select count(*) from station").await, 0, "a refused run changes nothing");
}

#[tokio::test]
async fn a_second_crawl_at_the_same_time_is_refused() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let first = stage.program(&["crawl"]).start();
    stage.standin.reached(5).await;

    let second = stage.program(&["crawl"]).finish().await.expect_code(1);

    assert!(second.stderr.contains("another process holds the run lock of this database"), "{}", second.stderr);
    stage.standin.release();
    first.finish().await.expect_code(0);
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1);
}

#[tokio::test]
async fn runs_shows_the_history_as_a_table_and_as_json() {
    let stage = Stage::small().await;
    let before = stage.program(&["runs"]).finish().await.expect_code(1);
    assert!(before.stderr.contains("run `sanggwond migrate`"), "{}", before.stderr);
    stage.crawl().await;

    let text = stage.program(&["runs"]).finish().await.expect_code(0).stdout;
    let json = stage.program(&["runs", "--format", "json"]).finish().await.expect_code(0).stdout;

    assert!(text.contains("succeeded") && text.contains("all 6 cells done"), "{text}");
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(rows[0]["status"], "succeeded");
    assert_eq!(rows[0]["places_new"], 26);
}

#[tokio::test]
async fn next_shows_the_coming_ticks_in_both_zones_without_a_database() {
    let stage = Stage::small().await;

    let next = stage.program_at("2026-11-25 00:00:00", &["next", "--count", "3"]).unset("DATABASE_URL");

    assert_snapshot!(next.finish().await.expect_code(0).stdout, @"
    Mon 2026-11-30 03:00:00 Seoul (Sun 18:00:00 UTC)
    Mon 2026-12-07 03:00:00 Seoul (Sun 18:00:00 UTC)
    Mon 2026-12-14 03:00:00 Seoul (Sun 18:00:00 UTC)
    ");
}

/// What `next` and `check` print about a run that is due immediately, up to its date.
const AT_ONCE: &str = "a daemon catches up the run of Mon ";

#[tokio::test]
async fn next_and_check_predict_that_a_daemon_would_start_a_catch_up_immediately() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let next = || stage.program(&["next", "--count", "1"]);

    let missing = next().finish().await.expect_code(0).stdout;
    let json = stage.program(&["next", "--format", "json"]).finish().await.expect_code(0);
    let check = stage.program(&["check"]).finish().await.expect_code(0).stdout;
    let off = next().set("SANGGWOND_SCHEDULE__ENABLED", "false").finish().await.expect_code(0).stdout;
    stage.crawl().await;
    let served = next().finish().await.expect_code(0).stdout;
    let checked = stage.program(&["check"]).finish().await.expect_code(0).stdout;
    stage.execute("update crawl_run set status = 'interrupted', finished_at = null").await;
    let unfinished = next().finish().await.expect_code(0).stdout;

    assert_eq!(missing.lines().count(), 2, "{missing}");
    assert!(missing.starts_with(&format!("now: {AT_ONCE}")), "{missing}");
    assert!(missing.contains(" 03:00:00 Seoul (Sun 18:00:00 UTC) at once\nMon "), "{missing}");
    assert_eq!(serde_json::from_str::<Vec<String>>(&json.stdout).unwrap().len(), 5, "{}", json.stdout);
    assert!(json.stderr.contains(AT_ONCE), "{}", json.stderr);
    assert!(check.contains(&format!("ok      due: {AT_ONCE}")) && check.contains("; next run Mon "), "{check}");
    assert!(checked.contains("ok      due: next run Mon "), "{checked}");
    for text in [off, served] {
        assert!(text.starts_with("Mon ") && text.lines().count() == 1, "{text}");
    }
    assert!(unfinished.starts_with("now: a daemon resumes run 1 at once\nMon "), "{unfinished}");
}

#[tokio::test]
async fn next_shows_the_ticks_if_the_database_is_unreachable_or_has_no_tables() {
    let stage = Stage::small().await;

    let away = stage.program(&["next"]).set("DATABASE_URL", "postgres://app@127.0.0.1:1/places");
    for (next, why) in [(away, "could not reach the database"), (stage.program(&["next"]), "the tables are missing")] {
        let finished = next.finish().await.expect_code(0);

        assert_eq!(finished.stdout.lines().count(), 5, "{}", finished.stdout);
        assert!(
            finished.stderr.contains("could not read the run history") && finished.stderr.contains(why),
            "{}",
            finished.stderr
        );
    }
}

#[tokio::test]
async fn check_shows_what_is_ready_and_what_is_not() {
    let stage = Stage::small().await;

    let bare = stage.program(&["check"]).finish().await.expect_code(1).stdout;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let ready = stage.program(&["check"]).finish().await.expect_code(0).stdout;
    stage.standin.set(sanggwond::standin::Switches { api_key: Some("another".to_owned()), ..Default::default() });
    let refused = stage.program(&["check"]).finish().await.expect_code(1).stdout;

    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap();
    let migrations =
        files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|kind| kind == "sql")).count();
    let missing = format!("FAILED  tables: {migrations} migrations are missing; `sanggwond migrate` applies them");
    assert!(bare.contains(&missing), "{bare}");
    assert!(
        ready.contains("ok      stations: 3, 2 keywords, 6 cells") && ready.contains("ok      key: accepted"),
        "{ready}"
    );
    assert!(refused.contains("FAILED  key: the API refuses the key: 401") && !refused.contains(KEY), "{refused}");
    assert_eq!(stage.standin.requests(), 2, "one request each");
}

#[tokio::test]
async fn health_succeeds_while_a_daemon_runs_on_this_host() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    stage.program(&["health"]).finish().await.expect_code(1);
    let mut daemon = stage.program(&[]).start();
    daemon.says("run 1 ended").await;

    stage.program(&["health"]).finish().await.expect_code(0);

    stage.execute("update daemon set seen_at = seen_at - interval '100 seconds'").await;
    let silent = stage.program(&["health"]).finish().await.expect_code(1);
    assert!(silent.stdout.contains("no heartbeat of the daemon"), "{}", silent.stdout);
    daemon.terminate().await.expect_code(0);
}

#[tokio::test]
async fn an_unreachable_database_is_named_without_its_password() {
    let stage = Stage::small().await;

    let program = stage.program(&["crawl"]).set("DATABASE_URL", "postgres://app:hunter2@127.0.0.1:1/places");
    let finished = program.finish().await.expect_code(1);

    assert!(finished.stderr.contains("could not reach the database places at 127.0.0.1:1"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("hunter2"), "{}", finished.stderr);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_not_changed() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage
        .execute(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
             values (9999, 'of the future', true, '', 0)",
        )
        .await;

    let finished = stage.program(&["crawl"]).finish().await.expect_code(1);

    assert!(finished.stderr.contains("install the newer version again"), "{}", finished.stderr);
}

#[tokio::test]
async fn a_database_of_an_unreleased_build_is_not_changed() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.execute("update _sqlx_migrations set checksum = 'other' where version = 3").await;

    let finished = stage.program(&["crawl"]).finish().await.expect_code(1);

    assert!(
        finished.stderr.contains("migration 3 of the database differs from that of this version"),
        "{}",
        finished.stderr
    );
}

#[tokio::test]
async fn demo_needs_no_key_and_uses_a_database_of_its_own() {
    let stage = Stage::small().await;

    let finished = stage
        .program(&["crawl", "--demo"])
        .unset("KAKAO_REST_API_KEY")
        .unset("SANGGWOND_KAKAO__BASE_URL")
        .set("SANGGWOND_CRAWL__KEYWORDS", "카페,공원")
        .finish()
        .await
        .expect_code(0);

    assert!(finished.stdout.contains("run 1 succeeded"), "{}", finished.stdout);
    assert_eq!(stage.standin.requests(), 0);
    assert!(
        stage.value::<bool>("select to_regclass('sanggwond.place') is null").await,
        "the real database stays empty"
    );
    let demo = stage.database.sibling("_demo").await;
    assert!(sqlx::query_scalar::<_, i64>("select count(*) from place").fetch_one(&demo.pool).await.unwrap() > 50);
}

#[tokio::test]
async fn check_shows_each_setting_with_its_origin_and_no_secret() {
    let stage = Stage::small().await;
    let file = stage.folder.path().join("config.toml");
    std::fs::write(&file, "[crawl]\nradius_m = 700\n[shutdown]\ngrace = '5s'\n").unwrap();
    let secret = stage.folder.path().join("key");
    std::fs::write(&secret, KEY).unwrap();

    let check = stage
        .program(&["check", "--settings"])
        .unset("KAKAO_REST_API_KEY")
        .set("KAKAO_REST_API_KEY_FILE", secret.to_str().unwrap())
        .set("SANGGWOND_SHUTDOWN__GRACE", "7s");
    let shown = check.finish().await.expect_code(0).stdout;

    let line = |name: &str| {
        let line = shown.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let in_file = file.to_str().unwrap();
    assert_eq!(line("crawl.radius_m"), ["crawl.radius_m", in_file, "700"]);
    assert_eq!(line("shutdown.grace"), ["shutdown.grace", "SANGGWOND_SHUTDOWN__GRACE", "7s"]);
    assert_eq!(line("crawl.coverage"), ["crawl.coverage", "default", "station"]);
    assert_eq!(line("kakao.requests_per_second"), ["kakao.requests_per_second", "default", "unset"]);
    assert_eq!(line("kakao.api_key"), ["kakao.api_key", "KAKAO_REST_API_KEY_FILE", "…"]);
    assert_eq!(line("database.url"), ["database.url", "DATABASE_URL", "…"]);
    assert!(!shown.contains(KEY) && !shown.contains(&stage.database.url), "{shown}");
    assert_eq!(stage.standin.requests(), 0);
}
