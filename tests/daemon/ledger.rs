//! The ledger, written to directly: whatever outcomes come in whatever order, the sums stay correct.

use std::time::Duration;

use chrono::{DateTime, Utc};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sanggwond::crawl::plan::Selection;
use sanggwond::domain::cell::{Cell, CellNo, Ending, Outcome, Rejected, Shown, Traffic};
use sanggwond::domain::geo::{LatLng, Rect};
use sanggwond::domain::inventory::Inventory;
use sanggwond::domain::keyword::Keyword;
use sanggwond::domain::run::{Coverage, RequestId, RunId, Scope, Status, Trigger};
use sanggwond::domain::station::{Station, StationMap, StoredStation};
use sanggwond::store::{self, Fence, NewRun, RunEnd, Store, Target};
use secrecy::SecretString;

use crate::closings::NONE;
use crate::support::Stage;
use crate::support::ledger::wrong_counters;
use crate::support::town::place;

/// The sub-rectangle of a split cell.
const RECT: Rect = Rect { west: 126.9, south: 37.4, east: 127.1, north: 37.6 };

/// The next step: outcomes of some cells, or another process that takes the run over.
#[derive(Clone, Debug)]
enum Move {
    /// Outcomes: the cell, its ending, its requests, and a number that makes the outcome outdated if it is 3.
    Write(Vec<(i32, u8, u32, i32)>),
    /// The same batch again, as after a COMMIT whose answer was lost.
    Repeat,
    /// The run is interrupted and resumed. The old holder continues to write.
    TakeOver,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let outcome = (1..=12_i32, 0..4_u8, 0..5_u32, 0..4_i32);
    let one =
        prop_oneof![4 => vec(outcome, 1..8).prop_map(Move::Write), 1 => Just(Move::Repeat), 1 => Just(Move::TakeOver)];
    vec(one, 1..12)
}

fn outcome(open: &[Cell], (no, ending, requests, attempts): (i32, u8, u32, i32)) -> Option<Outcome> {
    let cell = *open.iter().find(|cell| cell.no == CellNo(no))?;
    let ending = match ending {
        0 => Ending::Done { total_count: 50, pages: 3, shown: Shown::Truncated },
        3 => Ending::Split { total_count: 900, pages: 1, pieces: vec![RECT; 3] },
        1 => Ending::Failed("500: no error message".to_owned()),
        _ => Ending::Stopped,
    };
    let places = match ending {
        Ending::Done { .. } | Ending::Split { .. } => vec![place(no.unsigned_abs(), 37.5, 127.0, &[]).place],
        Ending::Failed(_) | Ending::Stopped => Vec::new(),
    };
    // Simulates a writer with outdated data: the cell has had another number of requests.
    let cell = Cell { attempts: if attempts == 3 { cell.attempts + 1 } else { cell.attempts }, ..cell };
    let traffic = Traffic { requests, ..Traffic::default() };
    Some(Outcome { cell, ending, traffic, rejected: Rejected::default(), places })
}

/// A run of this kind, as it is inserted.
pub(crate) fn new_run(
    trigger: Trigger,
    scheduled_for: Option<DateTime<Utc>>,
    scope: Option<Scope>,
    request: Option<i64>,
) -> NewRun {
    NewRun {
        request: request.map(RequestId),
        late_because: None,
        trigger,
        scheduled_for,
        coverage: Coverage::Station,
        scope,
        radius_m: 1000,
        page_delay: Duration::ZERO,
        settings: serde_json::json!({}),
        retired: None,
        retirement_held_back: None,
        host: "here".to_owned(),
    }
}

/// Opens a run of five cells.
pub(crate) async fn opened(
    store: &Store,
    run: &NewRun,
    now: DateTime<Utc>,
) -> Result<(Fence, StationMap), store::Error> {
    let station = |number: i32| Station {
        name: format!("역{number}"),
        region: String::new(),
        lines: Vec::new(),
        position: LatLng::new(37.5, 127.0 + f64::from(number)).unwrap(),
    };
    let stations: Vec<Station> = (0..5).map(station).collect();
    let inventory = Inventory { stations, keywords: vec![Keyword::new("카페", None).unwrap()], radius_m: 1000 };
    let opening = store.open_run(&inventory, now).await.unwrap();
    let cells = Selection::new(&opening.stations, &opening.keywords, &Scope::default()).unwrap().around_stations();
    let position = |stored: &StoredStation| (stored.id, stored.station.position);
    let map = StationMap::new(opening.stations.iter().map(position).collect(), 1000);
    Ok((opening.insert(run, &cells, now).await?, map))
}

/// A cell that was read, with so many requests.
pub(crate) fn done(cell: Cell, requests: u32) -> Outcome {
    let ending = Ending::Done { total_count: 0, pages: 1, shown: Shown::All };
    let traffic = Traffic { requests, ..Traffic::default() };
    Outcome { cell, ending, traffic, rejected: Rejected::default(), places: Vec::new() }
}

/// Executes the moves. Every write of a holder that has lost the run must be refused.
async fn play(store: &Store, moves: &[Move]) {
    let now = "2026-11-22T18:07:00Z".parse().unwrap();
    let begins_at = "2026-11-22T18:00:00Z".parse().unwrap();
    let (mut fence, map) = opened(store, &new_run(Trigger::Manual, None, None, None), begins_at).await.unwrap();
    let mut lost: Option<Fence> = None;
    let mut batch = Vec::new();
    for step in moves {
        match step {
            Move::Write(outcomes) => {
                let open = store.pending_cells(fence.run).await.unwrap();
                batch = outcomes.iter().filter_map(|planned| outcome(&open, *planned)).collect();
            }
            Move::Repeat => {}
            Move::TakeOver => {
                store.finish_run(fence, &interrupted(), None, now).await.unwrap();
                lost = Some(fence);
                fence = store.resume_run(fence.run, "there", now).await.unwrap();
            }
        }
        if let Some(lost) = lost {
            let refused = store.write(lost, &map, &batch, now).await;
            assert!(matches!(refused, Err(store::Error::Superseded(run)) if run == fence.run));
        }
        store.write(fence, &map, &batch, now).await.unwrap();
    }
    let RunId(run) = fence.run;
    assert!(run > 0);
    store.finish_run(fence, &interrupted(), None, now).await.unwrap();
}

fn interrupted() -> RunEnd {
    RunEnd { status: Status::Interrupted, reason: None, resume_at: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counters_of_a_run_equal_the_sums_of_its_cells_after_any_sequence_of_outcomes() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let url = SecretString::from(stage.database.url.clone());
    let store = Store::connect(&Target::parse(&url).unwrap()).await.unwrap();

    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let played = runner.run(&moves(), |moves| {
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                play(&store, &moves).await;
                prop_assert_eq!(wrong_counters(&stage).await, NONE);
                Ok(())
            })
        })
    });

    assert!(played.is_ok(), "{}", played.unwrap_err());
    store.close().await;
}
