//! The expected number of requests for places whose number may have changed.
//!
//! A page has 15 places, and the API shows 45. If nothing changed, rectangles with 15, 30 or 45 places would be the best: full
//! pages only. But if one place opens there, the first page is wasted and the rectangle is divided. For the default churn, this
//! is the expected number of requests `E[n]` for a rectangle that is planned with n places, and the same per full page
//! (`15 E[n] / n`):
//!
//! ```text
//!   n       14    15    16    29    30    31    43    44    45
//!   E[n]   1.01  1.10  1.92  2.02  2.18  2.86  3.01  3.08  3.48
//!   page   1.08  1.10  1.80  1.04  1.09  1.39  1.05  1.05  1.16
//! ```
//!
//! So the best rectangles have 29 or 43 places. One with 44 stays whole, because 15 + 29 cost more. `least[n]` is the smallest sum of `E` over rectangles that have n places in
//! total, for example `least[72] = E[29] + E[43]`.

use crate::domain::cell::PAGE_SIZE;
use crate::domain::churn::Churn;

/// Maximum number of places that the API shows of a rectangle.
const MOST: u32 = 45;

/// Number of places up to which `least` is a table. Beyond it, every place costs the same.
const TABLE: u32 = 3000;

/// How little an estimated number of places varies beyond chance: the dispersion parameter of a negative binomial distribution.
/// The value was the best of 5, 10, 15 and 30 in generated worlds.
const DISPERSION: f64 = 30.0;

/// The expected numbers of requests for the rectangles of a keyword.
#[derive(Clone, Debug)]
pub struct Requests {
    /// `E`: for one rectangle planned with this number of places.
    one: Vec<f64>,
    /// The least sum of `E` over rectangles with this number of places in total.
    least: Vec<f64>,
}

impl Requests {
    /// For places that the last run found.
    #[must_use]
    pub fn after(churn: Churn) -> Self {
        Self::expected(|planned| with_new(&remaining(planned, churn.gone), f64::from(planned) * churn.new))
    }

    /// For an estimated number of places.
    #[must_use]
    pub fn of_estimate() -> Self {
        Self::expected(|planned| negative_binomial(f64::from(planned), DISPERSION))
    }

    /// `found(n)[m]` is the probability that a rectangle planned with n places has m.
    fn expected(found: impl Fn(u32) -> Vec<f64>) -> Self {
        let mean = |planned| found(planned).iter().zip(0..).map(|(share, count)| share * requests(count)).sum();
        let one: Vec<f64> = (0..=MOST).map(mean).collect();
        let mut least = vec![one[0]];
        for total in 1..=TABLE as usize {
            let with =
                |(places, cost): (usize, &f64)| if places < total { cost + least[total - places] } else { *cost };
            least.push(one.iter().enumerate().take(total + 1).skip(1).map(with).fold(f64::INFINITY, f64::min));
        }
        Self { one, least }
    }

    /// For one rectangle planned with this number of places; infinite if the API would not show all of them.
    pub(super) fn one(&self, places: f64) -> f64 {
        if places > f64::from(MOST) { f64::INFINITY } else { at(&self.one, places) }
    }

    /// For the best rectangles with this number of places in total.
    #[must_use]
    pub fn least(&self, places: f64) -> f64 {
        let most = f64::from(TABLE);
        at(&self.least, places.min(most)) + (places - most).max(0.0) * at(&self.least, most) / most
    }
}

/// The value of a table at a number that need not be whole.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the caller has limited it to the table")]
fn at(table: &[f64], number: f64) -> f64 {
    // Not floor() and ceil(): they are slow where the processor need not have an instruction for them.
    let whole = number as u32;
    let (low, rest) = (table[whole as usize], number - f64::from(whole));
    if rest > 0.0 { low + (table[whole as usize + 1] - low) * rest } else { low }
}

/// The requests for a rectangle with this number of places. If it must be divided, its first page is wasted.
fn requests(places: u32) -> f64 {
    let pages = f64::from(places.div_ceil(PAGE_SIZE).max(1));
    if places > MOST { 1.0 + pages } else { pages }
}

/// The probabilities that 0, 1, 2 … of the planned places remain if each is gone with this probability.
fn remaining(planned: u32, gone: f64) -> Vec<f64> {
    (0..planned).fold(vec![1.0], |before, _| {
        let mut after = vec![0.0; before.len() + 1];
        for (remaining, share) in before.iter().enumerate() {
            after[remaining] += share * gone;
            after[remaining + 1] += share * (1.0 - gone);
        }
        after
    })
}

/// The probabilities of these numbers together with new places (Poisson distribution).
fn with_new(remaining: &[f64], mean: f64) -> Vec<f64> {
    /// More new places than this in one rectangle are too rare to matter.
    const MOST_NEW: u32 = 30;
    let mut found = vec![0.0; remaining.len() + MOST_NEW as usize];
    let mut probability = (-mean).exp();
    for new in 0..MOST_NEW {
        for (count, share) in remaining.iter().enumerate() {
            found[count + new as usize] += share * probability;
        }
        probability *= mean / f64::from(new + 1);
    }
    found
}

/// The probabilities of 0, 1, 2 … for a number with this mean and the variance `mean + mean² ÷ dispersion`.
fn negative_binomial(mean: f64, dispersion: f64) -> Vec<f64> {
    let ratio = mean / (mean + dispersion);
    let next = |(count, probability): &(f64, f64)| {
        Some((count + 1.0, probability * ratio * (count + dispersion) / (count + 1.0)))
    };
    std::iter::successors(Some((0.0, (1.0 - ratio).powf(dispersion))), next)
        .take(200)
        .map(|(_, probability)| probability)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up_to_one_and_keep_the_mean() {
        for (found, mean) in [
            (with_new(&remaining(40, 0.1), 8.0), 44.0),
            (negative_binomial(45.0, DISPERSION), 45.0),
            (negative_binomial(0.0, DISPERSION), 0.0),
        ] {
            assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-6);
            let sum: f64 = found.iter().zip(0_u32..).map(|(share, count)| share * f64::from(count)).sum();
            assert!((sum - mean).abs() < 1e-3, "{sum}");
        }
    }

    #[test]
    fn without_churn_the_best_rectangles_are_full() {
        let requests = Requests::after(Churn { gone: 0.0, new: 0.0 });

        assert_eq!([0.0, 15.0, 16.0, 45.0].map(|places| requests.one(places).to_string()), ["1", "1", "2", "3"]);
        assert_eq!([45.0, 46.0, 100.0].map(|places| requests.least(places).to_string()), ["3", "4", "7"]);
        assert!(requests.one(46.0).is_infinite());
    }

    #[test]
    fn the_more_places_change_the_fewer_are_planned_for_a_rectangle() {
        let best = |requests: &Requests| {
            let per_place = |places: &u32| requests.one(f64::from(*places)) / f64::from(*places);
            (1..=MOST).min_by(|a, b| per_place(a).total_cmp(&per_place(b))).unwrap()
        };
        let after = |share: f64| best(&Requests::after(Churn { gone: share, new: share }));

        assert_eq!([0.0, 0.005, 0.02].map(after), [15, 44, 43]);
        assert!((30..40).contains(&best(&Requests::of_estimate())), "{}", best(&Requests::of_estimate()));
    }
}
