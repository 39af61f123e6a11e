//! Renders the report as one HTML page. This module does no input or output.

mod chart;
mod element;
mod headline;
mod live;
mod map;
mod marks;
mod page;
mod scale;
mod sections;
mod table;
mod words;

pub use live::{Live, Progress, live, unavailable};
pub use page::{Origin, page};

#[cfg(test)]
mod tests;
