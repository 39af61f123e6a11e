//! Status marks: each status has its own shape as well as its own colour.

use super::element::{Element, classed, element};
use crate::domain::run::Status;

/// Every status, in the order of the legend.
pub(super) const STATUSES: [Status; 7] = [
    Status::Succeeded,
    Status::Partial,
    Status::Interrupted,
    Status::Failed,
    Status::Cancelled,
    Status::Skipped,
    Status::Running,
];

/// The mark of a status as an SVG path, about 12 units wide and centred on (0, 0).
pub(super) fn mark(status: Status) -> Element {
    let outline = match status {
        Status::Succeeded => "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0z",
        Status::Partial => "M0 -6L6.5 5.5H-6.5z",
        Status::Failed => "M-5 -5L5 5M5 -5L-5 5",
        Status::Interrupted => "M-5.5 -5.5h4v11h-4zM1.5 -5.5h4v11h-4z",
        Status::Cancelled => "M-5 -5h10v10h-10z",
        Status::Skipped => "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
        Status::Running => "M-4.5 -6L6.5 0L-4.5 6z",
    };
    classed("path", &format!("mark {status}")).set("d", outline)
}

/// The mark as an inline SVG icon.
pub(super) fn icon(status: Status) -> Element {
    classed("svg", "icon").set("viewBox", "-8 -8 16 16").set("aria-hidden", "true").add(mark(status))
}

/// The mark and the name of the status.
pub(super) fn label(status: Status) -> Element {
    classed("span", "status").add(icon(status)).add(element("span").text(status))
}
