//! How much the places of a keyword change from one run to the next.

/// The number of places that the default counts for besides those that were observed.
const WEIGHT: f64 = 1000.0;

/// The changes of a keyword's places from one run to the next, as shares of their number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Churn {
    /// The places that the next run does not find.
    pub gone: f64,
    /// The places that only the next run finds.
    pub new: f64,
}

impl Default for Churn {
    /// What generated worlds show if 2 % of the places change in a week.
    fn default() -> Self {
        Self { gone: 0.006, new: 0.008 }
    }
}

impl Churn {
    /// The churn that two runs have shown. Where they had few places, it stays close to the default.
    #[must_use]
    pub fn observed(places: u32, gone: u32, new: u32) -> Self {
        let Self { gone: usually_gone, new: usually_new } = Self::default();
        let share = |count: u32, usual: f64| (f64::from(count) + usual * WEIGHT) / (f64::from(places) + WEIGHT);
        Self { gone: share(gone, usually_gone), new: share(new, usually_new) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_places_count_more_than_the_default() {
        assert_eq!(Churn::observed(0, 0, 0), Churn::default());
        let observed = Churn::observed(99_000, 1980, 0);
        assert!((observed.gone - 0.019_86).abs() < 1e-9 && (observed.new - 0.000_08).abs() < 1e-9, "{observed:?}");
    }
}
