//! Reading one cell: page after page until its end, and what follows from them.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use super::{Crawl, cover};
use crate::domain::cell::{Cell, CellArea, Ending, Evidence, Outcome, Shown, Sort, Step, Traffic, next_step};
use crate::domain::geo::{Area, Circle, LatLng, Rect};
use crate::domain::keyword::{CATEGORY_GROUP_CODES, Keyword};
use crate::kakao::{Allowance, Error, Search};

/// Reads a cell to its end; with the outcome comes what ended the run, if something did.
pub(super) async fn read<A: Allowance>(
    crawl: &Crawl<'_, A>,
    cell: Cell,
    halt: &CancellationToken,
) -> (Outcome, Option<Error>) {
    let mut reader = Reader { crawl, halt, traffic: Traffic::default() };
    let read = reader.read(cell).await;
    let traffic = reader.traffic;
    match read {
        Ok((ending, evidence)) => {
            let (places, documents_rejected) = evidence.into_places();
            (Outcome { cell, ending, traffic, documents_rejected, places }, None)
        }
        // Only whole cells are stored: the rest is fetched again.
        Err(error) => {
            let (ending, error) =
                if let Error::Cell(why) = error { (Ending::Failed(why), None) } else { (Ending::Stopped, Some(error)) };
            (Outcome { cell, ending, traffic, documents_rejected: 0, places: Vec::new() }, error)
        }
    }
}

/// Reads pages for one cell.
struct Reader<'a, A> {
    crawl: &'a Crawl<'a, A>,
    halt: &'a CancellationToken,
    traffic: Traffic,
}

impl<A: Allowance> Reader<'_, A> {
    async fn read(&mut self, cell: Cell) -> Result<(Ending, Evidence), Error> {
        let ground = self.crawl.ground;
        let gone = || Error::Cell("its station or keyword is no longer stored".to_owned());
        let keyword = ground.keywords.get(&cell.keyword).ok_or_else(gone)?;
        match cell.area {
            CellArea::Around(station) => {
                let center = *ground.centers.get(&station).ok_or_else(gone)?;
                let circle = Circle { center, radius_m: ground.map.radius_m() };
                let evidence = self.pages(Search::new(keyword, Area::Circle(circle))).await?;
                Ok((done(&evidence), evidence))
            }
            CellArea::Within(rect) => self.rect(cell, keyword, rect).await,
        }
    }

    /// A rectangle is proven, or read once more, or divided.
    async fn rect(&mut self, cell: Cell, keyword: &Keyword, rect: Rect) -> Result<(Ending, Evidence), Error> {
        let search = Search::new(keyword, Area::Rect(rect.grown()));
        let mut evidence = self.pages(search).await?;
        // What is no place in one order is none in the other.
        if evidence.is_doubtful() || (!evidence.is_cut_off() && !evidence.is_whole()) {
            self.pause().await?;
            evidence.join(self.pages(Search { sort: Sort::Distance, ..search }).await?);
        }
        if !evidence.is_cut_off() {
            return Ok((done(&evidence), evidence));
        }
        if evidence.is_astray() {
            // Divided, every piece would be answered as wildly.
            return Err(Error::Cell("the answer lies outside the rectangle that was asked for".to_owned()));
        }
        let (total_count, pages) = (evidence.total_count(), evidence.pages());
        if !self.crawl.ground.circles.touches(rect) {
            // Its stations are gone since the run began.
            return Ok((Ending::Done { total_count, pages, shown: Shown::Short }, evidence));
        }
        let pieces = self.pieces(cell, rect, &evidence);
        if pieces.is_empty() {
            self.squeeze(search, &mut evidence).await?;
            return Ok((done(&evidence), evidence));
        }
        Ok((Ending::Split { total_count, pages, pieces }, evidence))
    }

    fn pieces(&self, cell: Cell, rect: Rect, evidence: &Evidence) -> Vec<Rect> {
        let ground = self.crawl.ground;
        let mut known = ground.known.within(cell.keyword, rect);
        // A place that was found just now stands where one is known already, if it is no newcomer.
        let is_new = |position: &LatLng| !known.contains(position);
        let seen: Vec<_> = evidence.places().iter().map(|place| place.position).filter(is_new).collect();
        known.extend(seen);
        ground.circles.split(rect, evidence.total_count() as usize, known, cover::CAPACITY)
    }

    /// Gets what can be had of a rectangle that is too small to be divided: by both orders, and by category group.
    async fn squeeze(&mut self, search: Search<'_>, evidence: &mut Evidence) -> Result<(), Error> {
        for sort in [Sort::Accuracy, Sort::Distance] {
            self.pause().await?;
            evidence.extend(self.every_page(Search { sort, ..search }).await?);
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
                if is_all {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads the pages of a search; of one in a rectangle that shows less than it found, no further page is needed.
    async fn pages(&mut self, search: Search<'_>) -> Result<Evidence, Error> {
        let may_split = matches!(search.area, Area::Rect(_));
        self.pages_until(search, |evidence| may_split && evidence.is_cut_off()).await
    }

    async fn every_page(&mut self, search: Search<'_>) -> Result<Evidence, Error> {
        self.pages_until(search, |_| false).await
    }

    async fn pages_until(
        &mut self,
        mut search: Search<'_>,
        is_enough: impl Fn(&Evidence) -> bool,
    ) -> Result<Evidence, Error> {
        let mut evidence = Evidence::of(search.area);
        loop {
            let answer = self.crawl.client.page(&search, self.crawl.allowance, self.halt, &mut self.traffic).await?;
            let step = next_step(search.page, answer.meta, answer.documents);
            evidence.add(answer.meta, answer.places, answer.rejected);
            match step {
                Step::Page(next) if !is_enough(&evidence) => search.page = next,
                Step::Page(_) | Step::Done => return Ok(evidence),
            }
            self.pause().await?;
        }
    }

    /// The delay between two pages.
    async fn pause(&self) -> Result<(), Error> {
        tokio::select! {
            biased;
            () = self.halt.cancelled() => Err(Error::Stopped),
            () = tokio::time::sleep(self.crawl.ground.page_delay) => Ok(()),
        }
    }
}

fn done(evidence: &Evidence) -> Ending {
    Ending::Done { total_count: evidence.total_count(), pages: evidence.pages(), shown: evidence.shown() }
}
