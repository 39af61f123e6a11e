//! The contents of the tables as comparable lines, without instants and run numbers. Places without a listing are ignored:
//! they lie outside the circles, and which of them are found is random.

use std::collections::{BTreeMap, BTreeSet};

use crate::findings::Findings;
use crate::support::Stage;
use crate::support::ledger::wrong_counters;

/// A table and a query for the rows that are compared.
const ROWS: [(&str, &str); 6] = [
    ("station", "select name, region, lines, latitude, longitude, retired_at is not null as is_retired from station"),
    ("keyword", "select query, category_group_code, retired_at is not null as is_retired from keyword"),
    (
        "place",
        "select (to_jsonb(p) - '{first_seen_at,changed_at,closed_at}'::text[]) as content, closed_at is not null as is_closed
         from place p where exists (select from listing where listing.place_id = p.place_id)",
    ),
    (
        "place_keyword",
        "select place_id, query, misses, missing_since is not null as is_missing, gone_at is not null as is_gone
         from place_keyword join keyword using (keyword_id)
         where (place_id, keyword_id) in (select place_id, keyword_id from listing)",
    ),
    (
        "listing",
        "select s.name, s.longitude, query, place_id, distance_m, gone_at is not null as is_gone
         from listing join station s using (station_id) join keyword using (keyword_id)",
    ),
    (
        "station_keyword",
        "select s.name, s.longitude, query, radius_m, truncated, places, complete_at is not null as is_complete
         from station_keyword join station s using (station_id) join keyword using (keyword_id)",
    ),
];

/// The lines of all tables.
#[derive(Debug)]
pub(crate) struct Tables(BTreeMap<&'static str, BTreeSet<String>>);

impl Tables {
    /// Reads all tables.
    pub(crate) async fn of(stage: &Stage) -> Self {
        let mut tables = BTreeMap::new();
        for (table, query) in ROWS {
            let lines = stage.json_rows(query).await;
            let count = lines.len();
            let lines: BTreeSet<String> = lines.into_iter().collect();
            assert_eq!(lines.len(), count, "{table} has a row twice");
            tables.insert(table, lines);
        }
        Self(tables)
    }

    /// Whether a row contains a text.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.0.values().flatten().any(|row| row.contains(text))
    }

    /// The rows of a table.
    pub(crate) fn rows(&self, table: &str) -> usize {
        self.0[table].len()
    }

    /// Checks that the rows equal those of `expected`, and reports a few differences.
    pub(crate) fn compare(&self, expected: &Self, findings: &mut Findings) {
        for (table, expected) in &expected.0 {
            let stored = &self.0[table];
            let missing: Vec<_> = expected.difference(stored).collect();
            let unexpected: Vec<_> = stored.difference(expected).collect();
            findings.check(missing.is_empty() && unexpected.is_empty(), || {
                let first = |rows: &[&String]| rows.iter().take(3).map(|row| (*row).clone()).collect::<Vec<_>>();
                let (lack, surplus) = (missing.len(), unexpected.len());
                format!(
                    "{table}: {lack} missing {:#?}, {surplus} unexpected {:#?}",
                    first(&missing),
                    first(&unexpected)
                )
            });
        }
    }
}

/// Checks the invariants of all runs.
pub(crate) async fn check_runs(stage: &Stage, findings: &mut Findings) {
    let wrong = wrong_counters(stage).await;
    findings.check(wrong.is_empty(), || wrong.join("; "));
    let pending = "select count(*) from crawl_cell join crawl_run r using (crawl_run_id)
        where crawl_cell.status = 'pending' and r.status = 'succeeded'";
    let pending: i64 = stage.value(pending).await;
    findings.check(pending == 0, || format!("{pending} cells of succeeded runs are pending"));
    let new: i64 = stage.value("select sum(places_new) from crawl_run").await;
    let places: i64 = stage.value("select count(*) from place").await;
    findings.check(new == places, || format!("the runs count {new} new places, and {places} are stored"));
}
