//! The domain types and their rules.
//!
//! Everything here is a pure function of its arguments: no I/O, no waiting, no access to the clock.

pub mod cell;
pub mod churn;
pub mod drift;
pub mod duration;
pub mod geo;
mod grid;
pub mod inventory;
pub mod keyword;
pub mod language;
pub mod notice;
pub mod pause;
pub mod place;
pub mod price;
pub mod quota;
pub mod run;
pub mod schedule;
pub mod schedule_pause;
pub mod station;
pub mod text;
pub mod time_spent;
pub mod words;
