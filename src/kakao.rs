//! The Kakao Local API: how it is asked, and what its answers mean.
//!
//! Every request passes the [`gate`], is classified by `wire` and repeated as `retry` says. What leaves this room are
//! pages of places, or an [`Error`] that says whether a cell, or the whole run, has come to its end.

pub mod gate;
mod http;
mod meters;
pub mod quota;
mod retry;
mod wire;

use std::num::NonZeroU32;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::domain::cell::{Sort, Traffic};
use crate::domain::geo::Area;
use crate::domain::keyword::Keyword;
use gate::{Gate, Priority};
use retry::{Attempts, Next};
use wire::Answer;

pub use wire::Page;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One page of one search.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// What is searched for.
    pub keyword: &'a Keyword,
    /// Where.
    pub area: Area,
    /// In which order.
    pub sort: Sort,
    /// The only category groups that may answer, separated by commas, instead of the keyword's own.
    pub groups: Option<&'a str>,
    /// Which page.
    pub page: NonZeroU32,
}

impl<'a> Search<'a> {
    /// The first page of a keyword in an area, by relevance.
    #[must_use]
    pub fn new(keyword: &'a Keyword, area: Area) -> Self {
        Self { keyword, area, sort: Sort::Accuracy, groups: None, page: NonZeroU32::MIN }
    }
}

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The search is at fault, or failed too often: its cell fails.
    #[error("{0}")]
    Cell(String),
    /// The stop token fired before an answer was there.
    #[error("stopped")]
    Stopped,
    /// The API does not take the key: no request can succeed.
    #[error("the API refuses the key: {0}")]
    KeyRefused(String),
    /// The API answers no more requests until the next day in Seoul.
    #[error("the quota is spent: {0}")]
    QuotaSpent(String),
    /// No more requests are granted until the next day in Seoul; those that were may still be sent.
    #[error("the quota is spent: {0}")]
    AllowanceSpent(String),
    /// No good answer for a long time.
    #[error("no good answer for {}: {last}", humantime::format_duration(*.silence))]
    Away {
        /// For how long.
        silence: Duration,
        /// What the last answer was.
        last: String,
    },
    /// Whether a request may be sent could not be found out.
    #[error("could not reserve requests: {0}")]
    Allowance(String),
}

/// What cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The HTTP client refuses its settings; without certificates on the machine it does.
    #[error(
        "could not prepare the HTTP client; it needs a certificate store (Debian: apt-get install ca-certificates)"
    )]
    Http(#[source] reqwest::Error),
    /// The key does not fit a header.
    #[error("kakao.api_key does not fit an HTTP header")]
    Key,
}

/// Grants requests out of the day's quota.
pub trait Allowance {
    /// Takes one request.
    ///
    /// # Errors
    /// [`Error::AllowanceSpent`] or [`Error::Allowance`].
    fn take(&self) -> impl Future<Output = Result<(), Error>>;

    /// Gives one back that was not sent.
    fn put_back(&self);
}

/// The API and the one way to it.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    endpoint: String,
    key: SecretString,
    timeout: Duration,
    max_attempts: NonZeroU32,
    backoff: Duration,
    gate: Gate,
}

impl Client {
    /// Builds the client; no request is sent.
    ///
    /// # Errors
    /// When the machine has no certificate store.
    pub fn new(settings: &config::Kakao, key: &SecretString) -> Result<Self, BuildError> {
        // Fails where something else in the process has chosen a provider already, which is as good.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut authorization =
            HeaderValue::from_str(&format!("KakaoAK {}", key.expose_secret())).map_err(|_| BuildError::Key)?;
        authorization.set_sensitive(true);
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("sanggwond/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, authorization)]))
            .connect_timeout(CONNECT_TIMEOUT.min(settings.timeout))
            .timeout(settings.timeout)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(settings.max_in_flight.get());
        if is_loopback(&settings.base_url) {
            builder = builder.no_proxy();
        }
        Ok(Self {
            http: builder.build().map_err(BuildError::Http)?,
            endpoint: format!("{}/v2/local/search/keyword.json", settings.base_url),
            key: key.clone(),
            timeout: settings.timeout,
            max_attempts: settings.max_attempts,
            backoff: settings.backoff,
            gate: Gate::new(settings),
        })
    }

    /// The gate of all requests.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Gets one page, however many attempts that takes, and adds what it cost to `traffic`.
    ///
    /// # Errors
    /// When the search has failed, or the run has come to its end.
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
            let answer = self.ask(search).await;
            traffic.requests += 1;
            traffic.retries += u32::from(attempts.have_failed());
            traffic.throttled += u32::from(matches!(answer, Answer::Throttled { .. }));
            let blame = permit.report(&answer)?;
            match attempts.next(answer, blame) {
                Next::Page(page) => return Ok(page),
                Next::Again => {}
                Next::AgainAfter(wait) => tokio::select! {
                    () = stop.cancelled() => return Err(Error::Stopped),
                    () = tokio::time::sleep(wait) => {}
                },
                Next::Fail(error) => return Err(error),
            }
        }
    }

    /// Gets one page with a single request, for who wants to know whether the API answers right now.
    ///
    /// # Errors
    /// When it does not.
    pub async fn once<A: Allowance>(
        &self,
        search: &Search<'_>,
        allowance: &A,
        stop: &CancellationToken,
    ) -> Result<Page, Error> {
        allowance.take().await?;
        let Some(permit) = self.gate.enter(Priority::NextPage, stop).await else {
            allowance.put_back();
            return Err(Error::Stopped);
        };
        let answer = self.ask(search).await;
        drop(permit);
        match Attempts::new(NonZeroU32::MIN, Duration::ZERO).next(answer, gate::Blame::Page) {
            Next::Page(page) => Ok(page),
            Next::Fail(error) => Err(error),
            Next::Again | Next::AgainAfter(_) => Err(Error::Cell("no answer".to_owned())),
        }
    }
}

/// A client for this machine's own services: no key, no proxy.
///
/// # Errors
/// When the machine has no certificate store.
pub fn plain_client(timeout: Duration) -> Result<reqwest::Client, BuildError> {
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy().timeout(timeout).build().map_err(BuildError::Http)
}

fn is_loopback(base_url: &str) -> bool {
    let host = reqwest::Url::parse(base_url).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}
