//! Drift: where the API no longer does what a run relies on, and what follows from that.

use serde::{Deserialize, Serialize};

/// What the first requests of a run (the canaries) found, in the form of `crawl_run.canaries`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canaries {
    /// Number of requests, including those of earlier attempts that were interrupted.
    pub requests: u32,
    /// Where the API differs from what the run relies on.
    pub findings: Vec<Finding>,
    /// Whether all of them were sent. A run that is interrupted before that sends them again when it is resumed.
    pub is_finished: bool,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// What follows for the run.
    pub consequence: Consequence,
    /// What was found, as a sentence.
    pub text: String,
}

/// What a canary checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The API answers at all.
    Answer,
    /// Documents have the 12 fields, as text.
    Fields,
    /// The distance from the centre is returned, in metres.
    Distance,
    /// A circle bounds the result.
    Radius,
    /// A rectangle, as west, south, east, north, bounds the result.
    Rect,
    /// A later page shows other places.
    Pages,
    /// The same search has the same count.
    Count,
    /// `sort=distance` sorts by distance.
    Sort,
    /// A parameter that the API does not know changes nothing.
    Parameter,
    /// The API shows at most 45 results.
    Limit,
    /// Known places come back, and not many more than are known.
    Known,
    /// Known places have their ids, and are found by name.
    Names,
}

/// What follows from a finding, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consequence {
    /// It is only recorded.
    Warning,
    /// No place counts as missing.
    NoClosings,
    /// No place counts as missing, and no new match is stored.
    NoOpenings,
    /// The run searches around the stations instead of in rectangles.
    ByStation,
    /// The run fails before its first cell.
    NoRun,
}

impl Consequence {
    /// What the run did because of it; `None` for a warning, and for a run that did nothing.
    fn done(self) -> Option<&'static str> {
        match self {
            Self::Warning | Self::NoRun => None,
            Self::NoClosings => Some("no place was counted as missing"),
            Self::NoOpenings => Some("no place was opened or counted as missing"),
            Self::ByStation => Some("this run searched around the stations instead"),
        }
    }
}

impl Finding {
    /// Whether it only says that many known places are missing.
    #[must_use]
    pub fn is_about_missing_places(&self) -> bool {
        matches!(self.check, Check::Known | Check::Names) && self.consequence == Consequence::NoClosings
    }
}

impl Canaries {
    /// The same, where findings that a user has accepted are only recorded.
    #[must_use]
    pub fn accepting(mut self, is_accepted: impl Fn(&Finding) -> bool) -> Self {
        for finding in &mut self.findings {
            if is_accepted(finding) {
                finding.consequence = Consequence::Warning;
            }
        }
        self
    }

    /// Why the run must not begin; `None` if it may.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let texts: Vec<&str> = self.with(Consequence::NoRun).map(|finding| finding.text.as_str()).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    /// Whether the run searches around the stations instead of in rectangles.
    #[must_use]
    pub fn are_rectangles_useless(&self) -> bool {
        self.with(Consequence::ByStation).next().is_some()
    }

    /// Whether no place counts as missing.
    #[must_use]
    pub fn hold_closings(&self) -> bool {
        [Consequence::NoClosings, Consequence::NoOpenings].iter().any(|held| self.with(*held).next().is_some())
    }

    /// Why the run is partial, as sentences.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let reason = |finding: &Finding| Some(format!("{} ({})", finding.text, finding.consequence.done()?));
        self.findings.iter().filter_map(reason).collect()
    }

    /// What is only recorded, as sentences.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.with(Consequence::Warning).map(|finding| finding.text.as_str())
    }

    fn with(&self, consequence: Consequence) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.consequence == consequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(consequences: &[Consequence]) -> Canaries {
        let finding = |consequence: &Consequence| Finding {
            check: Check::Rect,
            consequence: *consequence,
            text: format!("{consequence:?}"),
        };
        Canaries { requests: 12, findings: consequences.iter().map(finding).collect(), is_finished: true }
    }

    #[test]
    fn a_warning_has_no_consequence_and_the_others_have_their_own() {
        use Consequence::{ByStation, NoClosings, NoOpenings, NoRun, Warning};
        let of = |consequences: &[Consequence]| {
            let canaries = found(consequences);
            (canaries.refusal(), canaries.are_rectangles_useless(), canaries.hold_closings(), canaries.reasons().len())
        };

        assert_eq!(of(&[]), (None, false, false, 0));
        assert_eq!(of(&[Warning]), (None, false, false, 0));
        assert_eq!(of(&[NoClosings]), (None, false, true, 1));
        assert_eq!(of(&[NoOpenings, Warning]), (None, false, true, 1));
        assert_eq!(of(&[ByStation, NoClosings]), (None, true, true, 2));
        assert_eq!(of(&[NoRun, NoRun]), (Some("NoRun; NoRun".to_owned()), false, false, 0));
    }

    #[test]
    fn findings_are_read_back_from_their_json() {
        let canaries = found(&[Consequence::NoOpenings]);

        let json = serde_json::to_value(&canaries).unwrap();

        assert_eq!(json["findings"][0]["consequence"], "no_openings", "Batch and the migrations know this word");
        assert_eq!(serde_json::from_value::<Canaries>(json).unwrap(), canaries);
    }
}
