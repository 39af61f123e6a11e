//! The known good search: a search that the API has answered well before. The gate repeats it as a probe: if it fails now,
//! the API is at fault and not the search.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use super::{Search, View};
use crate::domain::cell::Sort;
use crate::domain::geo::Area;
use crate::domain::keyword::Keyword;

/// The search whose first page most recently got a good answer.
#[derive(Debug, Default)]
pub(super) struct KnownGood(Mutex<Option<Stored>>);

/// A [`Search`] with owned fields.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    keyword: Keyword,
    area: Area,
    sort: Sort,
    groups: Option<String>,
}

impl KnownGood {
    /// Stores a search that got a good answer. Only first pages that were read as places are stored.
    pub(super) fn set(&self, search: &Search<'_>) {
        if search.page == NonZeroU32::MIN && search.view == View::Places {
            let Search { keyword, area, sort, groups, .. } = *search;
            let stored = Stored { keyword: keyword.clone(), area, sort, groups: groups.map(str::to_owned) };
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(stored);
        }
    }

    /// The stored search, if any.
    pub(super) fn get(&self) -> Option<Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Stored {
    /// The stored search as a request for page 1.
    pub(super) fn search(&self) -> Search<'_> {
        let groups = self.groups.as_deref();
        Search { sort: self.sort, groups, ..Search::new(&self.keyword, self.area) }
    }
}
