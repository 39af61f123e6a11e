//! sanggwond keeps a PostgreSQL database of the places around every urban rail station in Korea up to date.
//!
//! This page is the map of the code: its words, the path of the data, the invariants, the layers, and where to make which
//! change. The tables are described in `migrations/README.md`, operation in `deploy/README.md`, the tests in
//! `tests/README.md`.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | station | a place to get on a train; the platforms of all its lines are merged into one station |
//! | keyword | a text that the API is searched for, such as 카페, and optionally one category group |
//! | area | a circle around a station, or a rectangle |
//! | cell | one keyword in one area: the unit of work, and one row of the ledger (`crawl_cell`) |
//! | page | one answer of the API, with up to 15 places |
//! | place | one shop or facility, identified by Kakao's id |
//! | match | a place that was found by a keyword (a row of `place_keyword`; `Match` in the code) |
//! | listing | a match that lies within the radius of a station; computed from positions, never taken from a search |
//! | run | one execution of the crawl, and its row in the history (`crawl_run`) |
//! | tick | an instant at which the schedule makes a run due |
//! | outcome | what became of a cell: done, split, failed, or stopped |
//! | batch | the outcomes that one transaction writes |
//! | queue | the pending cells of a run, those with the most expected pages first |
//! | proof | a cell is *complete* if the API demonstrably showed everything it counted in it |
//! | miss | a full search with proof did not return a known match |
//! | canary | one of the first requests of a full run: its answer is known in advance, so it shows whether the API has changed |
//! | drift | a change of the API without an error; what a canary notices of it is a *finding* ([`domain::drift`]) |
//! | fence | the check before every write of a run that no other process has taken over the run ([`store::Fence`]) |
//!
//! # The path of the data
//!
//! ```text
//! scheduler   cron tick or heartbeat -> decide(now, schedule, history) -> start, resume, skip or wait
//!   runner    take the lock -> open or resume the run -> crawl -> close the row, whatever happened
//!     plan    stations x keywords -> cells                     pure
//!     canary  12 requests -> findings -> go on, hold changes back, search around stations, or fail
//!     crawl   cell -> gate -> request -> page -> next page, done, split or failed
//!       |     bounded channel, one outcome per cell
//!     writer  outcomes -> batch -> one transaction             places, listings, cells and counters
//!     review  all cells -> coverage, misses, closings          written with the final status of the run
//! ```
//!
//! 1. [`scheduler`] wakes at each tick of the cron job and every `schedule.heartbeat` (10 s). It reads the history and asks
//!    [`scheduler::decide::decide`].
//! 2. [`runner`] holds the run lock. Opening a run brings stations and keywords in line with the configuration, recomputes
//!    the listings where that is needed, and inserts the run and all its cells in one transaction.
//!    In complete coverage the cells are rectangles. [`crawl::cover`] divides the area where this is expected to need the
//!    fewest requests: from the positions that the last run found, and the churn between the last two runs. A keyword of
//!    which nothing is known starts with the largest rectangles, and these are divided like the places of other keywords.
//!    [`crawl::canary`] then checks, before the first cell, that the API still does what the run relies on.
//! 3. [`crawl`] takes cells from a queue, those with the most expected pages first, so that the last requests wait for no
//!    page delay. Most open cells are in their page delay; a page that is due goes before a new cell. The writer is a task of
//!    its own behind a channel of 64 outcomes, so neither waits for the other and memory does not grow with the crawl. The
//!    sub-rectangles of a divided cell enter the queue when the writer has committed them.
//! 4. The writer commits a batch after 50 cells or 500 ms. Each place is in a statement once, sorted by key; unchanged rows
//!    are not rewritten, except the narrow stamp of `place_keyword`.
//! 5. When no cell is pending, the review decides what the run proves, what was missed, and which of that counts. The result
//!    is written in the transaction that gives the run its final status, which also sends `NOTIFY sanggwond_run`.
//!
//! # Invariants
//!
//! **The ledger.** A cell becomes `done` in the transaction that stores its places, and only if all its pages were read. A
//! split cell and its sub-rectangles are written together. A cell that fails stays `pending` for a second attempt at the end
//! of the run, and becomes `failed` if that fails too. A batch moves only cells that are still where their outcome started
//! (`status = 'pending'`, same `attempts`), and the counters of the run grow by these cells only. Writing a batch twice is
//! therefore the same as writing it once, and a COMMIT whose answer was lost can be repeated.
//!
//! **The lock and the fence.** One process at a time works on a database, under an advisory lock on a connection of its own.
//! The connection is pinged every 2 s and the server ends it after 8 s of silence, so the lock of a lost machine is soon
//! free. Resuming a run increments `resumed_count`. Every write of a run first checks `status` and `resumed_count` (its
//! [`store::Fence`]): a process that has lost its run writes nothing. A run that is `running` while another process holds
//! the lock is dead, and becomes `interrupted`.
//!
//! **The decision.** [`decide`](scheduler::decide::decide) is a pure function of the clock, the schedule, the history, the
//! pauses of the schedule and the windows of the configuration. It compares the ticks of the schedule with the history: a tick without a row is
//! still to be decided. This one rule covers a tick that was missed, a clock that was changed and a process that crashed. If a
//! second daemon has served the tick, the history already shows it as served, so this daemon has nothing to do. An unfinished
//! run comes before a due tick. Only full runs serve ticks;
//! a partial-scope run is resumed by hand. Every tick ends up in the history once, as a run or as `skipped` with a reason.
//! Requests (`run_request`) come after everything that is due. The transaction that inserts a run also answers its request, so
//! each is answered once.
//!
//! **Languages.** Logs, JSON and the database are in English, and so is every text in the code. [`domain::language`] translates a
//! page or a line when it is shown, by one table of sentences: verdicts and reasons come from the database and are therefore
//! read back. Of all ways to read a text as sentences, the one that leaves the least English is taken.
//!
//! **The gate.** Every request passes [`kakao::gate`]: a limit on requests in flight, one adaptive rate, and one pause shared
//! by all. A permit is never held while waiting. 429, 503 and network failures pause everybody and cost a page no attempt.
//! Other broken answers count against their page, until several come in a row: then a search that was answered well before
//! decides whether the page or the API is at fault. The API being down interrupts a run and fails no cell. The requests of
//! the day are reserved in the database before they are sent, so the quota is never undercounted.
//!
//! **Proof of completeness.** A cell is complete only if every page reported the same count, as many different places came as
//! were counted, every document is a place, and every place lies inside the area ([`domain::cell::Evidence`]). A rectangle
//! without proof is read a second time, by distance. A rectangle over the API's 45-result limit is split; what it showed must
//! turn up in its sub-rectangles, or these lose their proof.
//!
//! **Proof of a closing.** A match can be missed only inside an area that its keyword searched with proof in the same run.
//! The guard discards all new misses of a keyword, of a keyword in a region, or of the whole run where they exceed
//! `crawl.max_miss_share`. A match is dropped after `crawl.close_after` (2) consecutive misses. A place that no keyword
//! finds any more is closed only after a search for its name (`crawl::review::confirm`) did not return it. If that search fails
//! or is rejected, the place is closed after twice as many misses (4). A known place that moves more than 2 km or loses its name needs the same confirmation (`crawl::review::doubts`). Nothing is deleted except by `purge`.
//!
//! **Stopping.** The first signal cancels a token: no new request, requests in flight may finish within `shutdown.grace`, what
//! was read is written, the run becomes `interrupted`. A run that a user cancels stops in the same way, wherever its process
//! is: the process finds the request at its next heartbeat (3 s), and the run becomes `cancelled`. A second signal ends the process at once. A panic in a run is caught
//! and recorded in its row; the daemon continues.
//!
//! **Time.** Only [`clock`] reads the time of day, and SQL gets instants as parameters. The clock of the database is asked
//! only to confirm that ours is right before history is corrected or deleted.
//!
//! # Layers
//!
//! A module uses lower layers only, and modules of one layer do not know each other. `tests/daemon/floors.rs` enforces it.
//!
//! | layer | modules | contents |
//! |---|---|---|
//! | 8 | `main` | command line in, exit code out |
//! | 7 | [`commands`] | one file per subcommand |
//! | 6 | [`app`] | builds the parts from the configuration |
//! | 5 | [`scheduler`] | when to run: the cron job, the heartbeat, `decide` |
//! | 4 | [`runner`] | one run, from its lock to its closed row |
//! | 3 | [`crawl`], [`notify`], [`report`] | cells, pages, batches, the review; what operators are told; the page that people read |
//! | 2 | [`kakao`], [`store`], [`stations`] | one outside system each: the API, PostgreSQL, the station file |
//! | 1 | [`config`], [`clock`], [`core_dumps`], [`http_client`], [`observe`], [`shutdown`], [`systemd`], [`telemetry`], [`threads`] | the process itself |
//! | 0 | [`domain`] | types and rules; no I/O, no async |
//!
//! [`standin`], a stand-in for the API, is outside the layers: only `commands` (for `--demo`) and the tests use it, and it uses
//! only `domain`.
//!
//! # Where to make which change
//!
//! | change | place |
//! |---|---|
//! | a setting | `config/default.toml`, [`config`], and [`app`], which passes it on; the steps are in `.github/CONTRIBUTING.md` under "Adding a setting" |
//! | a subcommand | a file in `commands/`, and the enum `Command` in [`commands`] |
//! | a column, a table, a view | a new file in `migrations/`, then [`store`]; `.ci/queries` checks the queries again |
//! | when a run starts or is skipped | `scheduler/decide.rs`, with a case in its table of tests |
//! | an answer of the API | `kakao/wire/` (what it means), `kakao/retry.rs` and `kakao/gate/` (what follows), [`standin`] (the same answer for tests) |
//! | what a canary checks, and what follows | `crawl/canary/judge.rs` (with a case in its tests), `domain/drift.rs`; the drift itself in `standin/drift.rs` |
//! | how rectangles are cut | `crawl/cover/cut.rs` (where), `crawl/cover/requests.rs` (what it costs): pure, with property tests |
//! | when a place counts as closed | `crawl/review/`, `store/misses.rs` |
//! | which stations are the same | `domain/station/` |
//! | the status and reason of a run | `runner/ending.rs` |
//! | what an operator does to runs | `store/pauses.rs`, `store/requests.rs`, `store/runs/cancelling.rs`, and their [`commands`] |
//! | what operators are told, and when | `store/notices.rs` (what is noted), [`notify`] (how it is sent) |
//! | a metric | [`observe`], and the `meters.rs` of `kakao` and `runner` |
//! | the report | [`report`] draws it, `store/report/` reads it |
//! | a sentence for people | where it is said, in English; its Korean in `domain/language/korean.rs`. A test fails if a page has one without |
//! | an export | `commands/export/record.rs` (the columns), one file per kind of format beside it |
//! | the live page | `commands/situation.rs` (what it and `status` say), `report/live.rs` (how it looks), `commands/pages.rs` (when it is made) |

pub mod app;
pub mod clock;
pub mod commands;
pub mod config;
pub mod core_dumps;
pub mod crawl;
pub mod domain;
pub mod http_client;
pub mod kakao;
pub mod notify;
pub mod observe;
pub mod report;
pub mod runner;
pub mod scheduler;
pub mod shutdown;
pub mod standin;
pub mod stations;
pub mod store;
pub mod systemd;
pub mod telemetry;
pub mod threads;
