//! The cost of requests.

use super::words::grouped;

/// The price of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    won: f64,
}

impl Price {
    /// The highest price in won.
    pub const MAX_WON: f64 = 1000.0;

    /// A price in won; `None` if it is negative, no number, or above [`Price::MAX_WON`].
    #[must_use]
    pub fn new(won: f64) -> Option<Self> {
        (0.0..=Self::MAX_WON).contains(&won).then_some(Self { won })
    }

    /// Whether requests cost nothing.
    #[must_use]
    pub fn is_free(self) -> bool {
        self.won == 0.0
    }

    /// The cost of a number of requests in won.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a run sends fewer requests than a float can count")]
    pub fn won(self, requests: i64) -> f64 {
        self.won * requests as f64
    }

    /// The cost of a number of requests in words, such as `25,846 won`.
    #[must_use]
    pub fn cost(self, requests: i64) -> String {
        format!("{} won", grouped(&format!("{:.0}", self.won(requests))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_the_price_of_all_requests_rounded_to_won() {
        let price = |won| Price::new(won).unwrap();

        assert_eq!(price(2.0).cost(12_923), "25,846 won");
        assert_eq!(price(0.5).cost(3), "2 won");
        assert!(price(0.0).is_free() && !price(0.1).is_free());
        assert_eq!([-1.0, f64::NAN, 1000.5].map(Price::new), [None; 3]);
    }
}
