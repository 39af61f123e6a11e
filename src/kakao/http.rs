//! One HTTP request: builds it from a search, sends it, and reads the answer.

use std::num::NonZeroU32;
use std::time::Duration;

use reqwest::header::{LOCATION, RETRY_AFTER};
use reqwest::{RequestBuilder, Response};

use super::wire::{self, Answer, Head, Page};
use super::{Client, Search, View, retry};
use crate::clock;
use crate::domain::cell::{Meta, PAGE_SIZE, Sort};
use crate::domain::geo::{Area, Rect};
use crate::domain::words::counted;
use crate::telemetry::chain;

/// Maximum size of a response body, in bytes. A full page has about 10 kB.
const MAX_BODY_BYTES: usize = 1 << 20;

/// A parameter that the API does not know. It must change nothing.
const UNKNOWN_PARAMETER: (&str, &str) = ("canary", "1");

impl Client {
    /// Sends one request. `sent` grows by the number of times that the request went out: 0 if no connection could be opened,
    /// more than 1 if it was repeated because its connection was closed. Secrets are removed from the error message, because
    /// Kakao or a proxy may quote the request in it.
    pub(super) async fn ask(&self, search: &Search<'_>, sent: &mut u32) -> Answer {
        let (count, response) = self.connections.send(self.request(search)).await;
        *sent += count;
        let answer = match response {
            Ok(response) => self.answer(search, response).await,
            Err(error) => Answer::Unreachable(self.describe(error)),
        };
        answer.redacted()
    }

    /// Builds the request of a search.
    fn request(&self, search: &Search<'_>) -> RequestBuilder {
        let Search { keyword, area, sort, groups, page, view } = *search;
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
                // A rectangle needs a centre only if the results are sorted by distance.
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
        if view == View::WithUnknownParameter {
            request = request.query(&[UNKNOWN_PARAMETER]);
        }
        request
    }

    /// Reads the answer to a search.
    async fn answer(&self, search: &Search<'_>, response: Response) -> Answer {
        let head = Head {
            status: response.status(),
            retry_after: retry_after(&response),
            redirect: response.status().is_redirection().then(|| redirect(&response)),
        };
        match read(response).await {
            Ok(Some(body)) => match search.view {
                View::Places => checked(search, wire::classify(&head, &body)),
                View::AsItCame | View::WithUnknownParameter => as_it_came(wire::classify(&head, &body), &body),
            },
            Ok(None) if head.status.is_success() => Answer::Broken("the response body is larger than 1 MiB".to_owned()),
            // The status line has arrived, so the API is reachable; only this response is broken.
            Err(error) if head.status.is_success() => {
                Answer::Broken(format!("the response body is incomplete: {}", self.describe(error)))
            }
            Ok(None) | Err(_) => wire::classify(&head, b""),
        }
    }

    /// Describes an error. The URL of the request is omitted.
    fn describe(&self, error: reqwest::Error) -> String {
        if error.is_timeout() {
            return format!("no answer within {}", humantime::format_duration(self.timeout));
        }
        let error = error.without_url();
        // The message of the outermost error is only that a request failed. The causes are in its sources.
        let causes = std::error::Error::source(&error).map_or_else(|| error.to_string(), chain);
        if error.is_connect() { format!("could not connect: {causes}") } else { causes }
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    retry::parse_retry_after(value, clock::now())
}

/// The target of a redirect. Query, fragment and credentials are removed, because they may be secret.
fn redirect(response: &Response) -> String {
    let target = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let Some(mut target) = target.and_then(|target| response.url().join(target).ok()) else {
        return "a missing or invalid Location".to_owned();
    };
    target.set_query(None);
    target.set_fragment(None);
    // Both calls fail only for a URL without a host, which has no credentials.
    target.set_username("").ok();
    target.set_password(None).ok();
    target.into()
}

/// Adds the form of the answer to its page.
fn as_it_came(answer: Answer, body: &[u8]) -> Answer {
    let Answer::Good(page) = answer else { return answer };
    Answer::Good(Page { form: Some(wire::form_of(body)), ..page })
}

/// Removes the places outside the requested area from a page.
///
/// The answer is broken if it has documents but none yields a place with a name; also if the first page reports a count above
/// zero without documents.
fn checked(search: &Search<'_>, answer: Answer) -> Answer {
    let Answer::Good(mut page) = answer else { return answer };
    let Meta { total_count, pageable_count, .. } = page.meta;
    let count = total_count.max(pageable_count);
    if search.page == NonZeroU32::MIN && page.documents == 0 && count > 0 {
        return Answer::Broken(format!("the answer reports {count} places but contains no documents"));
    }
    page.keep_within(search.area);
    page.keep_unambiguous();
    if page.documents > 0 && page.places.iter().all(|place| place.name.is_empty()) {
        let documents = counted(i64::try_from(page.documents).unwrap_or(i64::MAX), "document", "documents");
        let example = page.rejected.example.unwrap_or_else(|| "no name".to_owned());
        return Answer::Broken(format!("no document of the answer can be used ({documents}): {example}"));
    }
    Answer::Good(page)
}

/// Reads the body of a response; `None` if it is larger than [`MAX_BODY_BYTES`].
async fn read(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}
