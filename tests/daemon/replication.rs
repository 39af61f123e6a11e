//! Logical replication: a copy of the tables on a subscriber follows the crawls, and is read by the same views and functions.

use sanggwond::standin::World;
use sanggwond::store::private_server::PrivateServer;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};

use crate::support::Stage;
use crate::support::server::folder_for_a_server;
use crate::support::town::{place, places};

/// What a subscriber needs to answer readers.
const TABLES: &str =
    "sanggwond.station, sanggwond.keyword, sanggwond.place, sanggwond.place_keyword, sanggwond.listing,
    sanggwond.place_change, sanggwond.place_version";

/// What readers see.
const SEEN: [&str; 3] = [
    "select coalesce(string_agg(l::text, E'\\n' order by l::text), '') from sanggwond.local_info l",
    "select coalesce(string_agg(f::text, E'\\n' order by f.version), '') from sanggwond.place_feed(0) f",
    "select coalesce(string_agg(n::text, E'\\n' order by n.place_id), '') from sanggwond.place_near(37.5552, 126.937) n",
];

async fn seen(pool: &PgPool) -> Vec<String> {
    let mut seen = Vec::new();
    for sql in SEEN {
        seen.push(sqlx::query_scalar(sql).fetch_one(pool).await.unwrap());
    }
    seen
}

async fn execute(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

#[tokio::test]
async fn a_subscriber_sees_what_the_publisher_sees_after_two_crawls() {
    let (stage, home) = (Stage::small().await, folder_for_a_server());
    let server = PrivateServer::start(home.path(), &[]).await.unwrap();
    let socket = home.path().join("postgres");
    let pool = |database: &str| {
        let options = PgConnectOptions::new_without_pgpass().socket(&socket).username("postgres").database(database);
        PgPoolOptions::new().max_connections(2).connect_lazy_with(options)
    };
    let first = pool("postgres");
    execute(&first, "alter system set wal_level = logical").await;
    execute(&first, "alter system set fsync = off").await;
    first.close().await;
    server.leave().await.unwrap();
    let server = PrivateServer::start(home.path(), &[]).await.unwrap();
    let publisher = pool("postgres");
    execute(&publisher, "create database copy").await;
    let subscriber = pool("copy");
    let url = |database: &str| format!("postgres://postgres@localhost/{database}?host={}", socket.display());
    let program = |arguments: &[&str], database: &str| stage.program(arguments).set("DATABASE_URL", url(database));
    for database in ["postgres", "copy"] {
        program(&["migrate"], database).finish().await.expect_code(0);
    }

    execute(&publisher, &format!("create publication places for table {TABLES}")).await;
    // In the same cluster the subscription cannot create its slot itself.
    execute(&publisher, "select pg_create_logical_replication_slot('copy', 'pgoutput')").await;
    let subscription = format!(
        "create subscription copy connection 'host={} user=postgres dbname=postgres' publication places
         with (create_slot = false, slot_name = 'copy')",
        socket.display()
    );
    execute(&subscriber, &subscription).await;
    let crawl = || {
        program(&["crawl"], "postgres")
            .set("SANGGWOND_CRAWL__CLOSE_AFTER", "1")
            .set("SANGGWOND_CRAWL__MAX_MISS_SHARE", "1")
    };
    crawl().finish().await.expect_code(0);
    let changed = places().into_iter().filter(|one| one.place.id.as_str() != "3");
    stage.standin.set_world(World::new(changed.chain([place(902, 37.5550, 126.9705, &["카페"])]).collect()));
    crawl().finish().await.expect_code(0);

    let expected = seen(&publisher).await;
    let follows = async {
        while seen(&subscriber).await != expected {
            // Poll: the server does not tell when the subscriber has applied a transaction.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let is_equal = tokio::time::timeout(crate::support::program::PATIENCE, follows).await.is_ok();
    assert!(is_equal, "{:#?}\n{expected:#?}", seen(&subscriber).await);
    assert!(expected.iter().all(|rows| rows.lines().count() > 10) && expected[1].contains("902"), "{expected:#?}");

    execute(&subscriber, "drop subscription copy").await;
    publisher.close().await;
    subscriber.close().await;
    server.leave().await.unwrap();
}
