//! Decides for each request, as it arrives, whether it is let in and what goes wrong with it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::Refusal;
use super::chance::Chance;
use super::switches::{Fault, Switches};

/// What a request meets.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// The right answer.
    LetIn,
    /// An answer that says why not.
    Refused(Refusal),
    /// Something that the client has not deserved.
    Fault(Fault),
}

impl Verdict {
    /// Whether it says that a limit is exceeded.
    pub(super) fn is_throttled(&self) -> bool {
        match self {
            Self::LetIn => false,
            Self::Refused(refusal) => matches!(refusal, Refusal::Throttled | Refusal::QuotaCode),
            Self::Fault(fault) => matches!(fault, Fault::Throttled { .. } | Fault::Status(429, _)),
        }
    }
}

/// A request as far as limits and faults care.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    /// The `Authorization` header.
    pub(super) authorization: Option<&'a str>,
    /// The keyword.
    pub(super) query: Option<&'a str>,
    /// How many are in flight with it.
    pub(super) in_flight: usize,
}

/// What the limits remember.
#[derive(Debug, Default)]
pub(super) struct Limits {
    script: VecDeque<Fault>,
    /// When the requests of the last second were let in.
    second: VecDeque<Instant>,
    spent: u64,
    drawn: u64,
}

impl Limits {
    /// Lets the next requests meet these faults.
    pub(super) fn script(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.script.extend(faults);
    }

    /// Gives the day's quota back.
    pub(super) fn new_day(&mut self) {
        self.spent = 0;
    }

    /// Decides about one request.
    pub(super) fn judge(&mut self, switches: &Switches, candidate: &Candidate<'_>, now: Instant) -> Verdict {
        if let Some(fault) = self.script.pop_front() {
            return Verdict::Fault(fault);
        }
        let refusal = key_refusal(switches, candidate.authorization);
        if let Some(refusal) = refusal.or_else(|| self.limit_refusal(switches, candidate.in_flight, now)) {
            return Verdict::Refused(refusal);
        }
        match fault_for(switches, candidate.query).or_else(|| self.draw(switches)) {
            Some(fault) => Verdict::Fault(fault),
            None => Verdict::LetIn,
        }
    }

    fn limit_refusal(&mut self, switches: &Switches, in_flight: usize, now: Instant) -> Option<Refusal> {
        if switches.max_in_flight.is_some_and(|most| in_flight > most) {
            return Some(Refusal::Throttled);
        }
        if switches.daily_quota.is_some_and(|quota| self.spent >= quota) {
            return Some(if switches.quota_as_code { Refusal::QuotaCode } else { Refusal::Throttled });
        }
        if let Some(most) = switches.per_second {
            self.second.retain(|instant| now.duration_since(*instant) < Duration::from_secs(1));
            if self.second.len() >= most as usize {
                return Some(Refusal::Throttled);
            }
            self.second.push_back(now);
        }
        self.spent += 1;
        None
    }

    fn draw(&mut self, switches: &Switches) -> Option<Fault> {
        let kinds = u32::try_from(switches.fault_kinds.len()).ok().filter(|kinds| *kinds > 0)?;
        self.drawn += 1;
        let mut chance = Chance::of(&[self.drawn]);
        let is_hit = chance.happens(switches.fault_share);
        is_hit.then(|| switches.fault_kinds[chance.below(kinds) as usize].clone())
    }
}

fn key_refusal(switches: &Switches, authorization: Option<&str>) -> Option<Refusal> {
    let Some(key) = authorization.and_then(|header| header.strip_prefix("KakaoAK ")) else {
        return Some(Refusal::NoKey);
    };
    if switches.api_key.as_deref().is_some_and(|known| known != key) {
        return Some(Refusal::UnknownKey(key.to_owned()));
    }
    switches.is_disabled.then_some(Refusal::Disabled)
}

fn fault_for(switches: &Switches, query: Option<&str>) -> Option<Fault> {
    let (_, fault) = switches.faults_for.iter().find(|(keyword, _)| Some(keyword.as_str()) == query)?;
    Some(fault.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANDIDATE: Candidate<'static> =
        Candidate { authorization: Some("KakaoAK abc"), query: Some("카페"), in_flight: 1 };

    #[test]
    fn no_second_lets_in_more_than_the_limit() {
        let switches = Switches { per_second: Some(2), ..Switches::default() };
        let (mut limits, start) = (Limits::default(), Instant::now());
        let mut judge = |after_ms| limits.judge(&switches, &CANDIDATE, start + Duration::from_millis(after_ms));

        let verdicts = [0, 600, 999, 1000, 1599, 1600].map(|after_ms| judge(after_ms) == Verdict::LetIn);

        assert_eq!(verdicts, [true, true, false, true, false, true]);
    }

    #[test]
    fn a_spent_quota_comes_back_with_the_day() {
        let switches = Switches { daily_quota: Some(1), quota_as_code: true, ..Switches::default() };
        let (mut limits, now) = (Limits::default(), Instant::now());

        assert_eq!(limits.judge(&switches, &CANDIDATE, now), Verdict::LetIn);
        assert_eq!(limits.judge(&switches, &CANDIDATE, now), Verdict::Refused(Refusal::QuotaCode));
        limits.new_day();
        assert_eq!(limits.judge(&switches, &CANDIDATE, now), Verdict::LetIn);
    }

    #[test]
    fn scripted_faults_come_first_and_once() {
        let switches = Switches { is_disabled: true, ..Switches::default() };
        let (mut limits, now) = (Limits::default(), Instant::now());
        limits.script([Fault::Empty, Fault::Drop]);

        assert_eq!(limits.judge(&switches, &CANDIDATE, now), Verdict::Fault(Fault::Empty));
        assert_eq!(limits.judge(&switches, &CANDIDATE, now), Verdict::Fault(Fault::Drop));
        assert_eq!(limits.judge(&switches, &CANDIDATE, now), Verdict::Refused(Refusal::Disabled));
    }

    #[test]
    fn a_share_of_the_requests_meets_faults_the_same_ones_each_time() {
        let switches = Switches { fault_share: 0.1, ..Switches::default() };
        let judge_all = || {
            let mut limits = Limits::default();
            (0..1000).map(|_| limits.judge(&switches, &CANDIDATE, Instant::now())).collect::<Vec<_>>()
        };

        let verdicts = judge_all();

        let faults = verdicts.iter().filter(|verdict| **verdict != Verdict::LetIn).count();
        assert!((70..130).contains(&faults), "{faults}");
        assert_eq!(judge_all(), verdicts);
    }

    #[test]
    fn a_keyword_can_have_a_fault_of_its_own() {
        let switches = Switches { faults_for: vec![("호프".to_owned(), Fault::HtmlOk)], ..Switches::default() };
        let (mut limits, now) = (Limits::default(), Instant::now());
        let hof = Candidate { query: Some("호프"), ..CANDIDATE };

        assert_eq!(limits.judge(&switches, &hof, now), Verdict::Fault(Fault::HtmlOk));
        assert_eq!(limits.judge(&switches, &CANDIDATE, now), Verdict::LetIn);
    }
}
