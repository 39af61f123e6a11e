//! Reads one cell page by page, and decides whether it is done or must be divided.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::divisions::Divisions;
use super::memory::Share;
use super::searches::Searches;
use crate::domain::cell::{Cell, CellArea, Ending, Evidence, Outcome, Rejected, Shown, Sort, Step, Traffic, next_step};
use crate::domain::geo::{Area, Rect};
use crate::domain::keyword::CATEGORY_GROUP_CODES;
use crate::domain::place::Place;
use crate::kakao::{Error, Search};

/// Reads cells. All cells of a run share it.
pub(super) struct Reader<'a> {
    pub(super) api: &'a Api,
    pub(super) searches: &'a Searches,
    pub(super) divisions: &'a Divisions<'a>,
    pub(super) page_delay: Duration,
    /// Cancelled when no more requests are sent.
    pub(super) halt: CancellationToken,
}

impl Reader<'_> {
    /// Reads a cell. Returns its outcome, and the error if it could not be read.
    ///
    /// `beginning` is released when the first page has arrived.
    pub(super) async fn read(
        &self,
        cell: Cell,
        beginning: OwnedSemaphorePermit,
        share: &mut Share,
    ) -> (Outcome, Option<Error>) {
        let mut reading = Reading { reader: self, share, beginning: Some(beginning), traffic: Traffic::default() };
        let read = reading.cell(cell).await;
        let traffic = reading.traffic;
        match read {
            Ok((ending, evidence)) => {
                let (places, rejected) = evidence.into_places();
                (Outcome { cell, ending, traffic, rejected, places }, None)
            }
            // Places are stored only if the cell was read completely; otherwise they are fetched again.
            Err(error) => {
                let ending = match &error {
                    Error::Cell(why) | Error::Invalid(why) => Ending::Failed(why.clone()),
                    Error::Stopped
                    | Error::KeyRefused(_)
                    | Error::QuotaSpent(_)
                    | Error::AllowanceSpent(_)
                    | Error::Away { .. }
                    | Error::Allowance(_) => Ending::Stopped,
                };
                (Outcome { cell, ending, traffic, rejected: Rejected::default(), places: Vec::new() }, Some(error))
            }
        }
    }
}

/// The reading of one cell.
struct Reading<'a> {
    reader: &'a Reader<'a>,
    share: &'a mut Share,
    beginning: Option<OwnedSemaphorePermit>,
    traffic: Traffic,
}

impl Reading<'_> {
    async fn cell(&mut self, cell: Cell) -> Result<(Ending, Evidence), Error> {
        let gone = || Error::Cell("its station or keyword is no longer stored".to_owned());
        let search = self.reader.searches.of(cell).ok_or_else(gone)?;
        match cell.area {
            CellArea::Around(_) => {
                let evidence = self.pages(search).await?;
                Ok((done(&evidence), evidence))
            }
            CellArea::Within(rect) => self.rect(cell, search, rect).await,
        }
    }

    /// Reads a rectangle. If the result is doubtful or incomplete, it is read once more; if it is truncated, it is divided.
    async fn rect(&mut self, cell: Cell, search: Search<'_>, rect: Rect) -> Result<(Ending, Evidence), Error> {
        let divisions = self.reader.divisions;
        let mut learned = 0;
        let mut learn = |evidence: &Evidence| {
            if !evidence.is_truncated() {
                divisions.learn(cell.keyword, &evidence.places()[learned..]);
                learned = evidence.places().len();
            }
            evidence.is_truncated()
        };
        let mut evidence = self.pages_until(search, &mut learn).await?;
        // It is not asked after the last page.
        learn(&evidence);
        // Rejected documents are no reason to read again: they would be rejected in the other order, too.
        if evidence.is_doubtful() || (!evidence.is_truncated() && !evidence.is_whole()) {
            self.pause().await?;
            evidence.join(self.pages(Search { sort: Sort::Distance, ..search }).await?);
            self.share.keep(evidence.size_bytes());
        }
        if !evidence.is_truncated() {
            return Ok((done(&evidence), evidence));
        }
        if evidence.is_outside() {
            // Dividing would not help: the answers for the sub-rectangles would be just as wrong.
            return Err(Error::Cell("the answer lies outside the rectangle that was asked for".to_owned()));
        }
        let (total_count, pages) = (evidence.total_count(), evidence.pages());
        if !divisions.concern(rect) {
            // Its stations were retired or moved after the run began.
            return Ok((Ending::Done { total_count, pages, shown: Shown::Short }, evidence));
        }
        divisions.check_count(&cell, total_count).map_err(Error::Cell)?;
        // The division is CPU-bound: other tasks that are ready go first.
        tokio::task::yield_now().await;
        let pieces = divisions.sub_rectangles(cell.keyword, rect, &evidence);
        if pieces.is_empty() {
            self.squeeze(search, &mut evidence).await?;
            return Ok((done(&evidence), evidence));
        }
        divisions.reserve(pieces.len()).map_err(Error::Cell)?;
        Ok((Ending::Split { total_count, pages, pieces }, evidence))
    }

    /// Gets as many places as possible from a rectangle that cannot be divided: in both orders, and per category group.
    async fn squeeze(&mut self, search: Search<'_>, evidence: &mut Evidence) -> Result<(), Error> {
        for sort in [Sort::Accuracy, Sort::Distance] {
            self.pause().await?;
            evidence.extend(self.every_page(Search { sort, ..search }).await?);
            self.share.keep(evidence.size_bytes());
        }
        if search.keyword.category_group_code().is_some() {
            return Ok(());
        }
        let own: BTreeSet<String> =
            evidence.places().iter().filter_map(|place| place.category_group_code.clone()).collect();
        let others: Vec<&str> = CATEGORY_GROUP_CODES.into_iter().filter(|code| !own.contains(*code)).collect();
        let others = others.join(",");
        for groups in own.iter().map(String::as_str).chain([others.as_str()]) {
            for sort in [Sort::Accuracy, Sort::Distance] {
                if evidence.is_whole() {
                    return Ok(());
                }
                self.pause().await?;
                let part = self.every_page(Search { sort, groups: Some(groups), ..search }).await?;
                let is_all = part.shown() == Shown::All;
                evidence.collect(part);
                self.share.keep(evidence.size_bytes());
                if is_all {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads the pages of a search. In a rectangle it stops at the first truncated page, because the rectangle is divided.
    async fn pages(&mut self, search: Search<'_>) -> Result<Evidence, Error> {
        let may_split = matches!(search.area, Area::Rect(_));
        self.pages_until(search, |evidence| may_split && evidence.is_truncated()).await
    }

    async fn every_page(&mut self, search: Search<'_>) -> Result<Evidence, Error> {
        self.pages_until(search, |_| false).await
    }

    async fn pages_until(
        &mut self,
        mut search: Search<'_>,
        mut is_enough: impl FnMut(&Evidence) -> bool,
    ) -> Result<Evidence, Error> {
        let mut evidence = Evidence::of(search.area);
        loop {
            self.wait_for_memory().await?;
            let answer = self.reader.api.page(&search, &self.reader.halt, &mut self.traffic).await?;
            self.beginning = None;
            if !self.share.take(answer.places.iter().map(Place::size_bytes).sum()) {
                return Err(Error::Cell("the places of its answers take more than 2 MiB".to_owned()));
            }
            let step = next_step(search.page, answer.meta, answer.documents);
            evidence.add(answer.meta, answer.places, answer.rejected);
            match step {
                Step::Page(next) if !is_enough(&evidence) => search.page = next,
                Step::Page(_) | Step::Done => return Ok(evidence),
            }
            self.pause().await?;
        }
    }

    /// Waits until the memory limit allows another page.
    async fn wait_for_memory(&mut self) -> Result<(), Error> {
        let is_beginning = self.beginning.is_some();
        let wait = async {
            if is_beginning {
                self.share.wait_to_begin().await;
            }
            self.share.wait().await;
        };
        tokio::select! {
            biased;
            () = self.reader.halt.cancelled() => Err(Error::Stopped),
            () = wait => Ok(()),
        }
    }

    /// Waits for the delay between two pages.
    async fn pause(&self) -> Result<(), Error> {
        tokio::select! {
            biased;
            () = self.reader.halt.cancelled() => Err(Error::Stopped),
            () = tokio::time::sleep(self.reader.page_delay) => Ok(()),
        }
    }
}

fn done(evidence: &Evidence) -> Ending {
    Ending::Done { total_count: evidence.total_count(), pages: evidence.pages(), shown: evidence.shown() }
}
