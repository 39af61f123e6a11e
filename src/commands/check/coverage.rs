//! `check --coverage`: sends the canaries of a full run, and prints what they find.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::app::{self, Database};
use crate::config::Config;
use crate::crawl::allowance::Reserve;
use crate::crawl::api::Api;
use crate::crawl::canary;
use crate::crawl::plan::Selection;
use crate::domain::cell::Traffic;
use crate::domain::drift::{Canaries, Consequence};
use crate::domain::keyword::{KeywordId, StoredKeyword};
use crate::domain::run::Scope;
use crate::domain::station::{Station, StationId, StoredStation};
use crate::kakao::Client;
use crate::runner::canaries::{self, Manner};

/// Sends the canaries around one station, or a few, and returns a line with the result. Findings that a run would only record
/// are part of it, others are an error.
pub(super) async fn check(
    config: &Config,
    database: &Database,
    (stations, wanted): (&[Station], Option<&str>),
    stop: &CancellationToken,
) -> anyhow::Result<(String, ())> {
    let (stations, keywords) = searched(config, database, stations).await?;
    let scope = Scope { stations: wanted.map(str::to_owned).into_iter().collect(), ..Scope::default() };
    let selection = Selection::new(&stations, &keywords, &scope)?;
    let manner = Manner {
        coverage: config.crawl.coverage,
        radius_m: config.crawl.radius_m,
        page_delay: config.crawl.page_delay,
    };
    let subject = canaries::subject(&database.store, &selection, manner, 0).await?;
    let subject = subject.context("there is nothing to ask for")?;
    let client = Arc::new(Client::new(&config.kakao, app::api_key(config)?)?);
    let allowance = Arc::new(Reserve::new(database.store.clone(), config.kakao.quotas()));
    let api = Api { client, allowance: Arc::clone(&allowance) };
    let mut traffic = Traffic::default();
    let asked = canary::ask(&api, &subject, stop, &mut traffic).await;
    allowance.close().await;
    let Canaries { requests, findings, .. } = asked?;
    let head = format!("{} near {}, {requests} requests", subject.keyword, subject.near);
    let texts = findings.iter().map(|found| found.text.as_str()).collect::<Vec<_>>().join("; ");
    anyhow::ensure!(
        findings.iter().all(|finding| finding.consequence == Consequence::Warning),
        "{head}: the API differs from what a run relies on: {texts}"
    );
    if findings.is_empty() {
        return Ok((format!("{head}: the API does what a run relies on"), ()));
    }
    Ok((format!("{head}: a run would only record this: {texts}"), ()))
}

/// The stations and keywords that are stored; before the first run, those of the configuration.
async fn searched(
    config: &Config,
    database: &Database,
    stations: &[Station],
) -> anyhow::Result<(Vec<StoredStation>, Vec<StoredKeyword>)> {
    let mut stored = database.store.inventory().await?;
    stored.stations.retain(|station| !station.is_retired);
    stored.keywords.retain(|keyword| !keyword.is_retired);
    if !stored.stations.is_empty() && !stored.keywords.is_empty() {
        return Ok((stored.stations, stored.keywords));
    }
    // No row has these ids.
    let station = |station: &Station| StoredStation { id: StationId(0), station: station.clone(), is_retired: false };
    let keyword = |keyword: &_| StoredKeyword { id: KeywordId(0), keyword: Clone::clone(keyword), is_retired: false };
    Ok((stations.iter().map(station).collect(), config.crawl.keywords.iter().map(keyword).collect()))
}
