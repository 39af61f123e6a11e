//! The options `--station` and `--keyword` of the commands that read places.

use crate::crawl::plan::Selection;
use crate::domain::run::Scope;
use crate::domain::text;
use crate::store::{Part, Store};

#[derive(Debug, clap::Args)]
// The struct that flattens these options has a group with the same name.
#[group(skip)]
pub(super) struct Options {
    /// Only places near stations with this name (repeatable); the suffix 역 may be omitted
    #[arg(long, value_name = "NAME", value_parser = text::name)]
    station: Vec<String>,
    /// Only places that this keyword has found (repeatable)
    #[arg(long, value_name = "KEYWORD", value_parser = text::name)]
    keyword: Vec<String>,
}

impl Options {
    /// Whether there is any.
    pub(super) fn has_any(&self) -> bool {
        !self.station.is_empty() || !self.keyword.is_empty()
    }
}

/// Looks up the names in the database, including retired stations and keywords.
pub(super) async fn resolve(store: &Store, options: &Options) -> anyhow::Result<Part> {
    let scope = Scope { stations: options.station.clone(), keywords: options.keyword.clone(), failed_cells_of: None };
    if scope.is_everything() {
        return Ok(Part::default());
    }
    let known = store.inventory().await?;
    let selection = Selection::new(&known.stations, &known.keywords, &scope)?;
    let stations = selection.stations.iter().map(|stored| stored.id).collect();
    let keywords = selection.keywords.iter().map(|stored| stored.id).collect();
    Ok(Part {
        stations: (!scope.stations.is_empty()).then_some(stations),
        keywords: (!scope.keywords.is_empty()).then_some(keywords),
    })
}
