//! Every text of the pages is said in Korean, and charts and figures compare only what is comparable.

use chrono::NaiveDateTime;

use super::{Live, Origin, Progress, live, page, unavailable};
use crate::domain::drift::Canaries;
use crate::domain::geo::LatLng;
use crate::domain::language::Language;
use crate::domain::price::Price;
use crate::domain::run::{RunId, Status, Trigger};
use crate::domain::time_spent::TimeSpent;
use crate::store::{
    AreaPosition, BusyArea, Changes, FailedCell, FailingArea, KeywordChanges, KeywordCoverage, Overview, ReportRun,
    StationReport, Usual,
};

const STATUSES: [Status; 7] = [
    Status::Running,
    Status::Interrupted,
    Status::Succeeded,
    Status::Partial,
    Status::Failed,
    Status::Cancelled,
    Status::Skipped,
];

const TRIGGERS: [Trigger; 4] = [Trigger::Schedule, Trigger::CatchUp, Trigger::Manual, Trigger::Request];

/// Words that are the same in Korean: names of this program, of its commands and views, and units.
const NAMES: [&str; 14] = [
    "sanggwond",
    "report",
    "crawl",
    "status",
    "API",
    "local_info",
    "station_coverage",
    "run_failure",
    "km",
    "m",
    "kim",
    "ops",
    "pd",
    "UTC",
];

fn at(day: u32) -> NaiveDateTime {
    format!("2026-11-{day:02}T03:00:00").parse().unwrap()
}

fn origin(is_demo: bool) -> Origin {
    let (made, price) = (at(27), Price::new(2.0).unwrap());
    Origin { database: "상권".to_owned(), is_demo, made, price, language: Language::Korean }
}

/// A run with every fact, `number` of each.
fn run(status: Status, trigger: Trigger, number: i32) -> ReportRun {
    let usual = (number > 1).then_some(f64::from(number));
    let many = i64::from(number);
    ReportRun {
        id: RunId(many),
        started: at(23),
        due: Some(at(22)),
        trigger,
        status,
        reason: (number > 0).then(|| "1 cell failed twice; see the view run_failure".to_owned()),
        is_full: number != 1,
        duration_s: f64::from(number) * 1000.0,
        cells_total: 9410,
        cells_seen_to: 9410 - number,
        cells_failed: number,
        cells_truncated: number,
        requests: many * 1000,
        places_seen: number,
        places_new: number,
        places_changed: 3,
        places_closed: 0,
        documents_rejected: many,
        rejected_example: (number > 1).then(|| "가게".to_owned()),
        texts_cut: many,
        canaries: Canaries::default(),
        retired: (number > 1).then(|| {
            serde_json::json!({"stations": ["역"], "keywords": ["카페", "공원"], "rows": number, "radius_m": {"from": 1000, "to": 500}})
        }),
        pause_reason: (number > 0).then(|| "429: too many requests".to_owned()),
        paused_since: Some(at(23)),
        paused_until: (number > 1).then(|| at(24)),
        verdict: "1 of 9410 cells failed: stopped by a signal".to_owned(),
        time_spent: TimeSpent {
            requests_s: 55.0,
            pauses_s: [("throttled".to_owned(), 3.0), ("unavailable".to_owned(), 4.0)].into(),
            database_s: 2.0,
            page_delays_s: 1.0,
        },
        usual: Usual {
            duration_s: usual,
            requests: usual,
            places_seen: usual,
            places_new: usual,
            places_changed: usual,
            places_closed: usual,
        },
    }
}

/// What the page shows besides the runs, `number` of each.
fn overview(runs: Vec<ReportRun>, number: i64) -> Overview {
    let position = LatLng::new(37.5, 127.0).unwrap();
    let changes = Changes { opened: number, changed: number, closed: 0, reopened: number };
    let areas = [AreaPosition::Station("역".to_owned()), AreaPosition::Rectangle(position)];
    let station = |index: i64| StationReport {
        name: format!("역{index}"),
        region: "수도권".to_owned(),
        lines: vec!["1호선".to_owned()],
        position: LatLng::new(37.5, 127.0 + f64::from(i32::try_from(index).unwrap()) / 100.0).unwrap(),
        places: index * index,
        truncated: if index % 3 == 0 { vec!["카페".to_owned()] } else { Vec::new() },
        complete: index % 2,
    };
    let cell = |position: &AreaPosition| FailedCell {
        position: position.clone(),
        area: if let AreaPosition::Station(name) = position {
            format!("{name} 1000 m")
        } else {
            "37.5,127 to 37.6,127.1".to_owned()
        },
        keyword: "카페".to_owned(),
        requests: 3,
        error: Some("503: 점검".to_owned()),
    };
    let failing = |position: &AreaPosition| FailingArea {
        position: position.clone(),
        failed: 1,
        once: 2,
        keywords: vec!["카페".to_owned()],
        error: Some("429: too many requests".to_owned()),
    };
    let busy = |position: &AreaPosition| BusyArea { position: position.clone(), requests: 9, pages: 3, places: 30 };
    let some = usize::try_from(number).unwrap().min(areas.len());
    Overview {
        runs,
        changed: changes,
        changes: vec![KeywordChanges { keyword: "카페".to_owned(), changes }],
        keywords: vec![KeywordCoverage { keyword: "카페".to_owned(), complete: 1, truncated: 1, places: 9 }],
        stations: (0..number * 200).map(station).collect(),
        runs_looked_at: usize::try_from(number).unwrap(),
        busy: areas[..some].iter().map(busy).collect(),
        failing: areas[..some].iter().map(failing).collect(),
        failed: areas[..some].iter().map(cell).collect(),
        ..Overview::default()
    }
}

fn in_english(overview: &Overview) -> String {
    page(&Origin { language: Language::English, ..origin(false) }, overview)
}

#[test]
fn runs_of_one_day_carry_their_times() {
    let hours = [15, 9, 6, 4, 3].map(|hour| at(23) + chrono::TimeDelta::hours(hour - 3));
    let runs = hours.map(|started| ReportRun { started, ..run(Status::Succeeded, Trigger::Manual, 2) });

    let html = in_english(&overview(runs.into(), 0));

    for label in [">23 Nov<", ">06:00<", ">15:00<"] {
        assert!(html.contains(label), "{label} is not in {html}");
    }
}

#[test]
fn a_run_of_a_part_is_hatched_and_does_not_shorten_the_bars_of_the_others() {
    let part = ReportRun { duration_s: 4.0, ..run(Status::Succeeded, Trigger::Manual, 1) };
    let full = ReportRun { duration_s: 600.0, ..run(Status::Succeeded, Trigger::Schedule, 2) };

    let html = in_english(&overview(vec![part.clone(), part.clone(), part, full], 0));

    assert_eq!(html.matches("class=\"hatch\"").count(), 6, "three runs in two charts: {html}");
    assert!(!html.contains("class=\"beyond\"") && html.contains("limited to a part"), "{html}");
}

#[test]
fn a_run_at_work_is_not_compared() {
    let html = in_english(&overview(vec![run(Status::Running, Trigger::Schedule, 2)], 0));

    assert!(html.contains(">so far; usually 2 s<") && !html.contains("(the same)") && !html.contains(" %)"), "{html}");
}

/// The texts of a page and its labels.
fn texts(html: &str) -> Vec<String> {
    let (before, rest) = html.split_once("<style>").unwrap();
    let html = format!("{before}{}", rest.split_once("</style>").unwrap().1);
    let between = html.split('>').filter_map(|part| part.split('<').next()).map(str::to_owned);
    let labels = html.split("aria-label=\"").skip(1).filter_map(|part| part.split('"').next()).map(str::to_owned);
    between.chain(labels).collect()
}

fn assert_korean(html: &str) {
    assert!(html.starts_with("<!DOCTYPE html>\n<html lang=\"ko\">"), "{html}");
    for text in texts(html) {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let english: Vec<&str> = words
            .filter(|word| word.chars().any(|c| c.is_ascii_alphabetic()) && !NAMES.contains(word))
            .filter(|word| !text.contains("DOCTYPE") && *word != "39")
            .collect();
        assert!(english.is_empty(), "{english:?} in {text:?}");
    }
}

#[test]
fn every_text_of_the_report_is_korean() {
    for (status, trigger) in STATUSES.into_iter().flat_map(|status| TRIGGERS.map(move |trigger| (status, trigger))) {
        for number in [0, 1, 2] {
            let runs = vec![run(status, trigger, number), run(Status::Succeeded, Trigger::Manual, 0)];
            assert_korean(&page(&origin(number == 1), &overview(runs, i64::from(number))));
        }
    }
    for part in [1, 2] {
        // A run of a part is newer than the last full one.
        let runs = vec![run(Status::Partial, Trigger::Manual, 1), run(Status::Partial, Trigger::Schedule, 2)];
        assert_korean(&page(&origin(false), &overview(runs, part)));
    }
    let without_failures = ReportRun { cells_failed: 0, ..run(Status::Partial, Trigger::Schedule, 2) };
    assert_korean(&page(&origin(false), &overview(vec![without_failures], 2)));
    assert_korean(&page(&origin(false), &Overview::default()));
}

#[test]
fn every_text_of_the_live_page_is_korean() {
    let facts = [
        ("verdict", "the last due full run, run 7, is not finished"),
        (
            "daemons",
            "2 alive: 서버 (version 0.1.0, since Mon 2026-11-23 03:00:00 Seoul), 서버2 (version 0.1.0, since Mon 2026-11-23 03:00:00 Seoul)",
        ),
        (
            "at work",
            "run 7 (catch up) on 서버: 3 of 9,410 cells (0 %); 12 requests/s, expected to end at Mon 2026-11-23 03:20:00 Seoul",
        ),
        (
            "unfinished",
            "run 6 (manual) on 서버: 3 of 9,410 cells (0 %), interrupted: stopped by a signal; it may be resumed from Mon 2026-11-23 03:20:00 Seoul",
        ),
        (
            "last run",
            "run 5 partial, started Mon 2026-11-23 03:00:00 Seoul, took 12m 30s, 12,923 requests: 2 of 9410 cells failed: 2 cells failed twice; see the view run_failure",
        ),
        ("changes", "3 opened, 1 closed, 0 reopened, 12 changed"),
        ("time", "55 s in requests, 2 s in page delays"),
        ("schedule", "paused from Sun 2026-11-22 10:00 until Mon 2026-12-07 00:00 (Seoul) by kim@ops: 새 키"),
        ("now", "a daemon resumes run 7 at Mon 2026-11-23 03:20:00 Seoul (Sun 18:20:00 UTC)"),
        ("next run", "Mon 2026-11-30 03:00:00 Seoul (Sun 18:00:00 UTC)"),
        ("requests", "2 run requests waiting"),
        ("notices", "1 notice of the last day is not delivered; the last attempt failed: 503"),
        ("quota", "12,923 of 100,000 requests used today, 25,846 of 3,000,000 this month"),
    ];
    for is_refreshed in [true, false] {
        let html = live(
            &origin(true),
            Live {
                mark: Status::Running,
                facts: facts.map(|(head, fact)| (head, fact.to_owned())).into(),
                progress: vec![Progress { run: 7, done: 3, total: 9410 }],
                runs: vec![run(Status::Running, Trigger::CatchUp, 2)],
                is_refreshed,
            },
        );
        assert_korean(&html);
    }
    for why in [
        "the daemon is waiting for its database; its log says why",
        "it did not answer within 5 s; the daemon's log says more",
    ] {
        assert_korean(&unavailable(&origin(false), why));
    }
}
