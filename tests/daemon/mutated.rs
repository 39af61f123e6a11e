//! Real answers of the stand-in, changed at random: bytes, fields, types, sizes, counts, duplicates, positions, ids, encodings.
//!
//! With any answer, the program does not panic, ends, stores only places that were sent, stays within its memory limit
//! and writes a correct history. The gate tries 3000 answers. `TESTS_ANSWERS=100000` tries more, and `TESTS_SEED=…`
//! repeats the changes of a seed. Every failure prints its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use reqwest::Url;
use sanggwond::domain::geo::{Area, Circle, LatLng, Rect};
use sanggwond::standin::World;
use serde_json::{Value, json};

use crate::support::liar::{self, Answer, parameter};
use crate::support::town::place;
use crate::support::{KEY, Stage};

#[path = "../chaos/chance.rs"]
#[expect(dead_code, reason = "some of it serves the chaos tests only")]
mod chance;

use chance::Chance;

/// Number of answers that are tried, unless `TESTS_ANSWERS` is set.
const ANSWERS: usize = 3_000;

/// Maximum resident memory of the program, in KiB.
const MAX_PEAK_KIB: u64 = 64 << 10;

/// One in this many answers is changed.
const ONE_OF: u64 = 3;

const FIELDS: [&str; 10] = [
    "id",
    "place_name",
    "category_name",
    "category_group_code",
    "phone",
    "address_name",
    "road_address_name",
    "place_url",
    "x",
    "y",
];

/// What the server has sent.
#[derive(Default)]
struct Sent {
    answers: usize,
    /// Number of times that each search was requested.
    asked: BTreeMap<String, u64>,
    /// The id and the name of each place that was sent in an answer to a search whose area contains it.
    places: BTreeSet<(String, String)>,
}

fn number(variable: &str) -> Option<u64> {
    std::env::var_os(variable)?.to_str()?.parse().ok()
}

/// 1200 cafés and parks around 30 stations.
fn world() -> (World, String) {
    let stations = (0..30).map(|n| (37.5, 126.0 + f64::from(n) / 10.0));
    let rows: String = stations
        .clone()
        .zip(0..)
        .fold(String::new(), |rows, ((y, x), n)| rows + &format!("역{n},수도권,{y},{x},1호선\n"));
    let keywords = |id: u32| if id.is_multiple_of(3) { &["공원"][..] } else { &["카페"] };
    let near = |((y, x), n): ((f64, f64), u32)| {
        (0..40)
            .map(move |k| place(1_000 + n * 40 + k, y + f64::from(k) * 5e-5, x + f64::from(k % 7) * 2e-4, keywords(k)))
    };
    (World::new(stations.zip(0..).flat_map(near).collect()), rows)
}

#[tokio::test]
async fn no_mutated_answer_makes_the_program_crash_or_store_wrong_data() {
    let (goal, seed) =
        (number("TESTS_ANSWERS").map_or(ANSWERS, |n| usize::try_from(n).unwrap()), number("TESTS_SEED").unwrap_or(1));
    let (world, stations) = world();
    let stage = Stage::new(world, &stations).await;
    let sent = Arc::new(Mutex::new(Sent::default()));
    let url = liar::changes(&stage.api_url, {
        let sent = Arc::clone(&sent);
        move |asked, answer| change(&sent, seed, asked, answer)
    });
    for run in 0.. {
        if sent.lock().unwrap().answers >= goal {
            break;
        }
        let coverage = ["station", "complete"][run % 2];
        let crawl = stage
            .program(&["crawl"])
            .set("SANGGWOND_KAKAO__BASE_URL", &url)
            .set("SANGGWOND_CRAWL__COVERAGE", coverage)
            // 100,000 answers are more than the quota of a day.
            .set("SANGGWOND_KAKAO__DAILY_QUOTA", "1000000000");

        let (finished, peak) = crawl.set("SANGGWOND_KAKAO__INTERRUPT_AFTER", "60s").start().finish_with_peak().await;

        let code = finished.status.code();
        let said = format!("seed {seed}, run {run}: {code:?}\n{}{}", finished.stdout, finished.stderr);
        assert!(code == Some(0) || code == Some(3), "{said}");
        assert!(!said.contains("panic") && !said.contains("a bug"), "{said}");
        assert!(!said.contains(&KEY[..12]), "{said}");
        assert!(peak <= MAX_PEAK_KIB, "{peak} KiB, {said}");
    }
    let sent = std::mem::take(&mut *sent.lock().unwrap());
    expect_the_truth(&stage, &sent, seed).await;
}

/// Expects that everything stored was sent, and that the history is correct.
async fn expect_the_truth(stage: &Stage, sent: &Sent, seed: u64) {
    let stored: Vec<(String, String)> =
        sqlx::query_as("select place_id, name from place").fetch_all(stage.pool()).await.unwrap();
    assert!(stored.len() > 1_000, "seed {seed}: {} places", stored.len());
    for place in &stored {
        assert!(sent.places.contains(place), "seed {seed}: {place:?} was never sent");
    }
    let answers = i64::try_from(sent.answers).unwrap();
    let counted: i64 = stage.value("select sum(requests)::bigint from crawl_run").await;
    assert_eq!(counted, answers, "seed {seed}: requests");
    let new: i64 = stage.value("select sum(places_new) from crawl_run").await;
    assert_eq!(new, i64::try_from(stored.len()).unwrap(), "seed {seed}: new places");
    let lies = "select count(*) from crawl_run r where (status = 'succeeded') <> (reason is null)
        or (status = 'succeeded' and cells_failed > 0) or cells_pending > 0 or cells_total <>
        (select count(*) from crawl_cell c where c.crawl_run_id = r.crawl_run_id)
        or cells_failed <> (select count(*) from crawl_cell c where c.crawl_run_id = r.crawl_run_id and c.status = 'failed')";
    assert_eq!(stage.value::<i64>(lies).await, 0, "seed {seed}: history");
}

/// Changes one in three answers, and records what is sent.
fn change(sent: &Mutex<Sent>, seed: u64, asked: &Url, (status, body): Answer) -> Answer {
    let mut sent = sent.lock().unwrap();
    sent.answers += 1;
    let time = sent.asked.entry(asked.to_string()).or_default();
    *time += 1;
    // The change depends only on the search and on how often it was requested, not on the order of the searches.
    let mut hasher = DefaultHasher::new();
    (seed, asked.as_str(), *time).hash(&mut hasher);
    let mut chance = Chance::new(hasher.finish());
    let (status, body) =
        if chance.within(0..ONE_OF) == 0 { mutated(&mut chance, status, body) } else { (status, body) };
    note(&mut sent, asked, &body);
    (status, body)
}

/// Records the places of an answer that lie in the area of the search.
fn note(sent: &mut Sent, asked: &Url, body: &[u8]) {
    // This parser rejects half a surrogate pair. The program replaces its three bytes in a name, and rejects an id with one.
    let text = String::from_utf8_lossy(body).replace("\\ud83d", "\u{fffd}\u{fffd}\u{fffd}").replace("\\ud", "\\u00d");
    let Ok(answer) = serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')) else { return };
    for document in answer["documents"].as_array().into_iter().flatten() {
        let text = |field: &str| match &document[field] {
            Value::String(text) => text.clone(),
            Value::Number(number) => {
                number.as_u64().map_or_else(|| number.as_f64().unwrap().to_string(), |number| number.to_string())
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
        };
        let position = text("y").trim().parse().ok().zip(text("x").trim().parse().ok());
        let position = position.and_then(|(latitude, longitude)| LatLng::new(latitude, longitude).ok());
        if position.is_some_and(|position| is_around(asked, position)) {
            let name = text("place_name").replace('\0', "");
            let name: String = name.trim().chars().take(200).collect();
            sent.places.insert((text("id").trim().to_owned(), name.trim_end().to_owned()));
        }
    }
}

/// Whether a position lies in the area of a search, or at most 10 m outside.
fn is_around(asked: &Url, position: LatLng) -> bool {
    let sides: Vec<f64> = parameter(asked, "rect").split(',').filter_map(|side| side.parse().ok()).collect();
    let degrees = |name| parameter(asked, name).parse::<f64>().unwrap();
    let area = if let [west, south, east, north] = sides[..] {
        Area::Rect(Rect { west, south, east, north }.widened(10.0))
    } else {
        let center = LatLng::new(degrees("y"), degrees("x")).unwrap();
        Area::Circle(Circle { center, radius_m: parameter(asked, "radius").parse::<u32>().unwrap() + 10 })
    };
    area.holds(position)
}

fn mutated(chance: &mut Chance, status: u16, body: Vec<u8>) -> Answer {
    let Ok(mut answer) = serde_json::from_slice::<Value>(&body) else { return (status, body) };
    match chance.within(0..12) {
        0 => (status, with_bytes(chance, body)),
        1 => (status, body[..index(chance, body.len())].to_vec()),
        2 => instead(chance),
        3 => {
            let counts = [0, 1, 14, 45, 46, 812, u64::from(u32::MAX), u64::MAX];
            let field = ["total_count", "pageable_count"][index(chance, 2)];
            answer["meta"][field] = json!(counts[index(chance, counts.len())]);
            (status, answer.to_string().into_bytes())
        }
        4 => {
            answer["meta"]["is_end"] =
                [json!(true), json!(false), json!(null), json!("true")][index(chance, 4)].clone();
            (status, answer.to_string().into_bytes())
        }
        5 => {
            let documents = answer["documents"].as_array_mut().unwrap();
            let more = index(chance, 40);
            let copies: Vec<Value> =
                documents.iter().cycle().take(if documents.is_empty() { 0 } else { more }).cloned().collect();
            documents.extend(copies);
            (status, answer.to_string().into_bytes())
        }
        6 => {
            let text = answer.to_string();
            let odd = [
                text.replace("\"id\":\"1", "\"id\":\"\\ud800"),
                format!("\u{feff}{text}"),
                text.replace("가게", "\\u0000\\ud83d"),
            ];
            (status, odd[index(chance, odd.len())].clone().into_bytes())
        }
        _ => {
            let documents = answer["documents"].as_array_mut().unwrap();
            for document in documents {
                if chance.within(0..3) == 0 {
                    let field = FIELDS[index(chance, FIELDS.len())];
                    document[field] = odd(chance, field);
                }
            }
            (status, answer.to_string().into_bytes())
        }
    }
}

fn index(chance: &mut Chance, end: usize) -> usize {
    usize::try_from(chance.within(0..end as u64)).unwrap()
}

/// The same answer with some bytes replaced or inserted.
fn with_bytes(chance: &mut Chance, mut body: Vec<u8>) -> Vec<u8> {
    for _ in 0..=chance.within(0..8) {
        let at = index(chance, body.len());
        let byte = u8::try_from(chance.within(0..256)).unwrap();
        if chance.within(0..2) == 0 { body[at] = byte } else { body.insert(at, byte) }
    }
    body
}

/// A completely different answer.
fn instead(chance: &mut Chance) -> Answer {
    match chance.within(0..8) {
        0 => (200, Vec::new()),
        1 => (200, b"[".repeat(100_000)),
        2 => (200, format!("{{\"documents\":[{}", "{},".repeat(500_000)).into_bytes()),
        3 => (
            200,
            json!({"documents": [], "meta": {"total_count": KEY, "pageable_count": KEY}}).to_string().into_bytes(),
        ),
        4 => (500, KEY.repeat(1_000).into_bytes()),
        5 => (
            400,
            json!({"errorType": "InvalidArgument", "message": format!("appKey({KEY})\n{KEY}")})
                .to_string()
                .into_bytes(),
        ),
        6 => (200, json!({"documents": {"0": 1}, "meta": []}).to_string().into_bytes()),
        _ => (302, b"<html>".to_vec()),
    }
}

/// A value that a field should not have.
fn odd(chance: &mut Chance, field: &str) -> Value {
    let position = field == "x" || field == "y";
    match chance.within(0..10) {
        0 => json!(null),
        1 => json!(chance.within(0..2) == 0),
        2 => json!(chance.within(0..1 << 40)),
        3 => json!([[1, {"a": "b"}], null]),
        4 => json!("가".repeat(index(chance, 3_000))),
        5 => json!(" \u{0}\u{202e}'; drop table place; -- "),
        6 if position => json!(["NaN", "inf", "1e400", "-0", "37.5e0", "127.0 "][index(chance, 6)]),
        7 if position => {
            json!(format!("{}", 30.0 + f64::from(u32::try_from(chance.within(0..110_000)).unwrap()) / 1_000.0))
        }
        8 => json!(KEY),
        _ => json!(""),
    }
}
