//! The roles of `deploy/roles.sql`: a reader reads, a writer crawls, and neither does more.

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};

use crate::support::Stage;
use crate::support::server::server;

const ROLES: &str = include_str!("../../deploy/roles.sql");

/// A role that may log in and is a member of one of the groups, for this test only.
struct Member {
    name: String,
    options: PgConnectOptions,
}

impl Member {
    async fn of(stage: &Stage, group: &str) -> Self {
        let name = format!("{}_{group}", stage.database.name);
        crate::support::database::run(&format!("create role {name} login in role {group}")).await;
        let options = server().await.options.clone().username(&name).database(&stage.database.name);
        Self { name, options }
    }

    /// The SQLSTATE with which the server refuses a statement of this member; `None` if it succeeds.
    async fn refused(&self, sql: &'static str) -> Option<String> {
        let mut connection = PgConnection::connect_with(&self.options).await.unwrap();
        connection.execute("set search_path = sanggwond").await.unwrap();
        let done = connection.execute(sql).await;
        connection.close().await.unwrap();
        done.err().map(|error| error.as_database_error().unwrap().code().unwrap().into_owned())
    }

    async fn drop(self) {
        crate::support::database::run(&format!("drop role {}", self.name)).await;
    }
}

/// `insufficient_privilege`.
const REFUSED: Option<&str> = Some("42501");

async fn stage() -> Stage {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    // Executing the script twice has the same effect as once.
    stage.execute(ROLES).await;
    stage.execute(ROLES).await;
    stage
}

#[tokio::test]
async fn a_reader_reads_everything_and_writes_nothing() {
    let stage = stage().await;
    stage.crawl().await;
    let reader = Member::of(&stage, "sanggwond_reader").await;

    for sql in [
        "select * from local_info where is_deleted = false and station_name = '서울역' and category = '카페'",
        "select * from place_near(37.5547, 126.9707, 1000, '카페', 5)",
        "select * from place_search('카페', 37.5547, 126.9707)",
        "select * from station_search('서울')",
        "select * from place_feed(0)",
        "select * from place_change, run_history, run_failure, station_coverage, crawl_cell",
    ] {
        assert_eq!(reader.refused(sql).await, None, "{sql}");
    }
    for sql in [
        "insert into keyword (query) values ('술집')",
        "update place set name = 'x'",
        "delete from listing",
        "truncate place_change",
        "create table sanggwond.mine (a integer)",
    ] {
        assert_eq!(reader.refused(sql).await.as_deref(), REFUSED, "{sql}");
    }
    reader.drop().await;
}

#[tokio::test]
async fn an_owner_without_createrole_gets_an_error_unless_the_roles_exist() {
    let stage = Stage::small().await;
    let (database, owner) = (&stage.database.name, format!("{}_owner", stage.database.name));
    crate::support::database::run(&format!(
        "create role {owner} login; grant create on database {database} to {owner}"
    ))
    .await;
    let url = server().await.url_as(&owner, database);
    stage.program(&["migrate"]).set("DATABASE_URL", &url).finish().await.expect_code(0);
    let options = server().await.options.clone().username(&owner).database(database);
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let other_names =
        |text: &str| text.replace("sanggwond_reader", "no_reader").replace("sanggwond_writer", "no_writer");

    let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(other_names(ROLES))).execute(&mut connection).await.unwrap_err();
    stage.execute(ROLES).await;
    connection.execute("reset all").await.unwrap();
    sqlx::raw_sql(ROLES).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let sentence =
        format!("{owner} may not create the role no_reader; let a superuser run: alter role {owner} createrole");
    assert!(refused.to_string().contains(&sentence), "{refused}");
    stage.execute(&format!("drop owned by {owner} cascade")).await;
    crate::support::database::run(&format!("drop role {owner}")).await;
}

#[tokio::test]
async fn a_writer_crawls_and_purges_and_changes_no_table() {
    let stage = stage().await;
    let writer = Member::of(&stage, "sanggwond_writer").await;
    let url = server().await.url_as(&writer.name, &stage.database.name);
    let program = |arguments: &[&str]| stage.program(arguments).set("DATABASE_URL", &url);

    for coverage in ["station", "complete"] {
        program(&["crawl"]).set("SANGGWOND_CRAWL__COVERAGE", coverage).finish().await.expect_code(0);
    }
    let purged = program(&["purge", "--all", "--yes"]).finish().await.expect_code(0);

    assert_eq!(purged.stdout, "26 places deleted\n");
    assert_eq!(stage.texts("select status from crawl_run").await, ["succeeded", "succeeded"]);
    for sql in [
        "create table sanggwond.mine (a integer)",
        "drop table place_change",
        "alter table place add mine integer",
        "truncate place_change",
        "delete from station",
        "drop view local_info",
    ] {
        assert_eq!(writer.refused(sql).await.as_deref(), REFUSED, "{sql}");
    }
    writer.drop().await;
}

#[tokio::test]
async fn a_requester_requests_runs_and_does_nothing_else() {
    let stage = stage().await;
    let (requester, reader) =
        (Member::of(&stage, "sanggwond_requester").await, Member::of(&stage, "sanggwond_reader").await);
    let request = r#"select sanggwond.request_run('{"stations": ["서울역"]}')"#;

    assert_eq!(requester.refused(request).await, None);
    assert_eq!(reader.refused(request).await.as_deref(), REFUSED);
    for sql in [
        "select from crawl_run",
        "select from run_request",
        "insert into run_request (scope, requested_at, requested_by) values ('{}', now(), 'me')",
        "insert into schedule_pause (since, paused_by) values (now(), 'me')",
        "update crawl_run set cancel_requested_at = now()",
    ] {
        assert_eq!(requester.refused(sql).await.as_deref(), REFUSED, "{sql}");
    }
    let by: String = stage.value("select requested_by from run_request").await;
    assert_eq!(by, requester.name, "the function records the role");
    requester.drop().await;
    reader.drop().await;
}
