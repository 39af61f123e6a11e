//! `--station` and `--keyword` of the commands that read.

use crate::crawl::plan::Selection;
use crate::domain::run::Scope;
use crate::store::{Part, Store};

#[derive(Debug, clap::Args)]
// Whose options it is flattened into has a group of this name, too.
#[group(skip)]
pub(super) struct Options {
    /// Only places near stations of this name (repeatable); the suffix 역 may be left out
    #[arg(long, value_name = "NAME")]
    station: Vec<String>,
    /// Only places that this keyword has found (repeatable)
    #[arg(long, value_name = "KEYWORD")]
    keyword: Vec<String>,
}

/// What the names mean in this database, retired stations and keywords included.
pub(super) async fn resolve(store: &Store, options: &Options) -> anyhow::Result<Part> {
    let scope = Scope { stations: options.station.clone(), keywords: options.keyword.clone() };
    if scope.is_everything() {
        return Ok(Part::default());
    }
    let (stations, keywords) = store.known_ground().await?;
    let selection = Selection::new(&stations, &keywords, &scope)?;
    let stations = selection.stations.iter().map(|stored| stored.id).collect();
    let keywords = selection.keywords.iter().map(|stored| stored.id).collect();
    Ok(Part {
        stations: (!scope.stations.is_empty()).then_some(stations),
        keywords: (!scope.keywords.is_empty()).then_some(keywords),
    })
}
