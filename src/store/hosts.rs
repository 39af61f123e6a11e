//! The servers that a URL names. The primary among them is looked for whenever a connection is made.
//!
//! All servers are asked at the same time, because one that has lost its network answers nobody. If several say that they are the
//! primary, one of them has been replaced and does not know it: the promotion of a standby begins a new timeline, so the highest
//! one counts, and what the other still accepts is never mixed with it. A pool cannot look for another server itself, so a
//! [`Watch`] does: it holds a session of its own, and when that ends, it looks for the new primary.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sqlx::postgres::{PgConnectOptions, PgPool, PgRow};
use sqlx::{Connection, PgConnection, Row};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::Cause;
use super::session::greet;

/// Time limit for a new session with one server; less than that of all.
const ANSWER: Duration = Duration::from_secs(9);

/// How long a primary that has been replaced is refused even if no other one answers. Not for ever, because an upgrade of
/// PostgreSQL begins a new count of timelines.
const REPLACED: Duration = Duration::from_mins(10);

/// How long the other servers are waited for when a primary has answered.
const GRACE: Duration = Duration::from_millis(500);

/// Time limit for the answer to a ping of the watch.
const PONG: Duration = Duration::from_secs(5);

/// Interval between two pings of the watch, and between two attempts to find the primary.
const PING: Duration = Duration::from_secs(1);

/// After so many pings the other servers are asked, too: one may have been promoted although the primary still answers.
const PINGS: u32 = 15;

/// The port that need not be shown.
const DEFAULT_PORT: u16 = 5432;

/// Number of attempts while a server reports too many connections, and the pause between them.
const RETRIES: u32 = 20;
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Which server is wanted, as libpq's `target_session_attrs` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The first one that accepts a connection.
    Any,
    /// One that accepts writes.
    #[default]
    ReadWrite,
    /// One that is not in recovery, even if its sessions are read-only.
    Primary,
}

/// The servers of a database.
pub(super) struct Hosts {
    first: PgConnectOptions,
    others: Vec<PgConnectOptions>,
    wanted: Wanted,
    state: Mutex<State>,
}

/// What is known about them.
struct State {
    /// The server that was found last.
    chosen: Option<usize>,
    /// The highest timeline that was seen, and when.
    timeline: i64,
    seen: Instant,
    /// Grows whenever another primary has been promoted.
    generation: u64,
    /// When that was last noticed: older sessions belong to another server.
    since: Instant,
    /// The pools that connect to the server that was found last.
    pools: Vec<PgPool>,
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosts").field("address", &self.address()).field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

/// What a server says about itself.
struct Candidate {
    connection: PgConnection,
    timeline: i64,
}

impl Hosts {
    /// These servers.
    pub(super) fn new(first: PgConnectOptions, others: Vec<PgConnectOptions>, wanted: Wanted) -> Self {
        let now = Instant::now();
        let state = State { chosen: None, timeline: 0, seen: now, generation: 0, since: now, pools: Vec::new() };
        Self { first, others, wanted, state: Mutex::new(state) }
    }

    /// One server, whatever it is.
    pub(super) fn one(options: PgConnectOptions) -> Self {
        Self::new(options, Vec::new(), Wanted::Any)
    }

    /// The same servers with other options.
    pub(super) fn map(&self, change: impl Fn(PgConnectOptions) -> PgConnectOptions) -> Self {
        Self::new(change(self.first.clone()), self.others.iter().cloned().map(&change).collect(), self.wanted)
    }

    fn each(&self) -> impl Iterator<Item = &PgConnectOptions> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn get(&self, index: usize) -> &PgConnectOptions {
        self.each().nth(index).unwrap_or(&self.first)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The options of the server that was found last.
    pub(super) fn options(&self) -> &PgConnectOptions {
        let chosen = self.state().chosen;
        self.get(chosen.unwrap_or(0))
    }

    /// Points this pool to each new primary, too.
    pub(super) fn add(&self, pool: &PgPool) {
        self.state().pools.push(pool.clone());
    }

    /// Host and port, or the folder of the socket, of each server.
    pub(super) fn address(&self) -> String {
        self.each().map(address).collect::<Vec<_>>().join(", ")
    }

    /// Whether there is only one, which is taken as it is.
    fn is_plain(&self) -> bool {
        self.others.is_empty() && self.wanted == Wanted::Any
    }

    /// Whether there is a choice.
    pub(super) fn are_several(&self) -> bool {
        !self.others.is_empty()
    }

    /// A number that changes when another primary has been promoted.
    pub(super) fn generation(&self) -> u64 {
        self.state().generation
    }

    /// Whether another primary has been promoted since then: sessions that are older belong to another server.
    pub(super) fn has_moved_since(&self, then: Instant) -> bool {
        let State { generation, since, .. } = *self.state();
        generation > 0 && since > then
    }

    /// Logs in at the server that was found last, and no more: a pooler may have no session for it.
    pub(super) async fn probe(&self) -> Result<(), sqlx::Error> {
        let options = self.options().clone();
        PgConnection::connect_with(&options).await?.close().await
    }

    /// Checks a session of a pool, which was made with the options of the server that was found last.
    pub(super) async fn check(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.is_plain() {
            return Ok(());
        }
        let timeline = self.timeline(connection).await?;
        self.is_newest(timeline)
    }

    /// Refuses a server that has been replaced.
    fn is_newest(&self, timeline: i64) -> Result<(), sqlx::Error> {
        let State { timeline: highest, seen, .. } = *self.state();
        let is_replaced = self.wanted != Wanted::Any && timeline < highest && seen.elapsed() < REPLACED;
        if is_replaced { Err(io::Error::other("it was replaced by another primary").into()) } else { Ok(()) }
    }

    /// A new session with the server that is wanted.
    pub(super) async fn connect(&self) -> Result<PgConnection, Cause> {
        if self.is_plain() {
            return connect(self.options()).await.map_err(Cause::from);
        }
        let asking = |(index, options)| async move { (index, self.ask(options).await) };
        let mut asked: FuturesUnordered<_> = self.each().enumerate().map(asking).collect();
        let chosen = self.state().chosen;
        let mut best: Option<(usize, Candidate)> = None;
        let mut refusals = Vec::new();
        loop {
            let answer = match &best {
                None => asked.next().await,
                Some(_) => timeout(GRACE, asked.next()).await.ok().flatten(),
            };
            match answer {
                None => break,
                Some((index, Ok(candidate))) => {
                    // Of two names for the same server, the one in use stays.
                    let rank = |index, candidate: &Candidate| (candidate.timeline, Some(index) == chosen);
                    if best.as_ref().is_none_or(|(known, best)| rank(index, &candidate) > rank(*known, best)) {
                        best = Some((index, candidate));
                    }
                }
                Some((index, Err(error))) => refusals.push((index, Cause::from(error))),
            }
        }
        let Some((index, Candidate { connection, timeline })) = best else { return Err(self.refusal(refusals)) };
        self.choose(index, timeline);
        Ok(connection)
    }

    /// Notes the primary, and points the pools to it.
    fn choose(&self, index: usize, timeline: i64) {
        let mut state = self.state();
        let before = state.chosen.replace(index);
        if let Some(before) = before.filter(|before| *before != index) {
            info!("the primary is {} now; it was {}", address(self.get(index)), address(self.get(before)));
        }
        if before != Some(index) {
            for pool in &state.pools {
                pool.set_connect_options(self.get(index).clone());
            }
        }
        let now = Instant::now();
        if before.is_some() && timeline != state.timeline {
            (state.generation, state.since) = (state.generation + 1, now);
        }
        (state.timeline, state.seen) = (timeline, now);
    }

    /// Why no server is taken. An error that does not pass by itself, such as a wrong password, counts only if all are.
    fn refusal(&self, mut refusals: Vec<(usize, Cause)>) -> Cause {
        if !refusals.iter().any(|(_, cause)| cause.may_pass())
            && let Some((_, cause)) = refusals.pop()
        {
            return cause;
        }
        refusals.sort_by_key(|(index, _)| *index);
        let say = |(index, cause): (usize, Cause)| format!("{}: {cause}", address(self.get(index)));
        let all = refusals.into_iter().map(say).collect::<Vec<_>>().join("; ");
        sqlx::Error::Io(io::Error::other(all)).into()
    }

    /// Asks a server whether it is wanted.
    async fn ask(&self, options: &PgConnectOptions) -> Result<Candidate, sqlx::Error> {
        let asking = async {
            let mut connection = connect(options).await?;
            let timeline = self.timeline(&mut connection).await?;
            self.is_newest(timeline)?;
            Ok(Candidate { connection, timeline })
        };
        timeout(ANSWER, asking).await.unwrap_or_else(|_| Err(io::Error::other("it does not answer").into()))
    }

    /// The timeline of a server; an error if it is not what is wanted.
    async fn timeline(&self, connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
        // Simple queries work behind every pooler.
        let row: PgRow = sqlx::raw_sql(
            "select pg_catalog.pg_is_in_recovery() as is_standby,
                 pg_catalog.current_setting('transaction_read_only') = 'on' as is_read_only",
        )
        .fetch_one(&mut *connection)
        .await?;
        let (is_standby, is_read_only): (bool, bool) = (row.try_get("is_standby")?, row.try_get("is_read_only")?);
        match self.wanted {
            Wanted::ReadWrite | Wanted::Primary if is_standby => return Err(io::Error::other("it is a standby").into()),
            Wanted::ReadWrite if is_read_only => return Err(io::Error::other("its sessions are read-only").into()),
            Wanted::Any | Wanted::ReadWrite | Wanted::Primary => {}
        }
        if is_standby || !self.are_several() {
            return Ok(0);
        }
        let timeline = "select ('x' || left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8))::bit(32)::bigint as timeline";
        match sqlx::raw_sql(timeline).fetch_one(connection).await {
            Ok(row) => row.try_get("timeline"),
            // A service that is only similar to PostgreSQL has none.
            Err(sqlx::Error::Database(_)) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

fn address(options: &PgConnectOptions) -> String {
    let port = options.get_port();
    match options.get_socket() {
        Some(folder) if port == DEFAULT_PORT => folder.display().to_string(),
        Some(folder) => format!("{}:{port}", folder.display()),
        None if options.get_host().contains(':') => format!("[{}]:{port}", options.get_host()),
        None => format!("{}:{port}", options.get_host()),
    }
}

/// A new session that is set up.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let mut tries = 0;
    let mut connection = loop {
        tries += 1;
        match PgConnection::connect_with(options).await {
            // With a low limit, a connection that we have just closed may still count.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("53300") && tries < RETRIES => {
                sleep(RETRY_PAUSE).await;
            }
            connected => break connected?,
        }
    };
    greet(&mut connection).await?;
    Ok(connection)
}

/// Finds each new primary as soon as the one before does not answer any more.
#[derive(Debug)]
pub(super) struct Watch(#[expect(dead_code, reason = "it ends the task when it is dropped")] JoinSet<()>);

impl Watch {
    /// Watches the primary with a session of its own.
    pub(super) fn start(hosts: Arc<Hosts>) -> Self {
        let mut task = JoinSet::new();
        task.spawn(watch(hosts));
        Self(task)
    }
}

async fn watch(hosts: Arc<Hosts>) {
    let mut trouble = String::new();
    loop {
        match hosts.connect().await {
            Ok(connection) => {
                trouble.clear();
                look_after(&hosts, connection).await;
            }
            Err(cause) => {
                let reason = cause.to_string();
                if reason != trouble {
                    warn!("no primary is found: {reason}");
                }
                trouble = reason;
            }
        }
        sleep(PING).await;
    }
}

/// Returns when a session has ended, when its server has become a standby, or after a while.
async fn look_after(hosts: &Hosts, mut connection: PgConnection) {
    for _ in 0..PINGS {
        let Ok(Ok(())) = timeout(PONG, hosts.check(&mut connection)).await else { return };
        sleep(PING).await;
    }
    connection.close().await.ok();
}
