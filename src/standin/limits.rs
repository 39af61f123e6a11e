//! Decides for each request whether it is answered, rejected, or fails with a fault.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::chance::Chance;
use super::refusal::Refusal;
use super::switches::{Fault, Switches};

/// The decision about a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It gets the correct response.
    LetIn,
    /// It is rejected with an error of the API.
    Refused(Refusal),
    /// It fails with a fault that the client did not cause.
    Fault(Fault),
}

impl Verdict {
    /// Whether the response is that a limit was exceeded.
    pub(super) fn is_throttled(&self) -> bool {
        match self {
            Self::LetIn => false,
            Self::Refused(refusal) => matches!(refusal, Refusal::Throttled | Refusal::QuotaCode),
            Self::Fault(fault) => {
                matches!(fault, Fault::Throttled { .. } | Fault::Status(429, _) | Fault::Reply { status: 429, .. })
            }
        }
    }
}

/// The data of a request that the decision depends on.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    /// The `Authorization` header.
    pub(super) authorization: Option<&'a str>,
    /// The keyword.
    pub(super) query: Option<&'a str>,
    /// The number of requests in flight, including this one.
    pub(super) in_flight: usize,
}

/// The state of the limits.
#[derive(Debug, Default)]
pub(super) struct Limits {
    script: VecDeque<Fault>,
    /// The instants at which the requests of the last second were accepted.
    second: VecDeque<Instant>,
    spent: u64,
    drawn: u64,
}

impl Limits {
    /// Makes the next requests fail with these faults.
    pub(super) fn script(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.script.extend(faults);
    }

    /// Resets the daily quota.
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
    fn no_more_requests_than_the_limit_are_accepted_in_any_second() {
        let switches = Switches { per_second: Some(2), ..Switches::default() };
        let (mut limits, start) = (Limits::default(), Instant::now());
        let mut judge = |after_ms| limits.judge(&switches, &CANDIDATE, start + Duration::from_millis(after_ms));

        let verdicts = [0, 600, 999, 1000, 1599, 1600].map(|after_ms| judge(after_ms) == Verdict::LetIn);

        assert_eq!(verdicts, [true, true, false, true, false, true]);
    }

    #[test]
    fn an_exhausted_quota_is_reset_on_a_new_day() {
        let switches = Switches { daily_quota: Some(1), quota_as_code: true, ..Switches::default() };
        let (mut limits, now) = (Limits::default(), Instant::now());

        assert_eq!(limits.judge(&switches, &CANDIDATE, now), Verdict::LetIn);
        assert_eq!(limits.judge(&switches, &CANDIDATE, now), Verdict::Refused(Refusal::QuotaCode));
        limits.new_day();
        assert_eq!(limits.judge(&switches, &CANDIDATE, now), Verdict::LetIn);
    }

    #[test]
    fn scripted_faults_come_first_and_occur_once() {
        let switches = Switches { is_disabled: true, ..Switches::default() };
        let (mut limits, now) = (Limits::default(), Instant::now());
        limits.script([Fault::Empty, Fault::Drop]);

        assert_eq!(limits.judge(&switches, &CANDIDATE, now), Verdict::Fault(Fault::Empty));
        assert_eq!(limits.judge(&switches, &CANDIDATE, now), Verdict::Fault(Fault::Drop));
        assert_eq!(limits.judge(&switches, &CANDIDATE, now), Verdict::Refused(Refusal::Disabled));
    }

    #[test]
    fn fault_share_makes_the_same_share_of_requests_fail_each_time() {
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
    fn a_fault_can_be_limited_to_a_keyword() {
        let switches = Switches { faults_for: vec![("호프".to_owned(), Fault::HtmlOk)], ..Switches::default() };
        let (mut limits, now) = (Limits::default(), Instant::now());
        let hof = Candidate { query: Some("호프"), ..CANDIDATE };

        assert_eq!(limits.judge(&switches, &hof, now), Verdict::Fault(Fault::HtmlOk));
        assert_eq!(limits.judge(&switches, &CANDIDATE, now), Verdict::LetIn);
    }
}
