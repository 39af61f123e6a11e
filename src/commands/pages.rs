//! The pages of the daemon: the situation now, and the report.

use std::cell::OnceCell;
use std::pin::Pin;
use std::time::Duration;

use chrono_tz::Asia::Seoul;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::report::render;
use super::situation::{self, lines};
use crate::clock;
use crate::config::Config;
use crate::domain::language::Language;
use crate::domain::run::Status;
use crate::observe::{Made, Page, Pages};
use crate::report::{self, Live, Origin, Progress};
use crate::scheduler::standing::Standing;
use crate::store::Store;
use crate::telemetry::chain;

/// How long the browser shows a page before it loads it again: while a run is at work, and otherwise.
const REFRESH_AT_WORK: Duration = Duration::from_secs(5);
const REFRESH: Duration = Duration::from_secs(30);

/// How long a page is kept for further clients, so that they cause no work: the live page, and the report.
const KEEP_LIVE: Duration = Duration::from_secs(1);
const KEEP_REPORT: Duration = Duration::from_mins(1);

/// Time limits for the database.
const PATIENCE_LIVE: Duration = Duration::from_secs(5);
const PATIENCE_REPORT: Duration = Duration::from_secs(25);

/// Number of runs on the live page.
const RUNS: i64 = 26;

/// Makes the pages. Each kind is made by one client at a time; the others wait, and get the same page.
#[derive(Debug)]
pub(super) struct DaemonPages<'a> {
    config: &'a Config,
    is_demo: bool,
    store: OnceCell<Store>,
    live: [Kept; 2],
    report: [Kept; 2],
}

/// A page that was made, and until when it is kept. There is one for each language, so that readers of both share it, too.
type Kept = Mutex<Option<(Instant, Page, Made)>>;

impl<'a> DaemonPages<'a> {
    pub(super) fn new(config: &'a Config, is_demo: bool) -> Self {
        Self { config, is_demo, store: OnceCell::new(), live: Default::default(), report: Default::default() }
    }

    /// Sets the database, once it is ready. Pages have a connection of their own: a slow report must not delay a run.
    pub(super) fn open(&self, store: &Store) {
        self.store.set(store.apart()).ok();
    }

    async fn kept(&self, page: Page, language: Language) -> Made {
        let (caches, keep) = match page {
            Page::Live { .. } => (&self.live, KEEP_LIVE),
            Page::Report => (&self.report, KEEP_REPORT),
        };
        let [english, korean] = caches;
        let cache = match language {
            Language::English => english,
            Language::Korean => korean,
        };
        let mut cache = cache.lock().await;
        if let Some((until, kept, made)) = &*cache
            && *kept == page
            && Instant::now() < *until
        {
            return made.clone();
        }
        let made = self.read(page, language).await;
        // What says what is wrong is kept for a second as well, or each client would wait for the database in turn.
        let until = Instant::now() + if made.is_whole { keep } else { KEEP_LIVE };
        *cache = Some((until, page, made.clone()));
        made
    }

    async fn read(&self, page: Page, language: Language) -> Made {
        let Some(store) = self.store.get() else {
            return self.unavailable(page, language, "the daemon is waiting for its database; its log says why");
        };
        let (patience, reading): (_, Pin<Box<dyn Future<Output = anyhow::Result<Made>>>>) = match page {
            Page::Live { is_refreshed } => (PATIENCE_LIVE, Box::pin(self.live(store, is_refreshed, language))),
            Page::Report => (PATIENCE_REPORT, Box::pin(self.report(store, language))),
        };
        match timeout(patience, reading).await {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => self.unavailable(page, language, &chain(&*error)),
            Err(_) => self.unavailable(
                page,
                language,
                &format!("it did not answer within {} s; the daemon's log says more", patience.as_secs()),
            ),
        }
    }

    async fn live(&self, store: &Store, is_refreshed: bool, language: Language) -> anyhow::Result<Made> {
        let (situation, standing) = situation::look(self.config, store).await?;
        let at_work = situation.unfinished_runs.iter().filter(|run| run.status == Status::Running.as_str());
        let at_work: Vec<i64> = at_work.map(|run| run.crawl_run_id).collect();
        let live = Live {
            mark: mark(standing, &at_work),
            facts: lines(&situation, clock::now()),
            progress: situation
                .unfinished_runs
                .iter()
                .map(|run| Progress {
                    run: run.crawl_run_id,
                    done: run.cells_total - run.cells_pending,
                    total: run.cells_total,
                })
                .collect(),
            runs: store.report_runs(RUNS).await?,
            is_refreshed,
        };
        let refresh = is_refreshed.then_some(if at_work.is_empty() { REFRESH } else { REFRESH_AT_WORK });
        Ok(Made { html: report::live(&self.origin(language), live).into(), is_whole: true, refresh })
    }

    async fn report(&self, store: &Store, language: Language) -> anyhow::Result<Made> {
        let html = render(self.config, self.is_demo, language, store).await?;
        Ok(Made { html: html.into(), is_whole: true, refresh: None })
    }

    fn unavailable(&self, page: Page, language: Language, why: &str) -> Made {
        let refresh = (page == Page::Live { is_refreshed: true }).then_some(REFRESH);
        Made { html: report::unavailable(&self.origin(language), why).into(), is_whole: false, refresh }
    }

    fn origin(&self, language: Language) -> Origin {
        Origin {
            database: self
                .store
                .get()
                .map_or_else(|| "not open".to_owned(), |store| store.target().database().to_owned()),
            is_demo: self.is_demo,
            made: clock::now().with_timezone(&Seoul).naive_local(),
            price: self.config.kakao.price_won,
            language,
        }
    }
}

impl Pages for DaemonPages<'_> {
    fn make(&self, page: Page, asked: Option<Language>) -> Pin<Box<dyn Future<Output = Made> + '_>> {
        Box::pin(self.kept(page, asked.unwrap_or(self.config.report.language)))
    }
}

/// The mark beside the verdict.
fn mark(standing: Standing, at_work: &[i64]) -> Status {
    match standing {
        Standing::Unfinished(run) if at_work.contains(&run.0) => Status::Running,
        Standing::Unfinished(_) => Status::Interrupted,
        Standing::Succeeded(_) => Status::Succeeded,
        Standing::Partial(_) | Standing::Late(_) => Status::Partial,
        Standing::Cancelled(_) => Status::Cancelled,
        Standing::Failed(_) | Standing::Missed(_) => Status::Failed,
        Standing::Never => Status::Skipped,
    }
}
