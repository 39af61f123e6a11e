//! The guard: if too many places are missing at once, none counts as missing.

use insta::assert_snapshot;
use sanggwond::standin::{Switches, World};

use crate::closings::{CHANGES, NONE, RUN, complete, crawl_completely, crowd};
use crate::support::Stage;
use crate::support::town::{STATIONS, place};

#[tokio::test]
async fn no_place_is_closed_while_the_api_finds_nothing() {
    let stage = Stage::new(crowd(100..200), STATIONS).await;
    complete(&stage).await;
    let all = "select place::text from place order by place_id";
    let before = stage.texts(all).await;
    stage.standin.set(Switches { is_empty: true, ..Switches::default() });

    for _ in 0..3 {
        let finished = crawl_completely(&stage, &[]).await.expect_code(3);
        assert!(finished.stdout.contains("in all 100 of 100 (100 %)"), "{}", finished.stdout);
        assert_eq!(stage.value::<String>(RUN).await, "partial: 0 missed, 0 closed, 0 reopened");
    }
    assert_eq!(stage.texts(all).await, before);
    assert_eq!(stage.value::<i64>("select count(*) from place_keyword where misses > 0").await, 0);

    // Meanwhile two places have closed and two have opened.
    stage.standin.set(Switches::default());
    stage.standin.set_world(crowd(102..202));
    for run in ["succeeded: 2 missed, 0 closed, 0 reopened", "succeeded: 2 missed, 2 closed, 0 reopened"] {
        complete(&stage).await;
        assert_eq!(stage.value::<String>(RUN).await, run);
    }
    // The runs with empty answers do not count as searches, so each change may have happened since the first run.
    let changes = "select kind, place_id, not_before = (select started_at from crawl_run where crawl_run_id = 1) as since_first_run
         from place_change order by 1, 2";
    assert_snapshot!(stage.rows(changes).await, @"
    kind    place_id  since_first_run
    closed  100       true
    closed  101       true
    opened  200       true
    opened  201       true
    ");
}

#[tokio::test]
async fn the_guard_discards_the_misses_of_one_keyword_or_region_only() {
    let town = "서울역,수도권,37.5547,126.9707,1호선\n대전역,대전,37.5602,126.9430,1호선\n";
    let parks = (1000..1300).map(|id| place(id, 37.5549 + f64::from(id - 1000) * 1e-6, 126.9709, &["공원"]));
    let with = |cafes: Vec<u32>| World::new(crowd(cafes).places().iter().cloned().chain(parks.clone()).collect());
    let stage = Stage::new(with((2000..3000).collect()), town).await;
    complete(&stage).await;
    let reason = "select reason from crawl_run order by crawl_run_id desc limit 1";

    // Two of the cafés with even ids, around 서울역, close, and sixty of those with odd ids, around 대전역.
    let is_open = |id: &u32| if id.is_multiple_of(2) { *id >= 2004 } else { *id >= 2120 };
    stage.standin.set_world(with((2000..3000).filter(is_open).collect()));
    crawl_completely(&stage, &[]).await.expect_code(3);
    assert!(stage.value::<String>(reason).await.contains("카페 in 대전 60 of 500 (12 %);"));
    assert_eq!(stage.value::<String>(RUN).await, "partial: 2 missed, 0 closed, 0 reopened");

    stage.standin.set(Switches { thin_out: Some(("카페".to_owned(), 20)), ..Switches::default() });
    crawl_completely(&stage, &[]).await.expect_code(3);
    assert!(stage.value::<String>(reason).await.contains("카페 106 of 998 (11 %);"));

    // An operator has checked, and accepts the closings.
    stage.standin.set(Switches::default());
    for run in ["succeeded: 62 missed, 2 closed, 0 reopened", "succeeded: 60 missed, 60 closed, 0 reopened"] {
        crawl_completely(&stage, &["--accept-closings"]).await.expect_code(0);
        assert_eq!(stage.value::<String>(RUN).await, run);
    }
}

#[tokio::test]
async fn pending_closings_and_places_found_only_by_name_do_not_trigger_the_guard() {
    let stage = Stage::new(crowd(1000..1500), STATIONS).await;
    let crawl = || {
        let crawl = stage.program(&["crawl"]).set("SANGGWOND_CRAWL__COVERAGE", "complete");
        crawl.set("SANGGWOND_CRAWL__CONFIRM_CLOSINGS", "5").finish()
    };
    crawl().await.expect_code(0);

    // Every week thirty places close. Only five of them are confirmed per run; the others wait.
    for week in 1..=5 {
        stage.standin.set_world(crowd(1000 + 30 * week..1500));
        crawl().await.expect_code(0);
    }
    assert_eq!(stage.value::<i64>("select count(*) from place where closed_at is not null").await, 4 * 5);

    let renamed = Stage::new(crowd(1000..1200), STATIONS).await;
    complete(&renamed).await;
    // One in eight places is no longer found by its keyword, but still by its name.
    renamed.standin.set(Switches { thin_out: Some(("카페".to_owned(), 8)), ..Switches::default() });
    crawl_completely(&renamed, &[]).await.expect_code(3);
    for _ in 0..2 {
        crawl_completely(&renamed, &["--accept-closings"]).await.expect_code(0);
    }
    complete(&renamed).await;
    assert_eq!(renamed.value::<i64>("select count(*) from place where closed_at is not null").await, 0);
}

#[tokio::test]
async fn an_empty_first_run_does_not_count_as_a_search() {
    let stations = (0..21).map(|n| format!("역{n},수도권,{},126.9707,1호선\n", 37.0 + f64::from(n) * 0.05));
    let stage = Stage::new(crowd(100..140), &(STATIONS.to_owned() + &stations.collect::<String>())).await;
    stage.standin.set(Switches { is_empty: true, ..Switches::default() });
    let first = stage.program(&["crawl"]).finish().await.expect_code(3);
    assert!(first.stdout.contains("nothing was found by any search"), "{}", first.stdout);
    stage.standin.set(Switches::default());

    stage.crawl().await;

    assert_eq!(stage.value::<i64>("select count(*) from place").await, 40);
    assert_eq!(stage.texts(CHANGES).await, NONE);
}
