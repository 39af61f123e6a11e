//! The feed of changed places: a follower that polls sees every change once and in order, whatever happens to the writers.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;
use sanggwond::standin::{Switches, World};
use sqlx::PgPool;
use tokio::sync::watch;

use crate::closings::NONE;
use crate::support::Stage;
use crate::support::town::{place, places};

/// What a follower keeps of each open place, as one text.
const CONTENT: &str = "select place_id, format('%s|%s|%s|%s|%s|%s|%s', name, category_name, phone, latitude, longitude,
        array(select distinct s.name from sanggwond.listing l join sanggwond.station s using (station_id)
            where l.place_id = p.place_id and l.gone_at is null order by 1),
        array(select distinct k.query from sanggwond.listing l join sanggwond.keyword k using (keyword_id)
            where l.place_id = p.place_id and l.gone_at is null order by 1))
    from sanggwond.place p where closed_at is null";

/// The last version.
const LAST: &str = "select max(version) from place_version";

/// A few rows of the feed.
const FEED: &str = "select version, place_id, is_deleted,
        format('%s|%s|%s|%s|%s|%s|%s', name, category_name, phone, latitude, longitude, stations, keywords)
    from sanggwond.place_feed($1, 7)";

/// A copy of the open places, and how far it was read.
#[derive(Debug, Default)]
struct Follower {
    after: i64,
    copy: BTreeMap<String, String>,
    polls: u32,
}

impl Follower {
    /// Reads once; `false` if there was nothing new.
    async fn poll(&mut self, pool: &PgPool) -> bool {
        let rows: Vec<(i64, String, bool, String)> =
            sqlx::query_as(FEED).bind(self.after).fetch_all(pool).await.unwrap();
        self.polls += 1;
        for (version, id, is_deleted, content) in &rows {
            assert!(*version > self.after, "{version} came after {}", self.after);
            self.after = *version;
            if *is_deleted {
                self.copy.remove(id);
            } else {
                self.copy.insert(id.clone(), content.clone());
            }
        }
        !rows.is_empty()
    }
}

/// Follows until the end, and then until nothing is new.
async fn follow(pool: PgPool, mut end: watch::Receiver<bool>) -> Follower {
    let mut follower = Follower::default();
    loop {
        let is_end = *end.borrow_and_update();
        let has_more = follower.poll(&pool).await;
        if is_end && !has_more {
            return follower;
        }
        tokio::task::yield_now().await;
    }
}

/// The town with some places left out and some added.
fn town(without: &[u32], with: &[u32]) -> World {
    let is_left_out = |id: &str| without.iter().any(|left_out| *id == left_out.to_string());
    let new = with.iter().map(|id| place(*id, 37.5547, 126.9707, &["카페", "공원"]));
    World::new(places().into_iter().filter(|one| !is_left_out(one.place.id.as_str())).chain(new).collect())
}

#[tokio::test]
async fn a_follower_equals_the_tables_after_kills_closings_new_stations_and_a_purge() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let (end, ending) = watch::channel(false);
    let crawl = |arguments: &[&str]| {
        let crawl = stage.program(arguments).set("SANGGWOND_CRAWL__CLOSE_AFTER", "1");
        crawl.set("SANGGWOND_CRAWL__MAX_MISS_SHARE", "1").set("SANGGWOND_CRAWL__COVERAGE", "complete")
    };
    let writing = async {
        let worlds = [town(&[], &[]), town(&[1, 2, 3], &[]), town(&[3], &[901, 902]), town(&[4, 5, 901], &[])];
        for (number, world) in (0u64..).zip(worlds) {
            stage.standin.set_world(world);
            stage.standin.set(Switches { latency: Duration::from_millis(5), ..Switches::default() });
            for kill in 1..=3 {
                let before = stage.standin.requests();
                let crawl = stage.program(&["crawl"]).set("SANGGWOND_CRAWL__CLOSE_AFTER", "1").start();
                stage.standin.reached(before + kill + number).await;
                crawl.signal(Signal::SIGKILL);
                crawl.finish().await;
            }
            stage.standin.set(Switches::default());
            crawl(&["crawl"]).finish().await.expect_code(0);
        }
        // Other listings: a smaller radius, then the former one.
        let other = ["crawl", "--retire"];
        crawl(&other).set("SANGGWOND_CRAWL__RADIUS_M", "300").finish().await.expect_code(0);
        crawl(&other).finish().await.expect_code(0);
        stage.execute("update crawl_run set started_at = started_at - interval '90 days', finished_at = finished_at - interval '90 days'").await;
        stage.crawl().await;
        let purge = ["purge", "--yes", "--all", "--not-seen-for", "30d"];
        let purged = stage.program(&purge).finish().await.expect_code(0).stdout;
        end.send(true).unwrap();
        purged
    };
    let (follower, purged) = tokio::join!(follow(stage.pool().clone(), ending), writing);

    let now: Vec<(String, String)> = sqlx::query_as(CONTENT).fetch_all(stage.pool()).await.unwrap();
    assert_eq!(follower.copy, now.into_iter().collect(), "after {} polls", follower.polls);
    assert!(!purged.starts_with('0') && follower.copy.len() > 15, "{purged}");
    assert!(stage.value::<i64>("select count(*) from place_change where kind = 'closed'").await > 0);
    assert!(stage.value::<i64>("select count(*) from place_version where is_deleted").await > 0);
}

#[tokio::test]
async fn a_run_that_finds_nothing_new_gives_no_place_a_new_version() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let before: i64 = stage.value(LAST).await;

    stage.crawl().await;

    assert_eq!(stage.value::<i64>(LAST).await, before);
    assert_eq!(
        stage.value::<i64>("select count(*) from place_version").await,
        stage.value::<i64>("select count(*) from place").await
    );
    stage.execute("update place set phone = '02-1' where place_id = '1'").await;
    let fed = "select string_agg(format('%s %s', place_id, phone), ' ') from place_feed(";
    let fed: String =
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("{fed}{before})"))).fetch_one(stage.pool()).await.unwrap();
    assert_eq!(fed, "1 02-1");
}

#[tokio::test]
async fn renamed_stations_and_keywords_are_fed_with_their_places_and_with_no_others() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let names = [("station", "name", "stations"), ("keyword", "query", "keywords")];
    for (table, column, fed) in names {
        let last: i64 = stage.value(LAST).await;
        let all = sqlx::AssertSqlSafe(format!("select {column} from sanggwond.{table} order by {table}_id"));
        let one: String = sqlx::query_scalar(all).fetch_one(stage.pool()).await.unwrap();
        stage.execute(&format!("update {table} set {column} = '가나' where {column} = '{one}'")).await;

        let wrong = format!(
            "select place_id from sanggwond.place_version v left join sanggwond.place_feed({last}) f using (place_id)
             where (f.version is null) = ('가나' = any (v.{fed})) or '{one}' = any (v.{fed})"
        );
        let wrong: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(wrong)).fetch_all(stage.pool()).await.unwrap();
        assert_eq!(wrong, NONE, "{table}");
        let renamed: i64 = stage.value(LAST).await;
        assert!(renamed > last, "{table}");
        stage.execute(&format!("update {table} set {column} = {column}")).await;
        assert_eq!(stage.value::<i64>(LAST).await, renamed, "{table}");
    }
    let content = "select count(*) from place_feed(0) f join place p using (place_id)
        where (f.name, f.phone, f.url, f.closed_at) is distinct from (p.name, p.phone, p.url, p.closed_at)";
    assert_eq!(stage.value::<i64>(content).await, 0);
}

#[tokio::test]
async fn a_writer_with_an_older_snapshot_fails_instead_of_giving_a_version_that_was_read_past() {
    let stage = Stage::small().await;
    stage.crawl().await;
    for isolation in ["repeatable read", "serializable"] {
        let last: i64 = stage.value(LAST).await;
        let mut late = stage.pool().begin().await.unwrap();
        let begin = format!("set transaction isolation level {isolation}; select count(*) from sanggwond.place");
        sqlx::raw_sql(sqlx::AssertSqlSafe(begin)).execute(&mut *late).await.unwrap();
        // Twice, so that the first version is not in the table any more, and could be given again.
        for phone in ["'1'", "'2'"] {
            stage.execute(&format!("update place set phone = {phone} where place_id = '1'")).await;
        }
        let mut follower = Follower { after: last, ..Follower::default() };
        follower.poll(stage.pool()).await;

        let update = sqlx::query("update sanggwond.place set phone = '3' where place_id = '2'");
        let refused = update.execute(&mut *late).await.unwrap_err();
        late.rollback().await.unwrap();

        assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "40001", "{isolation}: {refused}");
        let now: i64 = stage.value(LAST).await;
        assert_eq!((follower.after, now), (last + 2, last + 2));
    }
}

#[tokio::test]
async fn versions_follow_the_order_of_the_commits() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let last: i64 = stage.value(LAST).await;
    let (mut first, mut second) = (stage.pool().begin().await.unwrap(), stage.pool().begin().await.unwrap());
    sqlx::query("update sanggwond.place set phone = '1' where place_id = '1'").execute(&mut *first).await.unwrap();
    sqlx::query("set local lock_timeout = '100ms'").execute(&mut *second).await.unwrap();

    // It would get a larger version and could commit first; a follower would then miss the smaller one.
    let overtaking =
        sqlx::query("update sanggwond.place set phone = '2' where place_id = '2'").execute(&mut *second).await;
    second.rollback().await.unwrap();
    let mut follower = Follower { after: last, ..Follower::default() };
    let has_any = follower.poll(stage.pool()).await;
    first.commit().await.unwrap();
    let has_one = follower.poll(stage.pool()).await;

    assert_eq!(overtaking.unwrap_err().as_database_error().unwrap().code().unwrap(), "55P03", "it waits for the first");
    assert!(!has_any && has_one && follower.copy.contains_key("1"), "{follower:?}");
}
