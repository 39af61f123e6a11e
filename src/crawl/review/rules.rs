//! The rules by which the review decides that a place is gone.

/// When a place that was not found counts as gone.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Number of consecutive misses after which a match is dropped.
    pub close_after: u32,
    /// If a larger share of the known places is missed, none of these misses counts.
    pub max_miss_share: f64,
    /// Maximum number of searches by name before closings, per run; 0: places are closed without such a search.
    pub confirm_closings: u32,
    /// Whether the guard is active.
    pub guard: Guard,
}

/// Whether the guard against too many misses is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// Too many misses at once are held back.
    #[default]
    Up,
    /// All misses count, because the user has accepted them (`--accept-closings`).
    Down,
}
