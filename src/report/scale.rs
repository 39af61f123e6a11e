//! The scale of a chart: its maximum and its grid lines.

/// Steps between grid lines for counts, to be multiplied by a power of ten.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];

/// Steps between grid lines for durations, in seconds; longer durations use multiples of a day.
const DURATIONS: [f64; 18] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0,
    43_200.0, 86_400.0,
];

/// Maximum number of grid lines, without the base line.
const LINES: f64 = 3.0;

/// Values above this multiple of the median are clipped, because otherwise all other bars would be too short.
const CLIP_AT: f64 = 3.0;

/// A scale from zero to its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    /// The maximum.
    pub(super) end: f64,
    /// The values of the grid lines.
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

    /// A value as a share of the scale, from 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        (value / self.end).clamp(0.0, 1.0)
    }

    /// Whether a value exceeds the maximum.
    pub(super) fn is_clipped(&self, value: f64) -> bool {
        value > self.end
    }
}

fn end(values: &[f64]) -> f64 {
    let mut values: Vec<f64> = values.iter().copied().filter(|value| *value > 0.0).collect();
    values.sort_by(f64::total_cmp);
    let (Some(middle), Some(largest)) = (values.get(values.len() / 2), values.last()) else { return 1.0 };
    largest.min(CLIP_AT * middle).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn a_scale_ends_at_the_largest_value_and_has_lines_at_round_values() {
        let counts = Scale::of_counts(&[12_000.0, 12_925.0, 11_000.0]);
        let durations = Scale::of_durations(&[500.0, 700.0, 650.0]);

        assert_eq!(counts, Scale { end: 12_925.0, lines: vec![5_000.0, 10_000.0] });
        assert_eq!(durations, Scale { end: 700.0, lines: vec![300.0, 600.0] });
    }

    #[test]
    fn an_outlier_is_clipped() {
        let scale = Scale::of_durations(&[600.0, 600.0, 610.0, 90_000.0]);

        assert_eq!(format!("{} {}", scale.end, scale.share(90_000.0)), "1830 1");
        assert!(scale.is_clipped(90_000.0) && !scale.is_clipped(610.0));
    }

    #[test]
    fn no_values_and_zeros_have_a_scale() {
        assert_eq!(Scale::of_counts(&[]), Scale { end: 1.0, lines: vec![1.0] });
        assert_eq!(Scale::of_durations(&[0.0]), Scale { end: 1.0, lines: vec![1.0] });
        assert_eq!(Scale::of_durations(&[4e7, 4e7]).lines.len(), 2);
    }
}
