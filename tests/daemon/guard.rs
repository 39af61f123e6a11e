//! The guard: where too much is missing at once, nothing is taken for gone.

use sanggwond::standin::{Switches, World};

use crate::closings::{NONE, RUN, TOLD, complete, crawl_completely, crowd};
use crate::support::Stage;
use crate::support::ground::{STATIONS, place};

#[tokio::test]
async fn an_api_that_finds_nothing_empties_no_table() {
    let stage = Stage::new(crowd(100..200), STATIONS).await;
    complete(&stage).await;
    let all = "select md5(string_agg(place::text, '' order by place_id)) from place";
    let before: String = stage.value(all).await;
    stage.standin.set(Switches { is_empty: true, ..Switches::default() });

    for _ in 0..3 {
        let finished = crawl_completely(&stage, &[]).await.expect_code(3);
        assert!(finished.stdout.contains("in all 100 of 100 (100 %)"), "{}", finished.stdout);
        assert_eq!(stage.value::<String>(RUN).await, "partial 0 0 0");
    }
    assert_eq!(stage.value::<String>(all).await, before);
    assert_eq!(stage.value::<i64>("select count(*) from place_keyword where misses > 0").await, 0);

    // Meanwhile two have closed and two have opened.
    stage.standin.set(Switches::default());
    stage.standin.set_world(crowd(102..202));
    for run in ["succeeded 2 0 0", "succeeded 2 2 0"] {
        complete(&stage).await;
        assert_eq!(stage.value::<String>(RUN).await, run);
    }
    let told = "select format('%s %s %s', kind, place_id, not_before = (select started_at from crawl_run where crawl_run_id = 1))
         from place_change order by 1";
    let expected = ["closed 100 t", "closed 101 t", "opened 200 t", "opened 201 t"];
    assert_eq!(stage.texts(told).await, expected, "an empty answer is no look");
}

#[tokio::test]
async fn one_keyword_or_one_region_is_held_back_alone() {
    let town = "서울역,수도권,37.5547,126.9707,1호선\n대전역,대전,37.5602,126.9430,1호선\n";
    let parks = (1000..1300).map(|id| place(id, 37.5549 + f64::from(id - 1000) * 1e-6, 126.9709, &["공원"]));
    let with = |cafes: Vec<u32>| World::new(crowd(cafes).places().iter().cloned().chain(parks.clone()).collect());
    let stage = Stage::new(with((2000..3000).collect()), town).await;
    complete(&stage).await;
    let reason = "select reason from crawl_run order by crawl_run_id desc limit 1";

    // Of the even ones, around 서울역, two close; of the odd ones, around 대전역, sixty.
    let is_open = |id: &u32| if id.is_multiple_of(2) { *id >= 2004 } else { *id >= 2120 };
    stage.standin.set_world(with((2000..3000).filter(is_open).collect()));
    crawl_completely(&stage, &[]).await.expect_code(3);
    assert!(stage.value::<String>(reason).await.contains("카페 in 대전 60 of 500 (12 %);"));
    assert_eq!(stage.value::<String>(RUN).await, "partial 2 0 0");

    stage.standin.set(Switches { thin_out: Some(("카페".to_owned(), 20)), ..Switches::default() });
    crawl_completely(&stage, &[]).await.expect_code(3);
    assert!(stage.value::<String>(reason).await.contains("카페 106 of 998 (11 %);"));

    // A person has looked.
    stage.standin.set(Switches::default());
    for run in ["succeeded 62 2 0", "succeeded 60 60 0"] {
        crawl_completely(&stage, &["--accept-closings"]).await.expect_code(0);
        assert_eq!(stage.value::<String>(RUN).await, run);
    }
}

#[tokio::test]
async fn closings_that_wait_and_places_found_only_by_name_do_not_raise_the_guard() {
    let stage = Stage::new(crowd(1000..1500), STATIONS).await;
    let crawl = || {
        let crawl = stage.program(&["crawl"]).set("SANGGWOND_CRAWL__COVERAGE", "complete");
        crawl.set("SANGGWOND_CRAWL__CONFIRM_CLOSINGS", "5").finish()
    };
    crawl().await.expect_code(0);

    // Every week thirty close, and all but five of them wait.
    for week in 1..=5 {
        stage.standin.set_world(crowd(1000 + 30 * week..1500));
        crawl().await.expect_code(0);
    }
    assert_eq!(stage.value::<i64>("select count(*) from place where closed_at is not null").await, 4 * 5);

    let renamed = Stage::new(crowd(1000..1200), STATIONS).await;
    complete(&renamed).await;
    // One in eight is no longer found by its keyword, but by its name.
    renamed.standin.set(Switches { thin_out: Some(("카페".to_owned(), 8)), ..Switches::default() });
    crawl_completely(&renamed, &[]).await.expect_code(3);
    for _ in 0..2 {
        crawl_completely(&renamed, &["--accept-closings"]).await.expect_code(0);
    }
    complete(&renamed).await;
    assert_eq!(renamed.value::<i64>("select count(*) from place where closed_at is not null").await, 0);
}

#[tokio::test]
async fn an_empty_first_look_is_no_look() {
    let stations = (0..21).map(|n| format!("역{n},수도권,{},126.9707,1호선\n", 37.0 + f64::from(n) * 0.05));
    let stage = Stage::new(crowd(100..140), &(STATIONS.to_owned() + &stations.collect::<String>())).await;
    stage.standin.set(Switches { is_empty: true, ..Switches::default() });
    let first = stage.program(&["crawl"]).finish().await.expect_code(3);
    assert!(first.stdout.contains("nothing was found by any search"), "{}", first.stdout);
    stage.standin.set(Switches::default());

    stage.crawl().await;

    assert_eq!(stage.value::<i64>("select count(*) from place").await, 40);
    assert_eq!(stage.texts(TOLD).await, NONE);
}
