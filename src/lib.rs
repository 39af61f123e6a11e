//! sanggwond keeps a `PostgreSQL` database of the places around every urban rail station in Korea fresh.
//!
//! The house has floors; a room uses lower floors only, and neighbours on one floor do not know each other:
//!
//! | floor | rooms | what is at home there |
//! |---|---|---|
//! | 8 | `main` | command line in, exit code out |
//! | 7 | [`commands`] | one file per subcommand |
//! | 6 | [`app`] | builds the parts from the configuration |
//! | 5 | [`scheduler`] | when to run: the cron job, the heartbeat, and `decide` |
//! | 4 | [`runner`] | one run, from its lock to its closed row |
//! | 3 | [`crawl`] | cells, pages, batches |
//! | 2 | [`kakao`], [`store`], [`stations`] | one outside system each |
//! | 1 | [`config`], [`clock`], [`observe`], [`shutdown`], [`systemd`], [`telemetry`] | the process itself |
//! | 0 | [`domain`] | types and rules; no I/O, no async |
//!
//! [`standin`], a stand-in of the API, stands beside the house: only `commands` and tests know it, and it knows only
//! `domain`.

pub mod app;
pub mod clock;
pub mod commands;
pub mod config;
pub mod crawl;
pub mod domain;
pub mod kakao;
pub mod observe;
pub mod runner;
pub mod scheduler;
pub mod shutdown;
pub mod standin;
pub mod stations;
pub mod store;
pub mod systemd;
pub mod telemetry;
