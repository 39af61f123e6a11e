//! One request: how a search is written into it, and how its answer is read.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::RETRY_AFTER;

use super::wire::{self, Answer};
use super::{Client, Search, retry};
use crate::clock;
use crate::domain::cell::{PAGE_SIZE, Sort};
use crate::domain::geo::{Area, Rect};

/// The largest answer that is read; a full page has about ten kilobytes.
const MAX_BODY_BYTES: usize = 4 << 20;

impl Client {
    /// Sends one request.
    pub(super) async fn ask(&self, search: &Search<'_>) -> Answer {
        let Search { keyword, area, sort, groups, page } = *search;
        let mut request = self.http.get(&self.endpoint).query(&[
            ("query", keyword.query()),
            ("page", &page.to_string()),
            ("size", &PAGE_SIZE.to_string()),
        ]);
        let center = match area {
            Area::Circle(circle) => {
                request = request.query(&[("radius", circle.radius_m)]);
                Some(circle.center)
            }
            Area::Rect(rect) => {
                let Rect { west, south, east, north } = rect;
                request = request.query(&[("rect", format!("{west},{south},{east},{north}"))]);
                // It only measures, and only an order by distance needs that.
                (sort == Sort::Distance).then(|| rect.center())
            }
        };
        if let Some(center) = center {
            request = request.query(&[("x", center.longitude()), ("y", center.latitude())]);
        }
        if sort == Sort::Distance {
            request = request.query(&[("sort", "distance")]);
        }
        if let Some(code) = groups.or(keyword.category_group_code()) {
            request = request.query(&[("category_group_code", code)]);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Answer::Unreachable(self.describe(error)),
        };
        let status = response.status();
        let retry_after = retry_after(&response);
        match read(response).await {
            Ok(body) => wire::classify(status, retry_after, &body, &self.key),
            // The server has answered: what is broken is this answer.
            Err(error) if status.is_success() => {
                Answer::Broken(format!("the answer ended in the middle: {}", self.describe(error)))
            }
            Err(_) => wire::classify(status, retry_after, b"", &self.key),
        }
    }

    /// Says what happened without the URL.
    fn describe(&self, error: reqwest::Error) -> String {
        if error.is_timeout() {
            return format!("no answer within {}", humantime::format_duration(self.timeout));
        }
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        if error.is_connect() { format!("could not connect: {cause}") } else { cause.to_string() }
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    retry::parse_retry_after(value, clock::now())
}

async fn read(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BODY_BYTES {
            // Cut here, it cannot be parsed, and counts as unreadable.
            break;
        }
    }
    Ok(body)
}
