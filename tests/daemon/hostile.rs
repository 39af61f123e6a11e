//! An API that returns false data, repeats secrets and sends too much: nothing of it is believed, shown or kept in
//! memory.

use insta::assert_snapshot;
use sanggwond::standin::{Fault, Switches, World};
use serde_json::{Value, json};

use crate::support::liar::{self, parameter};
use crate::support::program::{Finished, Program};
use crate::support::town::place;
use crate::support::{KEY, Stage};

/// Maximum resident memory of the program, in KiB.
const MAX_PEAK_KIB: u64 = 64 << 10;

const STATION: &str = "서울역,수도권,37.5547,126.9707,1호선\n";

/// The password of the database.
const PASSWORD: &str = "canary-password-9f8e7d";

fn document(id: &str) -> Value {
    json!({"id": id, "place_name": format!("가게 {id}"), "x": "126.9707", "y": "37.5547"})
}

fn page(documents: &[Value], total_count: usize) -> String {
    let meta = json!({"is_end": true, "pageable_count": total_count.min(45), "total_count": total_count});
    json!({"documents": documents, "meta": meta}).to_string()
}

/// The small town, in which every search for 공원 gets this answer.
async fn parks(body: String) -> Stage {
    let stage = Stage::small().await;
    let faults_for = vec![("공원".to_owned(), Fault::Body(body))];
    stage.standin.set(Switches { faults_for, ..Switches::default() });
    stage
}

/// All output about the runs of a stage, and the content of its tables.
async fn shown(stage: &Stage, finished: &Finished) -> String {
    let mut all = format!("{}{}", finished.stdout, finished.stderr);
    for arguments in [&["runs"][..], &["runs", "1"], &["runs", "--format", "json"], &["report"], &["changes"]] {
        let finished = stage.program(arguments).finish().await;
        all.extend([finished.stdout, finished.stderr]);
    }
    all + &stage.everything_stored().await
}

#[track_caller]
fn expect_no_secret(text: &str, case: &str) {
    for secret in [KEY, PASSWORD] {
        let at = text.to_lowercase().find(&secret[..12]);
        assert!(at.is_none(), "{case}: {}", at.map(|at| &text[at.saturating_sub(200)..]).unwrap_or_default());
    }
}

#[tokio::test]
async fn no_key_that_the_api_repeats_is_shown_or_stored() {
    let odd = |field: &str| {
        let mut odd = document("7");
        odd[field] = json!(format!("KakaoAK {KEY}"));
        page(&[document("8"), odd], 2)
    };
    let bodies = [
        json!({"documents": [], "meta": {"total_count": format!("KakaoAK {KEY}"), "pageable_count": 0}}).to_string(),
        json!({"documents": [], "meta": {"total_count": format!("\"KakaoAK\\{}\"", KEY.to_uppercase())}}).to_string(),
        json!({"documents": KEY, "meta": 1}).to_string(),
        json!({"errorType": "ValidationError", "message": format!("appKey(x) appKey({KEY}) {KEY}")}).to_string(),
        json!({"code": -2, "msg": format!("{}{KEY}", "x".repeat(490))}).to_string(),
        page(&[document("8"), document(KEY)], 2),
        page(&[document("8"), json!(format!("{}{KEY}", "x".repeat(40)))], 2),
        page(&[document(KEY)], 1),
        odd("x"),
        odd("id"),
        odd("place_name"),
        odd("phone"),
    ];
    for body in bodies {
        let stage = parks(body.clone()).await;
        let finished = stage.program(&["crawl"]).set("SANGGWOND_LOG__FILTER", "trace").finish().await;

        expect_no_secret(&shown(&stage, &finished).await, &body);
    }
}

#[tokio::test]
async fn no_key_that_the_api_refuses_is_shown_or_stored() {
    let stage = Stage::small().await;
    let message = format!("wrong appKey(abc) format, {KEY}\u{1b}[2J\n{}", "가".repeat(1_000));
    let body = json!({"errorType": "AccessDeniedError", "message": message}).to_string();
    stage.standin.script(vec![Fault::Reply { status: 401, location: None, body }; 5]);

    let finished = stage.program(&["crawl"]).finish().await.expect_code(1);

    expect_no_secret(&shown(&stage, &finished).await, "401");
    let reason: String = stage.value("select reason from crawl_run").await;
    assert!(reason.contains("appKey(…) format, …\\u{1b}[2J\\n가"), "{reason}");
    assert!(reason.chars().count() < 600, "{reason}");
}

#[tokio::test]
async fn no_secret_that_the_database_repeats_is_shown_or_stored() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let url = stage.database.url.replacen("postgres@", &format!("postgres:{}@", PASSWORD.replace('-', "%2D")), 1);
    stage
        .execute(&format!(
            "create function refuse() returns trigger language plpgsql as $$
             begin raise exception using message = 'key {KEY}, password {PASSWORD}, url {url}'; end $$;
             create trigger refuse before insert on place for each row execute function refuse();"
        ))
        .await;
    let crawl = stage.program(&["crawl"]).set("DATABASE_URL", &url).set("SANGGWOND_LOG__FILTER", "trace,sqlx=trace");

    let finished = crawl.finish().await.expect_code(3);

    stage.execute("drop function refuse cascade").await;
    expect_no_secret(&shown(&stage, &finished).await, "raise");
    let error: String = stage.value("select error from crawl_cell where status = 'failed' limit 1").await;
    assert!(error.contains("key …, password …, url …"), "{error}");
}

#[tokio::test]
async fn no_filter_enables_the_log_lines_of_the_database_driver() {
    let stage = Stage::small().await;
    for filter in ["sqlx=trace", "trace,sqlx::query=trace,sqlx_core=trace,sqlx_postgres=trace"] {
        let crawl = stage.program(&["crawl"]).set("SANGGWOND_LOG__FILTER", filter);
        let finished = crawl.set("SANGGWOND_LOG__FORMAT", "json").finish().await.expect_code(0);

        assert!(!finished.stderr.contains("\"target\":\"sqlx"), "{}", finished.stderr);
    }
}

/// The rows that readers of `local_info` see.
const LISTED: &str = "select format('%s %s %s', station_name, id, name) from local_info order by 1";

/// Moves some documents of an answer far away: those for whose index in the page `is_meant` returns true.
fn moved(body: &[u8], is_meant: impl Fn(usize) -> bool) -> Vec<u8> {
    let Ok(mut answer) = serde_json::from_slice::<Value>(body) else { return body.to_vec() };
    for (_, document) in
        answer["documents"].as_array_mut().unwrap().iter_mut().enumerate().filter(|(n, _)| is_meant(*n))
    {
        document["x"] = json!("129.0756");
        document["y"] = json!("35.1796");
    }
    answer.to_string().into_bytes()
}

#[tokio::test]
async fn answers_from_another_town_are_errors_and_change_nothing() {
    for coverage in ["station", "complete"] {
        let stage = Stage::small().await;
        let crawl = || stage.program(&["crawl"]).set("SANGGWOND_CRAWL__COVERAGE", coverage);
        crawl().finish().await.expect_code(0);
        let before = stage.texts(LISTED).await;
        let url = liar::changes(&stage.api_url, |_, (status, body)| (status, moved(&body, |_| true)));

        let far = crawl().set("SANGGWOND_KAKAO__BASE_URL", &url).set("SANGGWOND_KAKAO__INTERRUPT_AFTER", "300ms");
        let finished = far.finish().await;

        let code = finished.status.code();
        assert!(code == Some(3) || code == Some(4), "{coverage}: {code:?} {}", finished.stdout);
        let why: String = stage.value("select reason || coalesce((select max(error) from crawl_cell), '') from crawl_run order by crawl_run_id desc limit 1").await;
        assert!(
            why.contains("no document of the answer can be used (")
                && why.contains("outside the area that was asked for"),
            "{why}"
        );
        assert_eq!(stage.texts(LISTED).await, before, "{coverage}");
    }
}

#[tokio::test]
async fn a_document_from_another_town_is_rejected_and_the_others_are_stored() {
    for coverage in ["station", "complete"] {
        let stage = Stage::small().await;
        let url = liar::changes(&stage.api_url, |_, (status, body)| (status, moved(&body, |n| n == 0)));

        let crawl = stage.program(&["crawl"]).set("SANGGWOND_KAKAO__BASE_URL", &url);
        let crawl = crawl.set("SANGGWOND_CRAWL__KEYWORDS", "카페").set("SANGGWOND_CRAWL__COVERAGE", coverage);
        crawl.finish().await.expect_code(0);

        assert_eq!(stage.value::<i64>("select count(*) from place where latitude < 36").await, 0, "{coverage}");
        assert!(stage.value::<i64>("select count(*) from place").await > 15, "{coverage}");
        assert!(stage.value::<i64>("select documents_rejected from crawl_run").await >= 2, "{coverage}");
        let example: String = stage.value("select rejected_example from crawl_run").await;
        assert!(example.ends_with(": outside the area that was asked for, at 35.1796,129.0756"), "{example}");
    }
}

/// A crawl of one station for 카페, every request of which gets this answer. Without a good answer it is interrupted
/// after 300 ms.
fn cafes(stage: &Stage, body: Vec<u8>) -> Program {
    stage.set_stations(STATION);
    let url = liar::answers(move |_| (200, body.clone()));
    let crawl =
        stage.program(&["crawl"]).set("SANGGWOND_CRAWL__KEYWORDS", "카페").set("SANGGWOND_KAKAO__BASE_URL", url);
    crawl.set("SANGGWOND_KAKAO__INTERRUPT_AFTER", "300ms")
}

#[tokio::test]
async fn a_contradictory_answer_or_one_without_a_usable_document_is_an_error() {
    let counts = |total_count: u32, pageable_count: u32| {
        json!({"documents": [], "meta": {"total_count": total_count, "pageable_count": pageable_count, "is_end": true}})
            .to_string()
    };
    let mut nameless = document("1");
    nameless["place_name"] = json!(" \u{0} ");
    let sixteen: Vec<Value> = (1..=16).map(|id| document(&id.to_string())).collect();
    let blank = " ".repeat(1 << 20);
    for (body, why) in [
        (counts(5, 0), "the answer reports 5 places but contains no documents"),
        (counts(0, 5), "the answer reports 5 places but contains no documents"),
        (page(&[document("")], 1), "no document of the answer can be used (1 document): place \"가게 \": no id"),
        (page(&[nameless], 1), "no document of the answer can be used (1 document): no name"),
        (page(&sixteen, 16), "it has more than 15 documents"),
        (page(&[document("1")], 1) + &blank, "the response body is larger than 1 MiB"),
    ] {
        let stage = Stage::small().await;

        cafes(&stage, body.into_bytes()).finish().await.expect_code(4);

        let reason: String = stage.value("select reason from crawl_run").await;
        assert!(reason.contains(why), "{why}: {reason}");
        assert_eq!(stage.value::<i64>("select count(*) from place").await, 0, "{why}");
    }
}

#[tokio::test]
async fn an_ambiguous_id_is_rejected() {
    let stage = Stage::small().await;
    let ids = [r"\ud800", r"\ud801", r"1\u0000", "1 1", "가", "1'", &"9".repeat(33), "-_aZ09"];
    let documents = ids.map(|id| document("ID").to_string().replace("\"ID\"", &format!("\"{id}\""))).join(",");
    let body = format!(r#"{{"documents":[{documents}],"meta":{{"total_count":8,"pageable_count":8,"is_end":true}}}}"#);

    cafes(&stage, body.into_bytes()).finish().await.expect_code(0);

    assert_eq!(stage.texts("select place_id from place").await, ["-_aZ09"]);
    assert_eq!(stage.value::<i64>("select documents_rejected from crawl_run").await, 7);
}

#[tokio::test]
async fn documents_that_give_one_id_to_several_places_are_rejected() {
    let stage = Stage::small().await;
    let (mut second, mut near, mut renewed) = (document("1"), document("2"), document("3"));
    second["place_name"] = json!("another");
    near["y"] = json!("37.5551");
    renewed["phone"] = json!("02-999-9999");
    let all = [document("1"), second, document("2"), near, document("3"), renewed, document("4")];

    cafes(&stage, page(&all, 7).into_bytes()).finish().await.expect_code(0);

    assert_eq!(stage.texts("select place_id from place order by 1").await, ["3", "4"], "a renewed phone is one place");
    let example: String = stage.value("select rejected_example from crawl_run").await;
    assert_eq!(example, "place 1: several documents with its id differ in name or position");
    let stage = Stage::small().await;
    let same = ["a", "b", "c"].map(|name| {
        let mut document = document("1");
        document["place_name"] = json!(name);
        document
    });

    cafes(&stage, page(&same, 3).into_bytes()).finish().await.expect_code(4);

    assert_eq!(stage.value::<i64>("select count(*) from place").await, 0, "nothing of the answer can be used");
}

#[tokio::test]
async fn invalid_utf_8_costs_only_its_document() {
    let stage = Stage::small().await;
    let body = page(&[document("1"), document("2"), document("3")], 3).into_bytes();
    let at = body.windows(8).position(|bytes| bytes == "가게 2".as_bytes()).unwrap();
    let mut broken = body.clone();
    broken[at + 1] = 0xff;

    cafes(&stage, broken).finish().await.expect_code(0);

    assert_eq!(
        stage.texts("select format('%s %s', place_id, name) from place order by 1").await,
        ["1 가게 1", "3 가게 3"]
    );
    assert_eq!(stage.value::<String>("select rejected_example from crawl_run").await, "place 2: not UTF-8");
}

#[tokio::test]
async fn long_texts_are_shortened_and_counted() {
    let stage = Stage::small().await;
    let mut long = document("1");
    for field in ["place_name", "phone", "address_name", "road_address_name", "category_name", "place_url"] {
        long[field] = json!("가".repeat(501));
    }

    let finished = cafes(&stage, page(&[long], 1).into_bytes()).finish().await.expect_code(0);

    let lengths = "select length(name) as name, length(phone) as phone, length(url) as url from place";
    assert_snapshot!(stage.rows(lengths).await, @"
    name  phone  url
    200   500    500
    ");
    assert_eq!(stage.value::<i64>("select texts_cut from crawl_run").await, 6);
    assert!(finished.stdout.contains("1 new, 0 changed; 6 texts cut"), "{}", finished.stdout);
    let listed = stage.program(&["runs"]).finish().await.expect_code(0).stdout;
    assert!(listed.contains("6 texts cut"), "{listed}");
    let report = stage.program(&["report"]).finish().await.expect_code(0).stdout;
    assert!(report.contains("6 texts were too long and were truncated"), "the report does not say so");
}

/// A document in the middle of the requested area, with this many characters in each text.
fn large(asked: &reqwest::Url, number: usize, characters: usize) -> Value {
    let rect: Vec<f64> = parameter(asked, "rect").split(',').filter_map(|side| side.parse().ok()).collect();
    let (x, y) = match rect[..] {
        [west, south, east, north] => (f64::midpoint(west, east).to_string(), f64::midpoint(south, north).to_string()),
        _ => (parameter(asked, "x"), parameter(asked, "y")),
    };
    let mut document = json!({"id": number.to_string(), "x": x, "y": y});
    for field in ["place_name", "phone", "address_name", "road_address_name", "category_name", "place_url"] {
        document[field] = json!("가".repeat(characters));
    }
    document
}

#[tokio::test]
async fn large_answers_take_little_memory() {
    let station = |n: u32| format!("역{n},수도권,37.5,{},1호선\n", 126.0 + f64::from(n) / 10.0);
    let stations = (0..25).map(station).collect::<Vec<_>>().concat();
    let large_page = |asked: &reqwest::Url| {
        let first = asked
            .query()
            .unwrap_or_default()
            .bytes()
            .map(usize::from)
            .fold(7, |hash, byte| (hash * 31 + byte) % 99_999_989);
        let documents: Vec<Value> = (0..15).map(|n| large(asked, first * 15 + n, 3_000)).collect();
        let meta = json!({"is_end": false, "pageable_count": 45, "total_count": 45});
        (200, json!({"documents": documents, "meta": meta}).to_string().into_bytes())
    };
    let endless = |_: &reqwest::Url| (200, format!("{{\"documents\":[{}", "0,".repeat(12 << 20)).into_bytes());
    let error = |_: &reqwest::Url| {
        (400, json!({"errorType": "ValidationError", "message": "가".repeat(8 << 20)}).to_string().into_bytes())
    };
    let servers = [liar::answers(large_page), liar::answers(endless), liar::answers(error)];
    for (number, url) in servers.into_iter().enumerate() {
        let stage = Stage::small().await;
        stage.set_stations(&stations);
        let crawl = stage.program(&["crawl"]).set("SANGGWOND_KAKAO__BASE_URL", url);

        let (finished, peak) = crawl.set("SANGGWOND_KAKAO__INTERRUPT_AFTER", "1s").start().finish_with_peak().await;

        assert!(peak > 0 && peak <= MAX_PEAK_KIB, "{number}: {peak} KiB; {}", finished.stdout);
        assert_eq!(
            stage
                .value::<i32>("select coalesce(max(length(error)), 0) from crawl_cell where length(error) > 600")
                .await,
            0
        );
        if number == 0 {
            assert_eq!(stage.value::<i64>("select count(*) from place").await, 50 * 45);
        }
    }
}

#[tokio::test]
async fn counts_that_never_shrink_do_not_split_cells_for_ever() {
    let stage = Stage::small().await;
    stage.set_stations(STATION);
    let url = liar::answers(|asked| {
        let documents: Vec<Value> = (0..15).map(|n| large(asked, n, 5)).collect();
        let meta = json!({"is_end": false, "pageable_count": 45, "total_count": 4_000_000_000_u32});
        (200, json!({"documents": documents, "meta": meta}).to_string().into_bytes())
    });
    let crawl = stage.program(&["crawl"]).set("SANGGWOND_KAKAO__BASE_URL", url);
    let crawl = crawl.set("SANGGWOND_CRAWL__COVERAGE", "complete").set("SANGGWOND_CRAWL__KEYWORDS", "카페");

    let (finished, peak) = crawl.start().finish_with_peak().await;

    finished.expect_code(3);
    assert!(stage.value::<i32>("select cells_total from crawl_run").await < 5_000);
    let both: String = stage.value("select error from crawl_cell where status = 'failed' limit 1").await;
    assert!(both.contains("as many as the rectangle that it is a part of, and so does cell "), "{both}");
    let few = "select coalesce(max(parts), 0) from (select count(*) as parts from crawl_cell where status = 'split' and parent_no is not null group by parent_no) one";
    assert!(stage.value::<i64>(few).await <= 1, "at most one part of each rectangle is divided");
    assert!(peak <= MAX_PEAK_KIB, "{peak} KiB");
}

#[tokio::test]
async fn a_run_at_its_limit_of_cells_splits_no_more_cells_and_reports_it() {
    let stage = Stage::small().await;
    stage.set_stations(STATION);
    let crawl = |url: String| {
        let crawl =
            stage.program(&["crawl"]).set("SANGGWOND_KAKAO__BASE_URL", url).set("SANGGWOND_CRAWL__KEYWORDS", "카페");
        crawl.set("SANGGWOND_CRAWL__COVERAGE", "complete").set("SANGGWOND_KAKAO__INTERRUPT_AFTER", "200ms")
    };
    crawl(liar::answers(|_| (500, Vec::new()))).finish().await.expect_code(4);
    // Simulates a run whose cell has already been divided into 50,000 cells.
    stage
        .execute(
            "insert into crawl_cell (crawl_run_id, cell_no, keyword_id, west, south, east, north, status, parent_no)
             select crawl_run_id, n, keyword_id, west, south, east, north, 'done', 1 from crawl_cell, generate_series(2, 50000) n;
             update crawl_run set cells_total = 50000, cells_done = 49999, resume_at = started_at",
        )
        .await;

    let finished = crawl(liar::answers(|asked| (200, page(&[large(asked, 1, 5)], 2_000).into_bytes()))).finish().await;

    finished.expect_code(3);
    let reason: String = stage.value("select reason from crawl_run").await;
    let limit = "1 cell failed twice; see the view run_failure; the run has reached its limit of 50000 cells; this rectangle is not";
    assert!(reason.starts_with(limit), "{reason}");
    assert_eq!(stage.value::<i32>("select cells_total from crawl_run").await, 50_000);
}

#[tokio::test]
async fn all_places_are_found_if_they_are_in_one_part_of_a_rectangle() {
    // Places so close together that all of them are in one part after the first divisions.
    let heap = (1..=80).map(|id| {
        place(id, 37.5547 + f64::from(id) * 1e-4 / 8.0, 126.9707 + f64::from(id % 9) * 1e-4 / 8.0, &["카페"])
    });
    let stage = Stage::new(World::new(heap.collect()), STATION).await;

    let crawl = stage.program(&["crawl"]).set("SANGGWOND_CRAWL__COVERAGE", "complete");
    crawl.set("SANGGWOND_CRAWL__KEYWORDS", "카페").finish().await.expect_code(0);

    assert_eq!(stage.value::<i64>("select count(*) from place").await, 80);
}
