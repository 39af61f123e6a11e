//! How fast requests may follow each other: as configured, and as learned from the answers.
//!
//! Kakao does not publish how many requests a second it allows. A 429 tells that the rate just now was too high, so the
//! pace drops below what was answered well in the second before it. From there it rises as TCP's CUBIC does (RFC 9438):
//! quickly at first, hardly at all near the rate that was too much, and faster and faster once that is left behind.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Over how long the rate of good answers is measured.
const MEASURED_OVER: Duration = Duration::from_secs(1);

/// The share of the measured rate with which it goes on after a 429.
const RESTART: f64 = 0.9;

/// The share of the measured rate near which the pace stays longest.
const PLATEAU: f64 = 0.95;

/// How long it takes from the plateau to twice its rate, in seconds.
const DOUBLING_S: f64 = 40.0;

/// The slowest pace, in requests per second: a server that wants less says so with every answer, and is given pauses.
const SLOWEST: f64 = 0.2;

/// So many times the plateau is as good as no limit.
const FORGOTTEN: f64 = 20.0;

/// The time between two requests, and when the next one is due.
#[derive(Debug)]
pub(super) struct Pace {
    /// The least time that the configuration wants.
    interval: Duration,
    next: Option<Instant>,
    learned: Option<Learned>,
    /// When the good answers of the last second came.
    answered: VecDeque<Instant>,
}

/// What a 429 taught.
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

    /// When the next request may go, unless that is now.
    pub(super) fn next_slot(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| *next > now)
    }

    /// Takes the slot that is due. A late start is caught up by at most one interval, so there are no bursts.
    pub(super) fn take(&mut self, now: Instant) {
        let interval = self.interval_at(now);
        let due = self.next.map_or(now, |next| next.max(now.checked_sub(interval).unwrap_or(now)));
        self.next = (!interval.is_zero()).then(|| due + interval);
    }

    /// A request was answered well.
    pub(super) fn answered(&mut self, now: Instant) {
        self.forget_before(now);
        self.answered.push_back(now);
    }

    /// The API wants fewer requests: the pace drops below what it took until now.
    pub(super) fn throttled(&mut self, now: Instant) {
        self.forget_before(now);
        #[expect(clippy::cast_precision_loss, reason = "the answers of a second")]
        let measured = self.answered.len() as f64;
        let half = |learned: Learned| learned.plateau / 2.0;
        let plateau = if measured > 0.0 { measured * PLATEAU } else { self.learned.map_or(SLOWEST, half) };
        // Without any good answer nothing is learned but that it is too early to ask.
        if measured > 0.0 || self.learned.is_some() {
            self.learned = Some(Learned { plateau: plateau.max(SLOWEST), since: now });
        }
    }

    /// The pause after a 429 is over: the time to rise begins.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(learned) = &mut self.learned {
            learned.since = now;
        }
    }

    /// Requests per second that it allows now; 0: as many as are answered.
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

    /// Requests per second at the pace of an instant.
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
    fn a_429_drops_the_pace_below_the_measured_rate_and_then_it_creeps_up() {
        let (mut pace, now) = throttled(Instant::now());
        let mut after = |seconds| rate(&mut pace, now + Duration::from_secs(seconds));

        assert!((17.9..18.1).contains(&after(0)), "{}", after(0));
        assert!((18.9..19.1).contains(&after(15)), "{}", after(15));
        assert!((19.0..20.5).contains(&after(30)), "{}", after(30));
        assert!((37.0..40.0).contains(&after(55)), "{}", after(55));
        assert!(after(600).is_infinite(), "it is forgotten");
    }

    #[test]
    fn the_time_of_the_pause_does_not_count_as_undisturbed() {
        let (mut pace, now) = throttled(Instant::now());
        let later = now + Duration::from_mins(10);

        pace.resume(later);

        assert!((17.9..18.1).contains(&rate(&mut pace, later)));
    }

    #[test]
    fn a_first_answer_of_429_teaches_no_rate() {
        let mut pace = Pace::new(Some(5.0));
        let now = Instant::now();

        pace.throttled(now);

        assert!((rate(&mut pace, now) - 5.0).abs() < 0.01, "only what is configured counts");
    }

    #[test]
    fn throttled_again_at_once_the_pace_halves() {
        let (mut pace, now) = throttled(Instant::now());
        let later = now + Duration::from_secs(5);

        pace.throttled(later);

        assert!((8.9..9.1).contains(&rate(&mut pace, later)), "{}", rate(&mut pace, later));
    }
}
