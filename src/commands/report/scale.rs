//! The scale of a drawing: where it ends, and which lines are drawn across it.

/// Steps between lines, of counts; a power of ten goes with them.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];

/// Steps between lines, of seconds: up to two days.
const DURATIONS: [f64; 18] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0,
    43_200.0, 86_400.0,
];

/// So many lines at most, besides the ground line.
const LINES: f64 = 3.0;

/// What is so many times the usual value would press everything else to the ground: it is cut.
const CUT_AT: f64 = 3.0;

/// A scale from nothing to its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    /// The value at its end.
    pub(super) end: f64,
    /// The values at which lines are drawn.
    pub(super) lines: Vec<f64>,
}

impl Scale {
    /// The scale of durations in seconds.
    pub(super) fn of_durations(values: &[f64]) -> Self {
        let end = end(values);
        let step = DURATIONS.into_iter().find(|step| end / step <= LINES);
        Self::with(end, step.unwrap_or_else(|| (end / LINES / 86_400.0).ceil() * 86_400.0))
    }

    /// The scale of counts.
    pub(super) fn of_counts(values: &[f64]) -> Self {
        let end = end(values);
        let powers = (0..16).map(|power| 10_f64.powi(power));
        let step = powers.flat_map(|power| STEPS.map(|step| step * power)).find(|step| end / step <= LINES);
        Self::with(end, step.unwrap_or(end))
    }

    fn with(end: f64, step: f64) -> Self {
        let lines = std::iter::successors(Some(step), |line| Some(line + step)).take_while(|line| *line <= end);
        Self { end, lines: lines.collect() }
    }

    /// The share of the scale that a value takes.
    pub(super) fn share(&self, value: f64) -> f64 {
        (value / self.end).clamp(0.0, 1.0)
    }

    /// Whether a value goes beyond the end.
    pub(super) fn is_cut(&self, value: f64) -> bool {
        value > self.end
    }
}

fn end(values: &[f64]) -> f64 {
    let mut values: Vec<f64> = values.iter().copied().filter(|value| *value > 0.0).collect();
    values.sort_by(f64::total_cmp);
    let (Some(middle), Some(largest)) = (values.get(values.len() / 2), values.last()) else { return 1.0 };
    largest.min(CUT_AT * middle).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn it_ends_at_the_largest_value_with_lines_at_round_ones() {
        let counts = Scale::of_counts(&[12_000.0, 12_925.0, 11_000.0]);
        let durations = Scale::of_durations(&[500.0, 700.0, 650.0]);

        assert_eq!(counts, Scale { end: 12_925.0, lines: vec![5_000.0, 10_000.0] });
        assert_eq!(durations, Scale { end: 700.0, lines: vec![300.0, 600.0] });
    }

    #[test]
    fn one_that_is_far_out_is_cut() {
        let scale = Scale::of_durations(&[600.0, 600.0, 610.0, 90_000.0]);

        assert_eq!(format!("{} {}", scale.end, scale.share(90_000.0)), "1830 1");
        assert!(scale.is_cut(90_000.0) && !scale.is_cut(610.0));
    }

    #[test]
    fn nothing_has_a_scale_too() {
        assert_eq!(Scale::of_counts(&[]), Scale { end: 1.0, lines: vec![1.0] });
        assert_eq!(Scale::of_durations(&[0.0]), Scale { end: 1.0, lines: vec![1.0] });
        assert_eq!(Scale::of_durations(&[4e7, 4e7]).lines.len(), 2);
    }
}
