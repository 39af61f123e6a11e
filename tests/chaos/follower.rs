//! A follower of `place_feed` while daemons are killed and suspended, the database restarts, places close and are purged, and the
//! follower itself is killed: in the end its copy equals the tables.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use sanggwond::standin::Switches;

use crate::Plan;
use crate::chance::Chance;
use crate::findings::Findings;
use crate::scene::program;
use crate::support::Stage;
use crate::support::database::Database;
use crate::support::program::{Program, Running};
use crate::support::python::{for_libpq, python};
use crate::support::server::{Shutdown, server};

/// A full run is requested, in the world of another week, after every so many kills.
const KILLS_PER_WEEK: u64 = 4;

/// After every so many kills a daemon is suspended until another one has taken over, in the long form.
const KILLS_PER_SUSPENSION: u64 = 10;

/// Longer than the lock of a silent daemon holds.
const SUSPENDED: Duration = Duration::from_secs(12);

/// Lets all runs lie back.
const MONTHS_AGO: &str = "update crawl_run
    set started_at = started_at - interval '90 days', finished_at = finished_at - interval '90 days'";

/// What the copy has of each open place.
const OPEN: &str = "select place_id, name, phone, latitude, longitude,
        array(select distinct s.name from sanggwond.listing l join sanggwond.station s using (station_id)
            where l.place_id = p.place_id and l.gone_at is null order by 1),
        array(select distinct k.query from sanggwond.listing l join sanggwond.keyword k using (keyword_id)
            where l.place_id = p.place_id and l.gone_at is null order by 1)
    from sanggwond.place p where closed_at is null";

/// Part of the copy's tables. An update that does not move on is refused, so the follower would end with an error.
const MUST_GROW: &str = "
    create table public.copied_until (version bigint);
    insert into public.copied_until values (0);
    create function public.must_grow() returns trigger language plpgsql as $$
    begin
        if new.version <= old.version then
            raise exception 'out of order: % after %', new.version, old.version;
        end if;
        return new;
    end $$;
    create trigger must_grow before update on public.copied_until for each row execute function public.must_grow()";

/// The Python program, and its database.
struct Follower {
    command: Command,
    copy: Database,
    child: Child,
    starts: u32,
    /// What it wrote when it ended by itself for another reason than a lost connection.
    errors: String,
}

impl Follower {
    async fn start(mut command: Command, stage: &Stage) -> Self {
        let copy = Database::fresh().await;
        sqlx::raw_sql(MUST_GROW).execute(&copy.pool).await.unwrap();
        command.arg(for_libpq(&stage.database.url)).arg(for_libpq(&copy.url)).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        Self { command, copy, child, starts: 1, errors: String::new() }
    }

    /// Kills it, or finds it ended because the database went away, and starts it again.
    fn restart(&mut self) {
        self.end();
        self.child = self.command.spawn().unwrap();
        self.starts += 1;
    }

    fn end(&mut self) {
        self.child.kill().ok();
        self.child.wait().unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        if !said.contains("psycopg.OperationalError") && !said.contains("psycopg.errors.AdminShutdown") {
            self.errors += &said;
        }
    }
}

fn daemon(stage: &Stage) -> Program {
    let daemon = program(stage, &["daemon"]).set("SANGGWOND_SCHEDULE__ENABLED", "false");
    settings(daemon.set("SANGGWOND_SCHEDULE__HEARTBEAT", "200ms"))
}

/// Places close in the run that first misses them.
fn settings(program: Program) -> Program {
    let program = program.set("SANGGWOND_CRAWL__COVERAGE", "complete").set("SANGGWOND_CRAWL__CLOSE_AFTER", "1");
    program.set("SANGGWOND_CRAWL__MAX_MISS_SHARE", "1")
}

/// Kills daemons and the follower, again and again, while full runs are requested; then lets the last run end.
async fn strike(plan: &Plan, kills: u64, stage: &Stage, follower: &mut Follower) {
    let mut chance = Chance::new(plan.seed + 21);
    let mut daemons: Vec<Running> = (0..2).map(|_| daemon(stage).start()).collect();
    for kill in 0..kills {
        if kill % KILLS_PER_WEEK == 0 {
            stage.standin.set_world(plan.scene.world(u32::try_from(kill / KILLS_PER_WEEK).unwrap()));
            stage.program(&["request"]).finish().await.expect_code(0);
        }
        tokio::time::sleep(Duration::from_millis(300) + chance.millis(2500)).await;
        let struck = daemons.remove(0);
        if plan.is_long && kill % KILLS_PER_SUSPENSION == 5 {
            struck.signal(Signal::SIGSTOP);
            tokio::time::sleep(SUSPENDED).await;
            struck.signal(Signal::SIGCONT);
        }
        struck.signal(Signal::SIGKILL);
        struck.finish().await;
        daemons.push(daemon(stage).start());
        if kill == kills / 2 && server().await.is_private() {
            server().await.restart(Shutdown::Immediate).await;
        }
        if kill % 3 == 0 || follower.child.try_wait().unwrap().is_some() {
            follower.restart();
        }
    }
    for daemon in &mut daemons {
        daemon.says("the schedule is disabled").await;
    }
    stage.becomes_true("select bool_and(crawl_run_id is not null) from run_request").await;
    stage.becomes_true("select bool_and(status not in ('running', 'interrupted')) from crawl_run").await;
    for daemon in daemons {
        daemon.terminate().await.expect_code(0);
    }
}

/// Runs the case.
pub(crate) async fn run(plan: &Plan, findings: &mut Findings) {
    let Some(command) = python("the case of the follower", "follow.py") else {
        findings.skip("tests/python/install has not been run");
        return;
    };
    let kills = plan.pick(8, 100);
    let stage = plan.scene.stage().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    stage.standin.set(Switches { latency: Duration::from_millis(10), ..Switches::default() });
    let mut follower = Follower::start(command, &stage).await;
    strike(plan, kills, &stage, &mut follower).await;
    // Places that no run has found for months are deleted: those that are closed by now.
    stage.execute(MONTHS_AGO).await;
    settings(program(&stage, &["crawl"])).finish().await.expect_code(0);
    let purge =
        stage.program(&["purge", "--yes", "--all", "--not-seen-for", "30d"]).finish().await.expect_code(0).stdout;

    follower.restart();
    let last: i64 = stage.value("select max(version) from place_version").await;
    let read = format!("select version = {last} from public.copied_until");
    while !sqlx::query_scalar(sqlx::AssertSqlSafe(read.clone())).fetch_one(&follower.copy.pool).await.unwrap_or(false) {
        if follower.child.try_wait().unwrap().is_some() {
            follower.end();
            panic!("the follower ended: {}", follower.errors);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    follower.end();
    let Follower { copy, starts, errors, .. } = follower;
    let of_the_copy =
        "select place_id, name, phone, latitude, longitude, stations, keywords from public.copied_place order by 1";
    let copied: Vec<Place> = sqlx::query_as(of_the_copy).fetch_all(&copy.pool).await.unwrap();
    let sorted = format!("{OPEN} order by 1");
    let stored: Vec<Place> = sqlx::query_as(sqlx::AssertSqlSafe(sorted)).fetch_all(stage.pool()).await.unwrap();
    let closed: i64 = stage.value("select sum(places_closed)::bigint from crawl_run").await;
    findings.note(format!(
        "{kills} kills, the follower started {starts} times, {} places, {last} versions, {closed} closings, {}",
        stored.len(),
        purge.trim()
    ));
    findings.check(errors.is_empty(), || errors);
    findings.check(!stored.is_empty() && closed > 0, || "nothing happened".to_owned());
    let differs = stored
        .iter()
        .filter(|place| copied.binary_search_by(|one| one.0.cmp(&place.0)).map_or(true, |at| &copied[at] != *place))
        .count();
    findings.check(copied == stored, || {
        format!("{} places were copied, {} are stored, {differs} differ or are missing", copied.len(), stored.len())
    });
}

/// A place: id, name, phone, latitude, longitude, stations, keywords.
type Place = (String, String, Option<String>, f64, f64, Vec<String>, Vec<String>);
