//! Other users of the database: objects that they create in the schema are refused before any of them is used.

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use crate::support::database;
use crate::support::server::server;
use crate::support::{Stage, skip};

const ROLES: &str = include_str!("../../deploy/roles.sql");

/// Commands that open the database, by every code path.
const COMMANDS: [&[&str]; 8] = [
    &["runs"],
    &["migrate"],
    &["crawl"],
    &["daemon"],
    &["report"],
    &["export", "--format", "csv"],
    &["purge", "--all", "--yes"],
    &["health"],
];

/// A role that may log in, and the database in which it has rights.
struct Role {
    name: String,
    database: String,
}

impl Role {
    /// Creates a role with these rights on the database.
    async fn new(stage: &Stage, suffix: &str, rights: &str) -> Self {
        let (name, database) = (format!("{}_{suffix}", stage.database.name), stage.database.name.clone());
        database::run(&format!("create role {name} login; grant {rights} on database {database} to {name}")).await;
        Self { name, database }
    }

    async fn url(&self) -> String {
        server().await.url_as(&self.name, &self.database)
    }

    async fn options(&self) -> PgConnectOptions {
        server().await.options.clone().username(&self.name).database(&self.database)
    }

    async fn execute(&self, sql: &str) {
        let mut connection = PgConnection::connect_with(&self.options().await).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn drop(self, stage: &Stage) {
        stage.execute(&format!("drop owned by {} cascade", self.name)).await;
        database::run(&format!("drop role {}", self.name)).await;
    }
}

async fn lets_roles_in() -> bool {
    let is_private = server().await.is_private();
    if !is_private {
        skip("a test with a new role", "only a server of our own lets a new role in");
    }
    is_private
}

/// Expects every command of the role at `url` to be refused because of an object.
async fn refuses_all(stage: &Stage, url: &str, object: &str, owner: &str) {
    let words = format!("the {object} belongs to the role {owner}, ");
    for arguments in COMMANDS {
        let refused = stage.program(arguments).set("DATABASE_URL", url).finish().await.expect_code(1);
        assert!(refused.stderr.contains(&words), "{arguments:?}: {}", refused.stderr);
    }
    let checked = stage.program(&["check"]).set("DATABASE_URL", url).finish().await.expect_code(1);
    assert!(checked.stdout.contains(&format!("FAILED  database: {words}")), "{}", checked.stdout);
}

/// A trap: views named like the tables that are read first. They call a function that runs with the rights of the
/// reader.
const TRAP: &str = "
    create schema sanggwond;
    create function sanggwond.trap() returns bigint language plpgsql as $$
    begin
        execute format('alter role %I superuser', (select nspowner::regrole::text from pg_namespace where nspname = 'sanggwond'));
        return 1;
    end $$;
    create view sanggwond._sqlx_migrations as select sanggwond.trap() as version, ''::bytea as checksum, true as success;
    create view sanggwond.crawl_run as select sanggwond.trap() as crawl_run_id, '{}'::jsonb as settings;
    create view sanggwond.installation as select sanggwond.trap() = 1 as is_demo;
    grant all on schema sanggwond to public;
    grant all on all tables in schema sanggwond to public;";

#[tokio::test]
async fn a_schema_of_another_role_is_refused_and_none_of_its_code_runs() {
    if !lets_roles_in().await {
        return;
    }
    let stage = Stage::small().await;
    let attacker = Role::new(&stage, "attacker", "create").await;
    let owner = Role::new(&stage, "owner", "create").await;
    attacker.execute(TRAP).await;
    // Before PostgreSQL 15 every role may grant membership in itself to any other role.
    stage.execute(&format!("grant {} to {}", attacker.name, owner.name)).await;

    for url in [&stage.database.url, &owner.url().await] {
        refuses_all(&stage, url, "schema sanggwond", &attacker.name).await;
    }

    let is_superuser = format!("select rolsuper from pg_roles where rolname = '{}'", attacker.name);
    let is_superuser: bool =
        sqlx::query_scalar(sqlx::AssertSqlSafe(is_superuser)).fetch_one(stage.pool()).await.unwrap();
    assert!(!is_superuser, "the trap was not sprung");
    attacker.drop(&stage).await;
    owner.drop(&stage).await;
}

#[tokio::test]
async fn an_object_of_another_role_in_the_schema_is_refused_and_named() {
    if !lets_roles_in().await {
        return;
    }
    let stage = Stage::small().await;
    stage.crawl().await;
    let attacker = Role::new(&stage, "attacker", "create").await;
    stage
        .execute(&format!(
            "grant all on schema sanggwond to {0}; grant all on all tables in schema sanggwond to {0}",
            attacker.name
        ))
        .await;

    let equal = "create function public.same(text, varchar) returns boolean language sql as 'select true'";
    stage.execute(&format!("grant create on schema public to {}", attacker.name)).await;
    attacker.execute(equal).await;
    for (made, object, gone) in [
        ("create table sanggwond.t (a integer)", "table sanggwond.t", "drop table sanggwond.t"),
        ("create view sanggwond.v as select 1", "view sanggwond.v", "drop view sanggwond.v"),
        (
            "create function sanggwond.now() returns timestamptz language sql as 'select null::timestamptz'",
            "function sanggwond.now()",
            "drop function sanggwond.now()",
        ),
        (
            "create operator sanggwond.= (leftarg = text, rightarg = varchar, function = public.same)",
            "operator sanggwond.=(pg_catalog.text,character varying)",
            "drop operator sanggwond.= (text, varchar)",
        ),
        ("create domain sanggwond.d as text", "type sanggwond.d", "drop domain sanggwond.d"),
        (
            "create function public.trap() returns trigger language plpgsql as 'begin return new; end';
             create trigger trap before update on sanggwond.daemon for each row execute function public.trap()",
            "function public.trap()",
            "drop function public.trap() cascade",
        ),
        (
            "create table public.t (a text references sanggwond.place on delete cascade)",
            "table public.t",
            "drop table public.t",
        ),
    ] {
        attacker.execute(made).await;
        let refused = stage.program(&["runs"]).finish().await.expect_code(1);
        stage.execute(gone).await;

        let words = format!("the {object} belongs to the role {}, ", attacker.name);
        assert!(refused.stderr.contains(&words), "{object}: {}", refused.stderr);
    }
    stage.program(&["runs"]).finish().await.expect_code(0);
    attacker.drop(&stage).await;
}

#[tokio::test]
async fn control_characters_in_the_name_of_an_object_are_escaped() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    if !lets_roles_in().await {
        return;
    }
    let attacker = Role::new(&stage, "attacker", "create").await;
    stage.execute(&format!("grant all on schema sanggwond to {}", attacker.name)).await;
    attacker.execute("create table sanggwond.\"\x1b[2J\nok      forged\" (a integer)").await;

    let refused = stage.program(&["runs"]).finish().await.expect_code(1);
    let checked = stage.program(&["check"]).finish().await.expect_code(1);
    for text in [&refused.stderr, &checked.stdout] {
        assert!(text.contains("the table sanggwond.\"␛[2J␊ok      forged\" belongs to the role"), "{text}");
    }
    attacker.drop(&stage).await;
}

#[tokio::test]
async fn a_daemon_stops_using_a_schema_in_which_another_role_creates_an_object() {
    if !lets_roles_in().await {
        return;
    }
    let stage = Stage::small().await;
    let attacker = Role::new(&stage, "attacker", "create").await;
    let mut daemon = stage.program(&[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms").start();
    daemon.says("run 1 ended as succeeded").await;

    stage.execute(&format!("grant all on schema sanggwond to {}", attacker.name)).await;
    // For an argument of type `name`, this function is a better match than the built-in one.
    let trap = "create function sanggwond.quote_ident(name) returns text language plpgsql as $$
        begin create table public.sprung (); return 'sanggwond'; end $$";
    attacker.execute(trap).await;
    let function = "function sanggwond.quote_ident(pg_catalog.name)";
    daemon.says(&format!("the {function} belongs to the role {}", attacker.name)).await;
    stage.execute("drop function sanggwond.quote_ident(name)").await;
    daemon.says("the database is reachable again").await;
    assert!(stage.value::<bool>("select to_regclass('public.sprung') is null").await, "the trap was sprung");

    daemon.terminate().await.expect_code(0);
    attacker.drop(&stage).await;
}

#[tokio::test]
async fn an_owner_is_trusted_if_configured_in_the_group_or_a_member_of_the_role() {
    if !lets_roles_in().await {
        return;
    }
    let stage = Stage::small().await;
    let owner = Role::new(&stage, "owner", "create").await;
    let user = Role::new(&stage, "user", "connect").await;
    let (owner_url, user_url) = (owner.url().await, user.url().await);
    stage.program(&["migrate"]).set("DATABASE_URL", &owner_url).finish().await.expect_code(0);
    stage
        .execute(&format!(
            "grant usage on schema sanggwond to {0}; grant select on all tables in schema sanggwond to {0}",
            user.name
        ))
        .await;
    let runs = async |url: &str, trusted: &str| {
        let program = stage.program(&["runs"]).set("DATABASE_URL", url).set("SANGGWOND_DATABASE__OWNER", trusted);
        program.finish().await.status.code()
    };

    for url in [&user_url, &stage.database.url] {
        assert_eq!(runs(url, "nobody").await, Some(1), "{url}");
        assert_eq!(runs(url, &owner.name).await, Some(0), "{url}");
    }
    stage.execute(&format!("grant {} to {}", user.name, owner.name)).await;
    assert_eq!(runs(&user_url, "nobody").await, Some(0), "the owner may act as the user");
    stage.execute(&format!("revoke {} from {}", user.name, owner.name)).await;
    assert_eq!(runs(&user_url, "nobody").await, Some(1));
    stage.execute(ROLES).await;
    assert_eq!(runs(&user_url, "nobody").await, Some(0), "the owner is a member of the group");
    assert_eq!(runs(&stage.database.url, "nobody").await, Some(1), "which is no evidence for a superuser");
    user.drop(&stage).await;
    owner.drop(&stage).await;
}

/// The key of the advisory lock with which sqlx would protect the migrations of a database.
fn lock_of_sqlx(database: &str) -> i64 {
    let mut crc = u32::MAX;
    for byte in database.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    0x3d32_ad9e * i64::from(!crc)
}

#[tokio::test]
async fn a_reader_cannot_block_a_migration_with_an_advisory_lock() {
    let stage = Stage::small().await;
    let mut other = stage.pool().acquire().await.unwrap();
    let lock = sqlx::query("select pg_advisory_lock($1)").bind(lock_of_sqlx(&stage.database.name));
    lock.execute(&mut *other).await.unwrap();

    stage.program(&["migrate"]).finish().await.expect_code(0);
}

#[tokio::test]
async fn functions_do_not_depend_on_the_search_path_of_a_session() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);

    let unbound = "select proname::text from pg_proc where pronamespace = 'sanggwond'::regnamespace
         and prosqlbody is null and not coalesce(array_to_string(proconfig, ' ') like '%search_path=%', false)";
    assert_eq!(stage.texts(unbound).await, Vec::<String>::new());
}

#[tokio::test]
async fn check_warns_of_a_superuser() {
    if !lets_roles_in().await {
        return;
    }
    let stage = Stage::small().await;
    let owner = Role::new(&stage, "owner", "create").await;
    let url = owner.url().await;
    stage.program(&["migrate"]).set("DATABASE_URL", &url).finish().await.expect_code(0);

    let as_owner = stage.program(&["check"]).set("DATABASE_URL", &url).finish().await.expect_code(0);
    let as_superuser = stage.program(&["check"]).set("SANGGWOND_DATABASE__OWNER", &owner.name).finish().await;

    let warning = "warning role: postgres is a superuser";
    assert!(!as_owner.stdout.contains("warning"), "{}", as_owner.stdout);
    assert!(as_superuser.expect_code(0).stdout.contains(warning));
    owner.drop(&stage).await;
}
