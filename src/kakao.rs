//! The client of the Kakao Local API.
//!
//! Every request passes the [`gate`]. `wire` classifies its answer, and `retry` decides whether it is sent again. The
//! result is a page of places, or an [`Error`] that fails the cell or ends the run.

mod connections;
pub mod gate;
mod http;
mod known_good;
mod meters;
mod retry;
mod wire;

use std::num::NonZeroU32;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, trace};

use crate::config::{self, redaction};
use crate::domain::cell::{Sort, Traffic};
use crate::domain::geo::Area;
use crate::domain::keyword::Keyword;
use crate::domain::quota::Spent;
use crate::http_client;
use connections::Connections;
use gate::{Gate, Permit, Priority};
use known_good::KnownGood;
use retry::{Attempts, Next};
use wire::Answer;

pub use wire::{Form, Page};

/// Time limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One page of one search.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// What is searched for.
    pub keyword: &'a Keyword,
    /// The area.
    pub area: Area,
    /// The order of the results.
    pub sort: Sort,
    /// Category group codes, separated by commas, that replace the keyword's own as the filter.
    pub groups: Option<&'a str>,
    /// The number of the page.
    pub page: NonZeroU32,
    /// How its answer is read.
    pub view: View,
}

/// How a good answer is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// As places: those outside the area are rejected, and an answer with documents but without a place is broken.
    #[default]
    Places,
    /// As it came, with its form. It shows whether the API is still what it was.
    AsItCame,
    /// As it came, to a request with a parameter that the API does not know.
    WithUnknownParameter,
}

impl<'a> Search<'a> {
    /// The first page of a keyword in an area, by relevance.
    #[must_use]
    pub fn new(keyword: &'a Keyword, area: Area) -> Self {
        Self { keyword, area, sort: Sort::Accuracy, groups: None, page: NonZeroU32::MIN, view: View::Places }
    }
}

/// Why a page could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The search failed too often: its cell fails.
    #[error("{0}")]
    Cell(String),
    /// The API rejected the search as invalid: its cell fails.
    #[error("{0}")]
    Invalid(String),
    /// The stop token was cancelled before an answer arrived.
    #[error("stopped")]
    Stopped,
    /// The API rejected the key: no request can succeed.
    #[error("the API refuses the key: {0}")]
    KeyRefused(String),
    /// The API reports a spent quota, or answered nothing but 429 for ten minutes. The daily quota is reset at midnight in
    /// Seoul.
    #[error("the quota is spent: {0}")]
    QuotaSpent(String),
    /// The day or the month has no requests left to reserve. Requests that are reserved already may still be sent.
    #[error("the quota is spent: {0}")]
    AllowanceSpent(Spent),
    /// No good answer for at least `kakao.interrupt_after`.
    #[error("no good answer for {}: {last}", humantime::format_duration(*.silence))]
    Away {
        /// The time since the last good answer.
        silence: Duration,
        /// The last answer, in words.
        last: String,
    },
    /// The database failed while requests were reserved.
    #[error("could not reserve requests: {0}")]
    Allowance(String),
}

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The HTTP client could not be created.
    #[error(transparent)]
    Http(#[from] http_client::Error),
    /// The key contains characters that an HTTP header cannot hold.
    #[error("kakao.api_key does not fit an HTTP header")]
    Key,
}

/// Grants requests from the quota.
pub trait Allowance {
    /// Takes one request.
    ///
    /// # Errors
    /// [`Error::AllowanceSpent`] or [`Error::Allowance`].
    fn take(&self) -> impl Future<Output = Result<(), Error>>;

    /// Returns a request that was taken and not sent.
    fn put_back(&self);
}

/// The API client. All requests of the process go through one instance, because the pace and the pauses are shared.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    endpoint: String,
    timeout: Duration,
    max_attempts: NonZeroU32,
    backoff: Duration,
    gate: Gate,
    connections: Connections,
    known_good: KnownGood,
}

impl Client {
    /// Builds the client; no request is sent.
    ///
    /// # Errors
    /// When the machine has no certificate store, or the key does not fit an HTTP header.
    pub fn new(settings: &config::Kakao, key: &SecretString) -> Result<Self, BuildError> {
        let mut authorization =
            HeaderValue::from_str(&format!("KakaoAK {}", key.expose_secret())).map_err(|_| BuildError::Key)?;
        authorization.set_sensitive(true);
        // An answer of the API may repeat the key.
        redaction::register(key.expose_secret());
        let builder = http_client::builder(&settings.base_url)
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, authorization)]))
            .connect_timeout(CONNECT_TIMEOUT.min(settings.timeout))
            .timeout(settings.timeout)
            .pool_max_idle_per_host(settings.max_in_flight.get());
        Ok(Self {
            http: http_client::build(builder)?,
            endpoint: format!("{}/v2/local/search/keyword.json", settings.base_url),
            timeout: settings.timeout,
            max_attempts: settings.max_attempts,
            backoff: settings.backoff,
            gate: Gate::new(settings),
            connections: Connections::default(),
            known_good: KnownGood::default(),
        })
    }

    /// Whether a search is stored that got a good answer before.
    #[must_use]
    pub fn knows_good_search(&self) -> bool {
        self.known_good.get().is_some()
    }

    /// Stores a search that got a good answer before. It is repeated when the API is in doubt: a good answer shows that
    /// the API works.
    pub fn trust(&self, search: &Search<'_>) {
        self.known_good.set(search);
    }

    /// The gate of all requests.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Gets one page, with retries, and adds the requests that were sent to `traffic`.
    ///
    /// # Errors
    /// When the search has failed, or for a reason that ends the run.
    pub async fn page<A: Allowance>(
        &self,
        search: &Search<'_>,
        allowance: &A,
        stop: &CancellationToken,
        traffic: &mut Traffic,
    ) -> Result<Page, Error> {
        let priority = if search.page == NonZeroU32::MIN { Priority::NewCell } else { Priority::NextPage };
        let mut attempts = Attempts::new(self.max_attempts, self.backoff);
        loop {
            allowance.take().await?;
            let Some(permit) = self.gate.enter(priority, stop).await else {
                allowance.put_back();
                return Err(Error::Stopped);
            };
            let Some(permit) = self.probe(permit, allowance, traffic).await? else { continue };
            let permit = permit.for_page_that_failed(attempts.failed_at());
            let sent_at = Instant::now();
            let mut sent = 0;
            let answer = self.ask(search, &mut sent).await;
            let duration_ms = sent_at.elapsed().as_millis();
            traffic.requests += sent;
            settle(allowance, sent).await;
            traffic.retries += u32::from(attempts.have_failed() && sent > 0);
            traffic.throttled += u32::from(matches!(answer, Answer::Throttled { .. }));
            let blame = permit.report(&answer)?;
            match attempts.next(answer, blame) {
                Next::Page(page) => {
                    log_page(search, &page, duration_ms);
                    self.known_good.set(search);
                    return Ok(page);
                }
                Next::Again => log_retry(search, &attempts, None),
                Next::AgainAfter(wait) => {
                    log_retry(search, &attempts, Some(wait));
                    tokio::select! {
                        () = stop.cancelled() => return Err(Error::Stopped),
                        () = tokio::time::sleep(wait) => {}
                    }
                }
                Next::Fail(error) => return Err(error),
            }
        }
    }

    /// Sends a known good search if the permit requires one, and returns `None`; otherwise returns the permit unused.
    ///
    /// The answer shows whether the API works. It does not count as an attempt at the page that the permit was for.
    async fn probe<'a, A: Allowance>(
        &self,
        permit: Permit<'a>,
        allowance: &A,
        traffic: &mut Traffic,
    ) -> Result<Option<Permit<'a>>, Error> {
        if !permit.asks_known_good() {
            return Ok(Some(permit));
        }
        let Some(known_good) = self.known_good.get() else { return Ok(Some(permit)) };
        let mut sent = 0;
        let answer = self.ask(&known_good.search(), &mut sent).await;
        traffic.requests += sent;
        settle(allowance, sent).await;
        traffic.throttled += u32::from(matches!(answer, Answer::Throttled { .. }));
        permit.report(&answer)?;
        Ok(None)
    }

    /// Gets one page without retries, to check whether the API answers right now, and adds the request to `traffic`.
    ///
    /// # Errors
    /// When there is no good answer, no request is granted, or the stop token is cancelled.
    pub async fn once<A: Allowance>(
        &self,
        search: &Search<'_>,
        allowance: &A,
        stop: &CancellationToken,
        traffic: &mut Traffic,
    ) -> Result<Page, Error> {
        allowance.take().await?;
        let Some(permit) = self.gate.enter(Priority::NextPage, stop).await else {
            allowance.put_back();
            return Err(Error::Stopped);
        };
        let mut sent = 0;
        let answer = tokio::select! {
            answer = self.ask(search, &mut sent) => Some(answer),
            () = stop.cancelled() => None,
        };
        drop(permit);
        // A request that was given up may have been sent.
        traffic.requests += if answer.is_some() { sent } else { 1 };
        let Some(answer) = answer else { return Err(Error::Stopped) };
        settle(allowance, sent).await;
        match Attempts::new(NonZeroU32::MIN, Duration::ZERO).next(answer, gate::Blame::Page) {
            Next::Page(page) => Ok(page),
            Next::Fail(error) => Err(error),
            Next::Again | Next::AgainAfter(_) => Err(Error::Cell("no answer".to_owned())),
        }
    }
}

/// Corrects the allowance, from which one request was taken, by how often that request was sent.
async fn settle<A: Allowance>(allowance: &A, sent: u32) {
    if sent == 0 {
        allowance.put_back();
    }
    for _ in 1..sent {
        // These requests are sent already. If none are left, the next request is refused.
        allowance.take().await.ok();
    }
}

fn log_page(search: &Search<'_>, page: &Page, duration_ms: u128) {
    let (keyword, total_count) = (search.keyword, page.meta.total_count);
    trace!(
        %keyword, page = search.page, documents = page.documents, total_count, duration_ms,
        "page {} of {keyword}: {} of {total_count} documents", search.page, page.documents
    );
}

fn log_retry(search: &Search<'_>, attempts: &Attempts, wait: Option<Duration>) {
    let (keyword, page, why) = (search.keyword, search.page, attempts.last_failure());
    let when = match wait {
        Some(wait) => format!("in {}", humantime::format_duration(wait)),
        None => "after the pause".to_owned(),
    };
    debug!(%keyword, page, "page {page} of {keyword} is requested again {when}: {why}");
}
