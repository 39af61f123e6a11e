//! The words of the house as types, and the rules that hold between them.
//!
//! Nothing here waits, reads a clock or talks to the outside: every rule is a function of its arguments.

pub mod cell;
pub mod geo;
pub mod keyword;
pub mod place;
pub mod run;
pub mod schedule;
pub mod station;
