//! What a notice says: one sentence, and the JSON around it.

use chrono::{DateTime, Utc};
use chrono_tz::Asia::Seoul;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock;
use crate::config::NoticeFormat;
use crate::domain::notice::Event;
use crate::domain::words::count;
use crate::store::Notice;

/// The sentence of a test.
pub(super) const TEST: &str = "sanggwond: this is a test (sanggwond check --notify); nothing has happened";

/// What the sentence needs of the content of a notice.
#[derive(Debug, Deserialize)]
struct Run {
    crawl_run_id: i64,
    reason: Option<String>,
    scheduled_for: Option<DateTime<Utc>>,
    started_at: DateTime<Utc>,
    cells_total: i32,
    cells_done: i32,
    cells_failed: i32,
    requests: i64,
    places_seen: i32,
    places_new: i32,
    places_closed: i32,
}

/// A notice as one sentence.
#[must_use]
pub fn sentence(event: Event, content: &Value) -> String {
    // The content was written by this program, maybe by a later version.
    let Ok(run) = Run::deserialize(content) else { return format!("sanggwond: {}", event.as_str()) };
    let because = run.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let id = run.crawl_run_id;
    let cells = format!("{} of {} cells done", count(run.cells_done), count(run.cells_total));
    let numbers = format!(
        "{}, {} requests, {} places seen, {} new, {} closed",
        cells,
        count(run.requests),
        count(run.places_seen),
        count(run.places_new),
        count(run.places_closed)
    );
    match event {
        Event::Started => format!("sanggwond: run {id} has started, {} cells", count(run.cells_total)),
        Event::Success => format!("sanggwond: run {id} succeeded ({numbers}){because}"),
        Event::Recovered => format!("sanggwond: run {id} succeeded, after a problem before ({numbers}){because}"),
        Event::Partial => {
            format!("sanggwond: run {id} is partial ({numbers}, {} failed){because}", count(run.cells_failed))
        }
        Event::Failed => format!("sanggwond: run {id} failed ({cells}){because}"),
        Event::Cancelled => format!("sanggwond: run {id} was cancelled ({cells}){because}"),
        Event::Skipped => {
            let due = run.scheduled_for.unwrap_or(run.started_at);
            format!("sanggwond: the full run due {} was skipped{because}", in_seoul(due))
        }
        Event::Late => {
            format!("sanggwond: run {id} is late: it started {} ({cells}){because}", in_seoul(run.started_at))
        }
    }
}

/// The body of a webhook.
#[must_use]
pub fn webhook_body(notice: &Notice, format: NoticeFormat) -> Value {
    let text = sentence(notice.event, &notice.content);
    if format == NoticeFormat::Slack {
        // Otherwise <…> would be markup, such as <!channel>.
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        return json!({ "text": escaped });
    }
    let mut body = notice.content.clone();
    body["text"] = text.into();
    body["event"] = notice.event.as_str().into();
    body["key"] = notice.key.as_str().into();
    body["noted_at"] = clock::rfc3339(notice.noted_at).into();
    body
}

/// The body of a test.
pub(super) fn test_body(format: NoticeFormat) -> Value {
    match format {
        NoticeFormat::Slack => json!({ "text": TEST }),
        NoticeFormat::Json => json!({ "text": TEST, "event": "test" }),
    }
}

fn in_seoul(at: DateTime<Utc>) -> String {
    at.with_timezone(&Seoul).format("%a %Y-%m-%d %H:%M Seoul").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_a_sentence() {
        let content = json!({
            "crawl_run_id": 12, "reason": "the API answered 503", "scheduled_for": "2026-11-22T18:00:00+00:00",
            "started_at": "2026-11-22T18:00:04.12+00:00", "cells_total": 9410, "cells_done": 9407, "cells_failed": 3,
            "requests": 14853, "places_seen": 101_234, "places_new": 12, "places_closed": 5,
        });

        let sentences = Event::ALL.map(|event| sentence(event, &content)).join("\n");

        insta::assert_snapshot!(sentences, @"
        sanggwond: run 12 has started, 9,410 cells
        sanggwond: run 12 succeeded (9,407 of 9,410 cells done, 14,853 requests, 101,234 places seen, 12 new, 5 closed): the API answered 503
        sanggwond: run 12 succeeded, after a problem before (9,407 of 9,410 cells done, 14,853 requests, 101,234 places seen, 12 new, 5 closed): the API answered 503
        sanggwond: run 12 is partial (9,407 of 9,410 cells done, 14,853 requests, 101,234 places seen, 12 new, 5 closed, 3 failed): the API answered 503
        sanggwond: run 12 failed (9,407 of 9,410 cells done): the API answered 503
        sanggwond: run 12 was cancelled (9,407 of 9,410 cells done): the API answered 503
        sanggwond: the full run due Mon 2026-11-23 03:00 Seoul was skipped: the API answered 503
        sanggwond: run 12 is late: it started Mon 2026-11-23 03:00 Seoul (9,407 of 9,410 cells done): the API answered 503
        ");
    }

    #[test]
    fn slack_gets_no_markup() {
        let content = json!({ "crawl_run_id": 1, "reason": "<!channel> & co", "started_at": "2026-11-22T18:00:04Z", "cells_total": 0,
            "cells_done": 0, "cells_failed": 0, "requests": 0, "places_seen": 0, "places_new": 0, "places_closed": 0 });
        let noted_at = DateTime::default();
        let (key, event) = (String::new(), Event::Failed);
        let notice = Notice { id: 1, key, event, noted_at, content, attempts: 1, last_error: None };

        let text = webhook_body(&notice, NoticeFormat::Slack)["text"].as_str().unwrap().to_owned();

        assert_eq!(text, "sanggwond: run 1 failed (0 of 0 cells done): &lt;!channel&gt; &amp; co");
    }

    #[test]
    fn a_content_of_another_version_is_still_a_sentence() {
        assert_eq!(sentence(Event::Late, &json!({})), "sanggwond: late");
    }
}
