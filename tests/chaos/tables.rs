//! What the tables hold, without instants and run numbers, in comparable lines. Of places that are listed nowhere it is a
//! matter of chance which are found: they lie beside the circles.

use std::collections::{BTreeMap, BTreeSet};

use crate::findings::Findings;
use crate::support::Stage;
use crate::support::ledger::SUMS;

/// A table and a query that says a row in a line.
const LINES: [(&str, &str); 6] = [
    (
        "station",
        "select concat_ws('|', name, region, array_to_string(lines, '+'), latitude, longitude,
             case when retired_at is not null then 'retired' end) from station",
    ),
    (
        "keyword",
        "select concat_ws('|', query, coalesce(category_group_code, '-'),
             case when retired_at is not null then 'retired' end) from keyword",
    ),
    (
        "place",
        "select (to_jsonb(p) - '{first_seen_at,changed_at,closed_at}'::text[]
             || jsonb_build_object('is_closed', closed_at is not null))::text from place p
         where exists (select from listing where listing.place_id = p.place_id)",
    ),
    (
        "place_keyword",
        "select concat_ws('|', place_id, query, misses, missing_since is null, gone_at is null)
         from place_keyword join keyword using (keyword_id)
         where (place_id, keyword_id) in (select place_id, keyword_id from listing)",
    ),
    (
        "listing",
        "select concat_ws('|', s.name, s.longitude, query, place_id, distance_m, gone_at is null)
         from listing join station s using (station_id) join keyword using (keyword_id)",
    ),
    (
        "station_keyword",
        "select concat_ws('|', s.name, s.longitude, query, radius_m, cut_off, places, complete_at is not null)
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
        for (table, query) in LINES {
            let lines = stage.texts(query).await;
            let count = lines.len();
            let lines: BTreeSet<String> = lines.into_iter().collect();
            assert_eq!(lines.len(), count, "{table} has a row twice");
            tables.insert(table, lines);
        }
        Self(tables)
    }

    /// The rows of a table.
    pub(crate) fn rows(&self, table: &str) -> usize {
        self.0[table].len()
    }

    /// Checks that these are the rows of `expected`, and names a few differences.
    pub(crate) fn compare(&self, expected: &Self, findings: &mut Findings) {
        for (table, expected) in &expected.0 {
            let stored = &self.0[table];
            let missing: Vec<_> = expected.difference(stored).collect();
            let invented: Vec<_> = stored.difference(expected).collect();
            findings.check(missing.is_empty() && invented.is_empty(), || {
                let first = |rows: &[&String]| rows.iter().take(3).map(|row| (*row).clone()).collect::<Vec<_>>();
                let (lack, surplus) = (missing.len(), invented.len());
                format!("{table}: {lack} missing {:#?}, {surplus} invented {:#?}", first(&missing), first(&invented))
            });
        }
    }
}

/// Checks what holds for every run, whatever happened to it.
pub(crate) async fn check_runs(stage: &Stage, findings: &mut Findings) {
    let sums: bool = stage.value(SUMS).await;
    findings.check(sums, || "the counters of a run are not the sums of its ledger".to_owned());
    let pending = "select count(*) from crawl_cell join crawl_run r using (crawl_run_id)
        where crawl_cell.status = 'pending' and r.status = 'succeeded'";
    let pending: i64 = stage.value(pending).await;
    findings.check(pending == 0, || format!("{pending} cells of succeeded runs are pending"));
    let new: i64 = stage.value("select sum(places_new) from crawl_run").await;
    let places: i64 = stage.value("select count(*) from place").await;
    findings.check(new == places, || format!("the runs count {new} new places, and {places} are stored"));
}
