//! Subcommands, exit codes, and the sentences that bad input gets.

use sanggwond::standin::Fault;

use crate::support::{KEY, Stage};

#[tokio::test]
async fn bad_input_gets_a_sentence_with_its_origin_and_exit_code_2() {
    let stage = Stage::small().await;
    let cases: [(&str, &str, &[&str]); 9] = [
        ("SANGGWOND_CRAWL__RADIUS_M", "20001", &["crawl.radius_m", "20001 is no radius", "SANGGWOND_"]),
        ("SANGGWOND_CRAWL__PAGE_DELAY", "soon", &["crawl.page_delay", "write 500ms"]),
        ("SANGGWOND_CRAWL__RADIUS", "1", &["radius", "unknown field"]),
        ("SANGGWOND_SCHEDULE__CRON", "3 o'clock", &["schedule.cron"]),
        ("SANGGWOND_SCHEDULE__CRON", "0 0 3 31 2 *", &["never comes", "0 0 3 * * Mon"]),
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
async fn without_a_key_it_says_how_to_get_one() {
    let stage = Stage::small().await;

    for arguments in [&["crawl"][..], &["daemon"]] {
        let finished = stage.program(arguments).unset("KAKAO_REST_API_KEY").finish().await.expect_code(2);

        assert!(finished.stderr.contains("set KAKAO_REST_API_KEY, or add --demo"), "{}", finished.stderr);
    }
}

#[tokio::test]
async fn a_lost_database_url_is_an_error_where_no_private_server_is_wanted() {
    let stage = Stage::small().await;

    let program = stage.program(&["crawl"]).unset("DATABASE_URL").set("SANGGWOND_DATABASE__PRIVATE", "false");
    let finished = program.finish().await.expect_code(2);

    assert!(finished.stderr.contains("set DATABASE_URL"), "{}", finished.stderr);
}

#[tokio::test]
async fn a_name_that_is_not_there_is_said_with_those_that_are() {
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

    assert!(second.stderr.contains("another process is at work on this database"), "{}", second.stderr);
    stage.standin.release();
    first.finish().await.expect_code(0);
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1);
}

#[tokio::test]
async fn runs_shows_the_history_for_people_and_for_programs() {
    let stage = Stage::small().await;
    let before = stage.program(&["runs"]).finish().await.expect_code(1);
    assert!(before.stderr.contains("`sanggwond migrate` makes them"), "{}", before.stderr);
    stage.crawl().await;

    let text = stage.program(&["runs"]).finish().await.expect_code(0).stdout;
    let json = stage.program(&["runs", "--format", "json"]).finish().await.expect_code(0).stdout;

    assert!(text.contains("succeeded") && text.contains("all 6 cells done"), "{text}");
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(rows[0]["status"], "succeeded");
    assert_eq!(rows[0]["places_new"], 26);
}

#[tokio::test]
async fn next_shows_the_coming_ticks_in_both_zones() {
    let stage = Stage::small().await;

    let text = stage.program(&["next"]).finish().await.expect_code(0).stdout;

    assert!(
        text.lines().all(|line| line.starts_with("Mon ") && line.ends_with("03:00:00 Seoul (Sun 18:00:00 UTC)")),
        "{text}"
    );
    assert!(text.lines().count() >= 3, "{text}");
}

#[tokio::test]
async fn check_tells_what_is_ready_and_what_is_not() {
    let stage = Stage::small().await;

    let bare = stage.program(&["check"]).finish().await.expect_code(1).stdout;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let ready = stage.program(&["check"]).finish().await.expect_code(0).stdout;
    stage.standin.set(sanggwond::standin::Switches { api_key: Some("another".to_owned()), ..Default::default() });
    let refused = stage.program(&["check"]).finish().await.expect_code(1).stdout;

    let migrations = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap().count();
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
async fn check_compares_the_ways_of_searching_and_notices_an_api_that_ignores_a_rectangle() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let check = |station| stage.program(&["check", "--coverage", "--station", station]);

    let good = check("서울역").finish().await.expect_code(0);

    let agreed =
        "ok      coverage: near 서울역, 6 requests: 카페 5 in the circle, 5 in the rectangle and in its quarters";
    assert!(good.stdout.contains(agreed), "{}", good.stdout);
    let unknown = check("서울대").finish().await.expect_code(1);
    assert!(unknown.stdout.contains("FAILED  coverage: no station is called \"서울대\""), "{}", unknown.stdout);
    // The key is checked with one request; every rectangle after it shows a place of another town.
    let document = r#"{"id":"1","place_name":"가게","x":"126.9370","y":"37.5552"}"#;
    let meta = r#""meta":{"is_end":true,"pageable_count":1,"total_count":1,"same_name":null}"#;
    stage.standin.script(vec![Fault::Body(format!(r#"{{"documents":[{document}],{meta}}}"#)); 7]);
    let bad = check("서울역").finish().await.expect_code(1);
    let told =
        "FAILED  coverage: the circle counts 1 of 카페, but does not show as many different places that lie in it";
    assert!(bad.stdout.contains(told), "{}", bad.stdout);
}

#[tokio::test]
async fn health_is_good_while_a_daemon_lives_on_this_host() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    stage.program(&["health"]).finish().await.expect_code(1);
    let mut daemon = stage.program(&[]).start();
    daemon.says("run 1 ended").await;

    stage.program(&["health"]).finish().await.expect_code(0);

    stage.execute("update daemon set beat_at = beat_at - interval '100 seconds'").await;
    let silent = stage.program(&["health"]).finish().await.expect_code(1);
    assert!(silent.stdout.contains("silent"), "{}", silent.stdout);
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    daemon.finish().await.expect_code(0);
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
async fn a_database_of_a_newer_version_is_left_alone() {
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
async fn a_database_of_a_build_that_was_never_released_is_left_alone() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.execute("update _sqlx_migrations set checksum = 'other' where version = 3").await;

    let finished = stage.program(&["crawl"]).finish().await.expect_code(1);

    assert!(
        finished.stderr.contains("migration 3 of the database is not the one of this version"),
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
