//! `--demo` and real places: commands of one kind never touch a database of the other.

use crate::support::database::{self, Database};
use crate::support::{Stage, program::Program};

/// Commands that open the database and would change or show it.
const COMMANDS: [&[&str]; 7] = [
    &["purge", "--all", "--yes"],
    &["crawl"],
    &["daemon"],
    &["migrate"],
    &["runs"],
    &["export", "--format", "csv"],
    &["report"],
];

/// Creates the database whose name is that of the stage with a suffix.
async fn created(stage: &Stage, suffix: &str) -> Database {
    let database = stage.database.sibling(suffix).await;
    database::run(&format!("create database {}", database.name)).await;
    database
}

fn on(stage: &Stage, database: &Database, arguments: &[&str]) -> Program {
    stage.program(arguments).set("DATABASE_URL", &database.url)
}

async fn places(database: &Database) -> i64 {
    sqlx::query_scalar("select count(*) from place").fetch_one(&database.pool).await.unwrap()
}

/// Expects every command to be refused with this message.
async fn refuses_all(stage: &Stage, database: &Database, option: &[&str], words: &str) {
    for command in COMMANDS {
        let arguments = [command, option].concat();
        let refused = on(stage, database, &arguments).finish().await.expect_code(2);

        assert!(refused.stderr.contains(words), "{arguments:?}: {}", refused.stderr);
    }
    let checked = on(stage, database, &[&["check"], option].concat()).finish().await.expect_code(1);
    assert!(checked.stdout.contains("FAILED  database: ") && checked.stdout.contains(words), "{}", checked.stdout);
}

#[tokio::test]
async fn a_demo_next_to_a_database_with_the_longest_name_changes_no_real_place() {
    let stage = Stage::small().await;
    let room = 63 - stage.database.name.len();
    let korean = format!("{}{}", "x".repeat(room % 3), "상".repeat(room / 3));
    for suffix in ["x".repeat(room), korean] {
        let real = created(&stage, &suffix).await;
        assert_eq!(real.name.len(), 63);
        let kept = suffix.floor_char_boundary(58 - stage.database.name.len());
        let demo = stage.database.sibling(&format!("{}_demo", &suffix[..kept])).await;
        on(&stage, &real, &["crawl"]).finish().await.expect_code(0);

        on(&stage, &real, &["migrate", "--demo"]).finish().await.expect_code(0);
        let checked = on(&stage, &real, &["check", "--demo"]).finish().await.expect_code(0);
        on(&stage, &real, &["purge", "--all", "--yes", "--demo"]).finish().await.expect_code(0);

        let line = format!("ok      database: {} at ", demo.name);
        assert!(checked.stdout.contains(&line) && checked.stdout.contains(", a demo world"), "{}", checked.stdout);
        assert_eq!((places(&real).await, places(&demo).await), (26, 0));
    }
}

#[tokio::test]
async fn a_database_name_from_which_no_demo_name_can_be_made_is_refused() {
    let stage = Stage::small().await;
    let real = created(&stage, &format!("{}_demo", "x".repeat(58 - stage.database.name.len()))).await;
    on(&stage, &real, &["crawl"]).finish().await.expect_code(0);

    refuses_all(&stage, &real, &["--demo"], "its name would be that of the real one").await;

    assert_eq!(places(&real).await, 26);
}

#[tokio::test]
async fn demo_refuses_a_database_with_real_places_of_any_name() {
    let stage = Stage::small().await;
    let real = created(&stage, "_demo").await;
    on(&stage, &real, &["crawl"]).finish().await.expect_code(0);

    refuses_all(&stage, &stage.database, &["--demo"], &format!("the database {} holds real places", real.name)).await;

    assert_eq!(places(&real).await, 26);
}

#[tokio::test]
async fn a_real_command_refuses_a_demo_database() {
    let stage = Stage::small().await;
    stage.program(&["migrate", "--demo"]).finish().await.expect_code(0);
    let demo = stage.database.sibling("_demo").await;

    refuses_all(&stage, &demo, &[], &format!("the database {} holds a demo world", demo.name)).await;

    assert_eq!(places(&demo).await, 0);
}

#[tokio::test]
async fn tables_without_a_mark_are_a_demo_only_by_the_name_and_all_runs() {
    let stage = Stage::small().await;
    let database = created(&stage, "_demo").await;
    let execute = async |sql: &'static str| sqlx::raw_sql(sql).execute(&database.pool).await.unwrap();
    let code = async |program: Program| program.finish().await.status.code();
    on(&stage, &database, &["crawl"]).finish().await.expect_code(0);
    stage.crawl().await;
    // An upgrade: migration 13 has nothing but comments, so it can be applied again.
    let older = "delete from installation; delete from _sqlx_migrations where version = 13";
    stage.execute(older).await;
    execute(older).await;

    // All runs in both databases used the stand-in of this test, which is on this machine.
    assert_eq!(code(stage.program(&["migrate", "--demo"])).await, Some(0));
    assert_eq!(code(stage.program(&["migrate"])).await, Some(0));
    assert!(sqlx::query_scalar::<_, bool>("select is_demo from installation").fetch_one(&database.pool).await.unwrap());
    assert!(!stage.value::<bool>("select is_demo from installation").await);
    execute("delete from installation").await;
    assert_eq!(code(on(&stage, &database, &["runs"])).await, Some(2));
    execute("update crawl_run set settings = settings || '{\"base_url\": \"https://dapi.kakao.com\"}'").await;

    assert_eq!(code(on(&stage, &database, &["runs"])).await, Some(0));
    assert_eq!(code(stage.program(&["runs", "--demo"])).await, Some(2));
}
