//! The pages for people. The server knows when one is asked for; what it shows comes from above.

use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::Bytes;

use crate::domain::language::Language;

/// The headers of every page: it loads nothing, runs no script, and is neither embedded nor stored.
pub(super) const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("vary", "accept-language"),
];

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The situation now.
    Live {
        /// Whether the browser should load it again.
        is_refreshed: bool,
    },
    /// The report.
    Report,
}

/// A page that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The HTML; clones share it.
    pub html: Bytes,
    /// Whether it shows what was asked for, and not only why that is not possible.
    pub is_whole: bool,
    /// After which time the browser loads it again.
    pub refresh: Option<Duration>,
}

/// Makes pages.
pub trait Pages: Debug {
    /// Makes a page, in the language that the reader asks for.
    fn make(&self, page: Page, asked: Option<Language>) -> Pin<Box<dyn Future<Output = Made> + '_>>;
}

/// The page at a path.
pub(super) fn at(path: &str, query: Option<&str>) -> Option<Page> {
    match path {
        "/" => Some(Page::Live { is_refreshed: query != Some("refresh=off") }),
        "/report" => Some(Page::Report),
        _ => None,
    }
}
