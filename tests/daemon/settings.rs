//! Unusual databases: other encodings, settings, rights and limits.

use sanggwond::standin::World;

use crate::closings::NONE;
use crate::support::database;
use crate::support::ledger::wrong_counters;
use crate::support::server::server;
use crate::support::town;
use crate::support::{Stage, skip};

/// All settings of a role or a database that could break our statements.
const PERVERSE: &[&str] = &[
    "search_path = nowhere, pg_catalog",
    "statement_timeout = '100ms'",
    "lock_timeout = '1ms'",
    "idle_in_transaction_session_timeout = '1ms'",
    "idle_session_timeout = '1s'",
    "default_transaction_isolation = 'serializable'",
    "default_transaction_deferrable = on",
    "jit = on",
    "jit_above_cost = 0",
    "timezone = 'America/St_Johns'",
    "datestyle = 'German, DMY'",
    "intervalstyle = 'sql_standard'",
    "extra_float_digits = -15",
    "bytea_output = 'escape'",
    "standard_conforming_strings = off",
    "escape_string_warning = on",
    "backslash_quote = off",
    "quote_all_identifiers = on",
    "transform_null_equals = on",
    "array_nulls = off",
    "row_security = off",
    "exit_on_error = on",
    "client_min_messages = 'debug5'",
    "enable_hashjoin = off",
    "enable_indexscan = off",
    "from_collapse_limit = 1",
    "join_collapse_limit = 1",
    "plan_cache_mode = force_generic_plan",
    "constraint_exclusion = on",
    "xmloption = document",
    "gin_fuzzy_search_limit = 1",
];

/// The same for settings of newer PostgreSQL versions.
const NEWER: [(&str, &str); 2] = [("transaction_timeout", "100ms"), ("restrict_nonsystem_relation_kind", "view")];

/// Stored places, listings, changes and runs in an exact form that does not depend on the settings of the session.
const STORED: &str = "select string_agg(line, e'\n' order by line collate \"C\") from (
    select concat_ws('|', 'place', place_id, name, category_name, phone, address, encode(float8send(latitude), 'hex'),
        encode(float8send(longitude), 'hex'), closed_at is null) as line from sanggwond.place
    union all select concat_ws('|', 'listing', s.name, k.query, l.place_id, l.distance_m)
        from sanggwond.listing l join sanggwond.station s using (station_id) join sanggwond.keyword k using (keyword_id)
    union all select concat_ws('|', 'change', place_id, kind, encode(convert_to(before::text, 'UTF8'), 'hex'),
        encode(convert_to(after::text, 'UTF8'), 'hex')) from sanggwond.place_change
    union all select concat_ws('|', 'run', status, cells_total, cells_done, places_new, places_changed, reason)
        from sanggwond.crawl_run
    ) all_of_it";

/// Crawls, moves one place and removes another, crawls with complete coverage, and reads everything. Returns what is
/// stored, and the number of lines of each output.
async fn lived_through(stage: &Stage) -> (String, Vec<usize>) {
    stage.crawl().await;
    let mut places = town::places();
    places.retain(|place| place.place.id.as_str() != "35");
    places[0] = town::place(1, 37.555_300_000_1, 126.937_000_000_7, &["카페"]);
    stage.standin.set_world(World::new(places));
    stage.program(&["crawl"]).set("SANGGWOND_CRAWL__COVERAGE", "complete").finish().await.expect_code(0);
    let mut lines = Vec::new();
    for arguments in [
        ["export", "--format", "csv"].as_slice(),
        &["export", "--format", "geojson"],
        &["runs"],
        &["runs", "2", "--format", "json"],
        &["changes"],
        &["report"],
        &["check"],
        &["purge", "--all", "--dry-run"],
    ] {
        lines.push(stage.program(arguments).finish().await.expect_code(0).stdout.lines().count());
    }
    (stage.value(STORED).await, lines)
}

#[tokio::test]
async fn the_settings_of_a_role_do_not_change_the_results() {
    if !lets_roles_in().await {
        return;
    }
    let (mut usual, mut perverse) = (Stage::small().await, Stage::small().await);
    let (usual_role, usual_url) = limited_role(&usual, 100).await;
    let (role, url) = limited_role(&perverse, 100).await;
    for setting in PERVERSE {
        database::run(&format!("alter role {role} set {setting}")).await;
    }
    for (setting, value) in NEWER {
        database::run(&format!(
            "do $$ begin if exists (select from pg_settings where name = '{setting}') then
                 alter role {role} set {setting} = '{value}'; end if; end $$"
        ))
        .await;
    }
    usual.database.url = usual_url;
    perverse.database.url = url;

    let expected = lived_through(&usual).await;
    let found = lived_through(&perverse).await;

    assert!(expected.0.contains("change|1|changed|"), "{}", expected.0);
    assert_eq!(found, expected);
    drop_role(&usual, &usual_role).await;
    drop_role(&perverse, &role).await;
}

#[tokio::test]
async fn a_database_that_is_not_utf_8_is_refused_with_the_command_that_creates_one() {
    let stage = Stage::small().await;
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let other = stage.database.sibling(&format!("_{}", encoding.to_lowercase())).await;
        let name = &other.name;
        database::run(&format!("create database {name} encoding '{encoding}' locale 'C' template template0")).await;

        for command in ["migrate", "check", "daemon", "crawl", "runs"] {
            let refused = stage.program(&[command]).set("DATABASE_URL", &other.url).finish().await.expect_code(1);

            let said = format!("{}{}", refused.stdout, refused.stderr);
            let sentence = format!(
                "the database {name} has the encoding {encoding}, but Korean names need UTF8; create another database: \
                 create database {name}_utf8 encoding 'UTF8' locale 'C' template template0"
            );
            assert!(said.contains(&sentence), "{command}: {said}");
        }
    }
}

#[tokio::test]
async fn a_row_that_the_database_refuses_fails_only_its_cell() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    // Refuse one of the five cafés near 서울역, which no other cell finds.
    stage.execute("alter table place add check (name <> '가게 33')").await;

    let crawled = stage.program(&["crawl"]).finish().await.expect_code(3);

    assert!(crawled.stderr.contains("fails: the database refuses its places: "), "{}", crawled.stderr);
    assert_eq!(stage.value::<i64>("select count(*) from place").await, 21);
    let failed =
        stage.texts("select concat_ws(' ', keyword, area, error) from run_failure where status = 'failed'").await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].starts_with("카페 서울역") && failed[0].contains("(23514)"), "{failed:?}");
    assert_eq!(stage.texts("select status from crawl_run").await, ["partial"]);
    assert_eq!(wrong_counters(&stage).await, NONE);
}

#[tokio::test]
async fn a_text_that_an_index_or_a_trigger_refuses_fails_only_its_cell() {
    let mut places = town::places();
    // Texts that are together too long for an index, because they cannot be compressed.
    let noise = |step: u32| (0..500).map(|n| char::from_u32(0xac00 + n * step % 11_172).unwrap()).collect::<String>();
    let long = places.iter_mut().find(|place| place.place.id.as_str() == "33").unwrap();
    long.place.address = Some(noise(7_919));
    long.place.road_address = Some(noise(6_323));
    long.place.category_name = Some(noise(4_733));
    let stage = Stage::new(World::new(places), town::STATIONS).await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    stage.execute("create index on place ((address || road_address || category_name))").await;
    stage
        .execute(
            "create function refuse() returns trigger language plpgsql as $$ begin raise 'not this one'; end $$;
             create trigger refuse before insert on place for each row when (new.place_id = '21') execute function refuse()",
        )
        .await;

    stage.program(&["crawl"]).finish().await.expect_code(3);

    let failed =
        stage.texts("select concat_ws(' ', keyword, area, error) from run_failure where status = 'failed'").await;
    assert!(failed.iter().any(|cell| cell.starts_with("카페 서울역") && cell.contains("(54000)")), "{failed:?}");
    assert!(
        failed.iter().any(|cell| cell.starts_with("공원 신촌역") && cell.contains("not this one (P0001)")),
        "{failed:?}"
    );
    assert_eq!(wrong_counters(&stage).await, NONE);
}

/// Whether a new role can log in to the server of the tests without a password.
async fn lets_roles_in() -> bool {
    let is_private = server().await.is_private();
    if !is_private {
        skip("a test with a new role", "only a server of our own lets a new role in");
    }
    is_private
}

/// A role with the rights of the owner and a connection limit, for this test only.
async fn limited_role(stage: &Stage, limit: u32) -> (String, String) {
    let (name, role) = (&stage.database.name, format!("{}_limit_{limit}", stage.database.name));
    database::run(&format!(
        "create role {role} login connection limit {limit}; grant all on database {name} to {role}"
    ))
    .await;
    let url = server().await.url_as(&role, name);
    (role, url)
}

async fn drop_role(stage: &Stage, role: &str) {
    let name = &stage.database.name;
    stage.execute("drop schema if exists sanggwond cascade").await;
    database::run(&format!("revoke all on database {name} from {role}; drop role {role}")).await;
}

#[tokio::test]
async fn two_connections_are_enough() {
    if !lets_roles_in().await {
        return;
    }
    for limit in [2, 3] {
        let stage = Stage::small().await;
        let (role, url) = limited_role(&stage, limit).await;
        let program = |arguments: &[&str]| stage.program(arguments).set("DATABASE_URL", &url);

        program(&["migrate"]).finish().await.expect_code(0);
        let checked = program(&["check"]).finish().await.expect_code(0);
        let mut daemon = program(&[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms").start();
        daemon.says("run 1 ended as succeeded").await;
        let said = daemon.stderr();
        daemon.terminate().await.expect_code(0);
        program(&["crawl"]).set("SANGGWOND_CRAWL__COVERAGE", "complete").finish().await.expect_code(0);

        let words = format!(
            "ok      connections: a daemon or a crawl makes {limit}, another command 1 or 2; the role may have {limit}"
        );
        assert!(checked.stdout.contains(&words), "{}", checked.stdout);
        assert!(!said.contains("too many connections") && !said.contains("could not"), "{said}");
        drop_role(&stage, &role).await;
    }
}

#[tokio::test]
async fn the_error_for_a_role_with_one_connection_shows_how_many_are_needed() {
    if !lets_roles_in().await {
        return;
    }
    let stage = Stage::small().await;
    let (role, url) = limited_role(&stage, 2).await;
    stage.program(&["migrate"]).set("DATABASE_URL", &url).finish().await.expect_code(0);
    database::run(&format!("alter role {role} connection limit 1")).await;

    let checked = stage.program(&["check"]).set("DATABASE_URL", &url).finish().await.expect_code(1);
    let crawled = stage.program(&["crawl"]).set("DATABASE_URL", &url).finish().await.expect_code(1);

    let words =
        "FAILED  connections: 2 connections are needed, and the role may have 1: alter role … connection limit 3";
    assert!(checked.stdout.contains(words), "{}", checked.stdout);
    assert!(crawled.stderr.contains("too many connections for role"), "{}", crawled.stderr);
    assert!(crawled.stderr.contains("a daemon or a crawl makes 3 connections (2 where"), "{}", crawled.stderr);
    drop_role(&stage, &role).await;
}

#[tokio::test]
async fn the_error_for_a_missing_privilege_shows_the_grant() {
    if !lets_roles_in().await {
        return;
    }
    let stage = Stage::small().await;
    let (name, role) = (&stage.database.name, format!("{}_nobody", stage.database.name));
    database::run(&format!("create role {role} login")).await;
    let url = server().await.url_as(&role, name);
    let said = async |arguments: &[&str], code: i32| {
        let refused = stage.program(arguments).set("DATABASE_URL", &url).finish().await.expect_code(code);
        format!("{}{}", refused.stdout, refused.stderr)
    };

    let no_schema = said(&["migrate"], 1).await;
    let no_database = said(&["crawl", "--demo"], 1).await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let not_used = said(&["runs"], 1).await;
    stage
        .execute(&format!(
            "grant usage on schema sanggwond to {role}; grant select on all tables in schema sanggwond to {role}"
        ))
        .await;
    stage.execute("delete from _sqlx_migrations where version = 11").await;
    let not_owned = said(&["migrate"], 1).await;

    assert!(
        no_schema.contains(&format!("let its owner run: grant create on database {name} to {role}")),
        "{no_schema}"
    );
    assert!(no_database.contains(&format!("may not create the database {name}_demo")), "{no_database}");
    assert!(not_used.contains(&format!("grant sanggwond_reader (or sanggwond_writer) to {role}")), "{not_used}");
    assert!(not_owned.contains("which belongs to postgres: run `sanggwond migrate` as postgres"), "{not_owned}");
    stage.execute(&format!("drop owned by {role}")).await;
    database::run(&format!("drop role {role}")).await;
}
