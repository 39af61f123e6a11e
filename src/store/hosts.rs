//! The servers that a URL names. The primary among them is looked for whenever a connection is made.
//!
//! All servers are asked at the same time, because one that has lost its network answers nobody. If several say that they are the
//! primary, one of them has been replaced and does not know it: the promotion of a standby begins a new timeline, so the highest
//! one counts, and what the other still accepts is never mixed with it. A pool cannot look for another server itself, so a
//! [`Watch`] does: it holds a session of its own, and when that ends, it points the pools to the new primary.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
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

/// Time limit for the answer of one server.
const ANSWER: Duration = Duration::from_secs(5);

/// How long the other servers are waited for when a primary has answered.
const GRACE: Duration = Duration::from_millis(500);

/// Interval between two pings of the watch, and between two attempts to find the primary.
const PING: Duration = Duration::from_secs(1);

/// After so many pings the other servers are asked, too: one may have been promoted although the primary still answers.
const PINGS: u32 = 15;

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
    chosen: Mutex<Chosen>,
}

/// The server that was found last.
#[derive(Clone, Copy)]
struct Chosen {
    index: usize,
    /// Sessions that are older belong to another server.
    since: Instant,
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
        Self { first, others, wanted, chosen: Mutex::new(Chosen { index: 0, since: Instant::now() }) }
    }

    /// One server, whatever it is.
    pub(super) fn one(options: PgConnectOptions) -> Self {
        Self::new(options, Vec::new(), Wanted::Any)
    }

    /// The same with other options.
    pub(super) fn map(&self, change: impl Fn(PgConnectOptions) -> PgConnectOptions) -> Self {
        let others = self.others.iter().cloned().map(&change).collect();
        let chosen = Mutex::new(self.chosen());
        Self { first: change(self.first.clone()), others, wanted: self.wanted, chosen }
    }

    fn each(&self) -> impl Iterator<Item = &PgConnectOptions> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn get(&self, index: usize) -> &PgConnectOptions {
        self.each().nth(index).unwrap_or(&self.first)
    }

    /// The options of the server that was found last.
    pub(super) fn options(&self) -> &PgConnectOptions {
        self.get(self.chosen().index)
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

    fn chosen(&self) -> Chosen {
        *self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the primary has moved since then: sessions that are older belong to another server.
    pub(super) fn has_moved_since(&self, then: Instant) -> bool {
        self.chosen().since > then
    }

    /// Checks a session of the pool, which was made with the options of the server that was found last.
    pub(super) async fn check(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.is_plain() { Ok(()) } else { timeline(connection, self.wanted).await.map(drop) }
    }

    /// A new session with the server that is wanted.
    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        if self.is_plain() {
            return connect(self.options()).await;
        }
        let asking = |(index, options)| async move { (index, ask(options, self.wanted).await) };
        let mut asked: FuturesUnordered<_> = self.each().enumerate().map(asking).collect();
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
                    if best.as_ref().is_none_or(|(_, best)| candidate.timeline > best.timeline) {
                        best = Some((index, candidate));
                    }
                }
                Some((index, Err(error))) => refusals.push((index, error)),
            }
        }
        match best {
            Some((index, candidate)) => {
                self.choose(index);
                Ok(candidate.connection)
            }
            None => Err(self.refusal(refusals)),
        }
    }

    fn choose(&self, index: usize) {
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if chosen.index != index {
            info!("the primary is {} now; it was {}", address(self.get(index)), address(self.get(chosen.index)));
            *chosen = Chosen { index, since: Instant::now() };
        }
    }

    /// Why no server is taken. An error that does not pass by itself, such as a wrong password, goes first.
    fn refusal(&self, mut refusals: Vec<(usize, sqlx::Error)>) -> sqlx::Error {
        let permanent = |error: &sqlx::Error| {
            let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            code.is_some_and(|code| ["28", "3D", "42"].iter().any(|class| code.starts_with(class)))
        };
        if let Some(position) = refusals.iter().position(|(_, error)| permanent(error)) {
            return refusals.swap_remove(position).1;
        }
        refusals.sort_by_key(|(index, _)| *index);
        let say =
            |(index, error): (usize, sqlx::Error)| format!("{}: {}", address(self.get(index)), Cause::from(error));
        sqlx::Error::Io(io::Error::other(refusals.into_iter().map(say).collect::<Vec<_>>().join("; ")))
    }
}

fn address(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None if options.get_host().contains(':') => format!("[{}]:{}", options.get_host(), options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
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

/// Asks a server whether it is wanted.
async fn ask(options: &PgConnectOptions, wanted: Wanted) -> Result<Candidate, sqlx::Error> {
    let asking = async {
        let mut connection = connect(options).await?;
        let timeline = timeline(&mut connection, wanted).await?;
        Ok(Candidate { connection, timeline })
    };
    timeout(ANSWER, asking).await.unwrap_or_else(|_| Err(io::Error::other("it does not answer").into()))
}

/// The timeline of a server; an error if it is not what is wanted.
async fn timeline(connection: &mut PgConnection, wanted: Wanted) -> Result<i64, sqlx::Error> {
    // A simple query works behind every pooler.
    let row: PgRow = sqlx::raw_sql(
        "select pg_catalog.pg_is_in_recovery() as is_standby, pg_catalog.current_setting('transaction_read_only') = 'on' as is_read_only,
             case when pg_catalog.pg_is_in_recovery() then 0
                 else ('x' || left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8))::bit(32)::bigint
             end as timeline",
    )
    .fetch_one(connection)
    .await?;
    let (is_standby, is_read_only): (bool, bool) = (row.try_get("is_standby")?, row.try_get("is_read_only")?);
    match wanted {
        Wanted::ReadWrite | Wanted::Primary if is_standby => Err(io::Error::other("it is a standby").into()),
        Wanted::ReadWrite if is_read_only => Err(io::Error::other("its sessions are read-only").into()),
        Wanted::Any | Wanted::ReadWrite | Wanted::Primary => row.try_get("timeline"),
    }
}

/// Points pools to the new primary when the one before does not answer any more.
#[derive(Debug)]
pub(super) struct Watch {
    pools: Arc<Mutex<Vec<PgPool>>>,
    /// It ends when it is dropped.
    _task: JoinSet<()>,
}

impl Watch {
    /// Watches the primary with a session of its own.
    pub(super) fn start(hosts: Arc<Hosts>) -> Self {
        let pools = Arc::default();
        let mut task = JoinSet::new();
        task.spawn(watch(hosts, Arc::clone(&pools)));
        Self { pools, _task: task }
    }

    /// Points this pool, too, to each new primary.
    pub(super) fn add(&self, pool: &PgPool) {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(pool.clone());
    }
}

async fn watch(hosts: Arc<Hosts>, pools: Arc<Mutex<Vec<PgPool>>>) {
    let mut trouble = String::new();
    loop {
        match hosts.connect().await {
            Ok(connection) => {
                trouble.clear();
                for pool in &*pools.lock().unwrap_or_else(PoisonError::into_inner) {
                    pool.set_connect_options(hosts.options().clone());
                }
                look_after(connection).await;
            }
            Err(error) => {
                let reason = Cause::from(error).to_string();
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
async fn look_after(mut connection: PgConnection) {
    for _ in 0..PINGS {
        let Ok(Ok(_)) = timeout(ANSWER, timeline(&mut connection, Wanted::Primary)).await else { return };
        sleep(PING).await;
    }
    connection.close().await.ok();
}
