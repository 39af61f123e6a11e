//! The stations and places that the cases crawl: the first stations of the station file and generated places.

use sanggwond::domain::station::Station;
use sanggwond::standin::{Recipe, World};
use sanggwond::stations;
use tokio::sync::OnceCell;

use crate::findings::Findings;
use crate::support::Stage;
use crate::support::program::{Finished, Program};
use crate::tables::{Tables, check_runs};

/// The stations and places that are crawled.
pub(crate) struct Scene {
    stations: Vec<Station>,
    recipe: Recipe,
    coverage: &'static str,
    undisturbed: OnceCell<Undisturbed>,
}

/// The result of an undisturbed crawl.
pub(crate) struct Undisturbed {
    /// The tables.
    pub(crate) tables: Tables,
    /// The number of requests.
    pub(crate) requests: u64,
}

impl Scene {
    /// The first `count` stations and places around them, to be crawled with this coverage.
    pub(crate) fn new(count: usize, coverage: &'static str) -> Self {
        Self::besides("", count, coverage)
    }

    /// The same, without a busy station: which places of a crowded building are found depends on how it is reached, so two runs
    /// find different ones.
    pub(crate) fn besides(busy: &str, count: usize, coverage: &'static str) -> Self {
        let (mut stations, _) = stations::load(None).unwrap();
        stations.retain(|station| station.name != busy);
        stations.truncate(count);
        let places = count * 400;
        Self { stations, recipe: Recipe { seed: 11, week: 0, places }, coverage, undisturbed: OnceCell::new() }
    }

    /// The places of a week: some of the first week have closed or changed, and some are new.
    pub(crate) fn world(&self, week: u32) -> World {
        World::generate(&Recipe { week, ..self.recipe }, &self.stations)
    }

    /// A database and a stand-in with these stations and places.
    pub(crate) async fn stage(&self) -> Stage {
        let row = |Station { name, region, lines, position }: &Station| {
            let (latitude, longitude) = (position.latitude(), position.longitude());
            format!("{name},{region},{latitude},{longitude},{}\n", lines.first().map_or("", String::as_str))
        };
        let rows: String = self.stations.iter().map(row).collect();
        Stage::new(World::generate(&self.recipe, &self.stations), &rows).await
    }

    /// The result of an undisturbed crawl; the crawl is done only once.
    pub(crate) async fn undisturbed(&self) -> &Undisturbed {
        let crawl = async {
            let stage = self.stage().await;
            self.crawl(&stage).finish().await.expect_code(0);
            let tables = Tables::of(&stage).await;
            let (cells, places) = (tables.rows("station_keyword"), tables.rows("place"));
            println!("undisturbed: {cells} cells, {} requests, {places} places", stage.standin.requests());
            assert_eq!(cells, self.stations.len() * 10);
            Undisturbed { tables, requests: stage.standin.requests() }
        };
        self.undisturbed.get_or_init(|| crawl).await
    }

    /// A manual crawl with the coverage of this scene.
    pub(crate) fn crawl(&self, stage: &Stage) -> Program {
        crawl(stage).set("SANGGWOND_CRAWL__COVERAGE", self.coverage)
    }

    /// Checks that the tables equal those of an undisturbed crawl, and that the run history is consistent.
    pub(crate) async fn check(&self, stage: &Stage, findings: &mut Findings) {
        Tables::of(stage).await.compare(&self.undisturbed().await.tables, findings);
        check_runs(stage, findings).await;
    }
}

/// The binary with these arguments, with all default keywords.
pub(crate) fn program(stage: &Stage, arguments: &[&str]) -> Program {
    stage.program(arguments).unset("SANGGWOND_CRAWL__KEYWORDS").unset("SANGGWOND_CRAWL__CANARIES")
}

/// A manual crawl.
pub(crate) fn crawl(stage: &Stage) -> Program {
    program(stage, &["crawl", "--format", "json"])
}

/// The summary of a manual crawl.
pub(crate) fn summary(finished: &Finished) -> serde_json::Value {
    serde_json::from_str(&finished.stdout).unwrap()
}

/// The number of requests that the runs have recorded.
pub(crate) async fn stored_requests(stage: &Stage) -> u64 {
    let stored: i64 = stage.value("select coalesce(sum(requests), 0)::bigint from crawl_run").await;
    stored.unsigned_abs()
}
