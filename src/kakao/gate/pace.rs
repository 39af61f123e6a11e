//! The request rate: the configured limit, and a limit that is learned from 429 answers.
//!
//! Kakao does not publish how many requests per second it allows. A 429 means that the current rate is too high, so the
//! pace drops below the rate of good answers in the second before it. From there it rises like TCP's CUBIC (RFC 9438):
//! quickly at first, very slowly near the rate that was too high (the plateau), and ever faster beyond it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The window over which the rate of good answers is measured.
const MEASURED_OVER: Duration = Duration::from_secs(1);

/// The share of the measured rate at which requests resume after a 429.
const RESTART: f64 = 0.9;

/// The plateau as a share of the measured rate.
const PLATEAU: f64 = 0.95;

/// Time from the plateau to twice its rate, in seconds.
const DOUBLING_S: f64 = 40.0;

/// The lowest plateau, in requests per second. A server that allows less keeps answering 429, and each 429 starts a pause.
const SLOWEST: f64 = 0.2;

/// The learned limit is dropped when the rate exceeds the plateau by this factor.
const FORGOTTEN: f64 = 20.0;

/// The interval between requests, and when the next one is due.
#[derive(Debug)]
pub(super) struct Pace {
    /// The minimum interval from the configuration; zero: no limit.
    interval: Duration,
    next: Option<Instant>,
    learned: Option<Learned>,
    /// The times of the good answers within [`MEASURED_OVER`].
    answered: VecDeque<Instant>,
}

/// The limit learned from a 429.
#[derive(Clone, Copy, Debug)]
struct Learned {
    /// Requests per second.
    plateau: f64,
    since: Instant,
}

impl Learned {
    /// Requests per second at an instant.
    fn rate(&self, now: Instant) -> f64 {
        let to_plateau_s = DOUBLING_S * (1.0 - RESTART / PLATEAU).cbrt();
        let growth = ((now - self.since).as_secs_f64() - to_plateau_s) / DOUBLING_S;
        self.plateau * (1.0 + growth.powi(3))
    }
}

impl Pace {
    pub(super) fn new(requests_per_second: Option<f64>) -> Self {
        let interval = requests_per_second.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate));
        Self { interval, next: None, learned: None, answered: VecDeque::new() }
    }

    /// When the next request may be sent; `None`: now.
    pub(super) fn next_slot(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| *next > now)
    }

    /// Takes the slot that is due. A delay is made up by at most one interval, so there are no bursts.
    pub(super) fn take(&mut self, now: Instant) {
        let interval = self.interval_at(now);
        let due = self.next.map_or(now, |next| next.max(now.checked_sub(interval).unwrap_or(now)));
        self.next = (!interval.is_zero()).then(|| due + interval);
    }

    /// Records a good answer.
    pub(super) fn answered(&mut self, now: Instant) {
        self.forget_before(now);
        self.answered.push_back(now);
    }

    /// Records a 429: the pace drops below the measured rate, or to half the plateau if nothing was measured.
    pub(super) fn throttled(&mut self, now: Instant) {
        self.forget_before(now);
        #[expect(clippy::cast_precision_loss, reason = "the answers of a second")]
        let measured = self.answered.len() as f64;
        let half = |learned: Learned| learned.plateau / 2.0;
        let plateau = if measured > 0.0 { measured * PLATEAU } else { self.learned.map_or(SLOWEST, half) };
        // Without a good answer or an earlier plateau there is nothing to derive a rate from; only the pause applies.
        if measured > 0.0 || self.learned.is_some() {
            self.learned = Some(Learned { plateau: plateau.max(SLOWEST), since: now });
        }
    }

    /// The pause after a 429 is over: the rate rises from now on.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(learned) = &mut self.learned {
            learned.since = now;
        }
    }

    /// Requests per second allowed now; 0: no limit.
    pub(super) fn rate(&mut self, now: Instant) -> f64 {
        let interval = self.interval_at(now);
        if interval.is_zero() { 0.0 } else { 1.0 / interval.as_secs_f64() }
    }

    fn interval_at(&mut self, now: Instant) -> Duration {
        let Some(learned) = self.learned else { return self.interval };
        let rate = learned.rate(now);
        if rate > learned.plateau * FORGOTTEN {
            self.learned = None;
            return self.interval;
        }
        self.interval.max(Duration::from_secs_f64(1.0 / rate))
    }

    fn forget_before(&mut self, now: Instant) {
        while self.answered.front().is_some_and(|then| now - *then > MEASURED_OVER) {
            self.answered.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests per second at an instant.
    fn rate(pace: &mut Pace, now: Instant) -> f64 {
        1.0 / pace.interval_at(now).as_secs_f64()
    }

    /// A pace after 20 good answers in a second, and a 429.
    fn throttled(start: Instant) -> (Pace, Instant) {
        let mut pace = Pace::new(None);
        (1..=20).for_each(|tick| pace.answered(start + tick * Duration::from_millis(50)));
        let now = start + MEASURED_OVER;
        pace.throttled(now);
        (pace, now)
    }

    #[test]
    fn after_a_429_the_rate_drops_below_the_measured_one_and_then_rises_slowly() {
        let (mut pace, now) = throttled(Instant::now());
        let mut after = |seconds| rate(&mut pace, now + Duration::from_secs(seconds));

        assert!((17.9..18.1).contains(&after(0)), "{}", after(0));
        assert!((18.9..19.1).contains(&after(15)), "{}", after(15));
        assert!((19.0..20.5).contains(&after(30)), "{}", after(30));
        assert!((37.0..40.0).contains(&after(55)), "{}", after(55));
        assert!(after(600).is_infinite(), "it is forgotten");
    }

    #[test]
    fn the_rate_does_not_rise_during_a_pause() {
        let (mut pace, now) = throttled(Instant::now());
        let later = now + Duration::from_mins(10);

        pace.resume(later);

        assert!((17.9..18.1).contains(&rate(&mut pace, later)));
    }

    #[test]
    fn a_429_before_any_other_answer_does_not_change_the_rate() {
        let mut pace = Pace::new(Some(5.0));
        let now = Instant::now();

        pace.throttled(now);

        assert!((rate(&mut pace, now) - 5.0).abs() < 0.01, "only what is configured counts");
    }

    #[test]
    fn a_second_429_soon_after_the_first_halves_the_rate() {
        let (mut pace, now) = throttled(Instant::now());
        let later = now + Duration::from_secs(5);

        pace.throttled(later);

        assert!((8.9..9.1).contains(&rate(&mut pace, later)), "{}", rate(&mut pace, later));
    }
}
