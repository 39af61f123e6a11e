//! Reading one cell: page after page until its end.

use std::num::NonZeroU32;

use tokio_util::sync::CancellationToken;

use super::Crawl;
use crate::domain::cell::{Cell, Ending, Outcome, Step, Traffic, next_step};
use crate::domain::geo::Circle;
use crate::kakao::{Allowance, Error, Search};

/// Reads a cell to its end; with the outcome comes what ended the run, if something did.
pub(super) async fn read<A: Allowance>(
    crawl: &Crawl<'_, A>,
    cell: Cell,
    halt: &CancellationToken,
) -> (Outcome, Option<Error>) {
    let mut outcome = Outcome {
        cell,
        ending: Ending::Stopped,
        traffic: Traffic::default(),
        documents_rejected: 0,
        places: Vec::new(),
    };
    let error = match read_pages(crawl, &mut outcome, halt).await {
        Ok(ending) => {
            outcome.ending = ending;
            return (outcome, None);
        }
        Err(error) => error,
    };
    // Only whole cells are stored: the rest is fetched again.
    outcome.places = Vec::new();
    outcome.documents_rejected = 0;
    if let Error::Cell(why) = error {
        outcome.ending = Ending::Failed(why);
        return (outcome, None);
    }
    (outcome, Some(error))
}

async fn read_pages<A: Allowance>(
    crawl: &Crawl<'_, A>,
    outcome: &mut Outcome,
    halt: &CancellationToken,
) -> Result<Ending, Error> {
    let ground = crawl.ground;
    let (Some(keyword), Some(center)) =
        (ground.keywords.get(&outcome.cell.keyword), ground.centers.get(&outcome.cell.station))
    else {
        return Err(Error::Cell("its station or keyword is no longer stored".to_owned()));
    };
    let circle = Circle { center: *center, radius_m: ground.map.radius_m() };
    let mut page = NonZeroU32::MIN;
    loop {
        let search = Search { keyword, circle, page };
        let answer = crawl.client.page(&search, crawl.allowance, halt, &mut outcome.traffic).await?;
        outcome.documents_rejected += answer.rejected;
        outcome.places.extend(answer.places);
        match next_step(page, answer.meta, answer.documents) {
            Step::Page(next) => page = next,
            Step::Done => {
                let total_count = answer.meta.total_count;
                let is_truncated = answer.meta.is_cut_off();
                return Ok(Ending::Done { total_count, pages: page.get(), is_truncated });
            }
        }
        tokio::select! {
            biased;
            () = halt.cancelled() => return Err(Error::Stopped),
            () = tokio::time::sleep(ground.page_delay) => {}
        }
    }
}
