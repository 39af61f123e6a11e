//! Tells operators about full runs: sends the notices that the store keeps.
//!
//! A notice is sent until its receiver accepts it, for a day. It is sent at least once: if the process ends between the answer of
//! the receiver and the note of it, it is sent again, with the same key.

mod message;

use std::convert::Infallible;
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::header::{CONTENT_TYPE, HeaderName};
use reqwest::{RequestBuilder, Response, Url};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

use crate::clock;
use crate::config::{self, NoticeFormat, redaction};
use crate::domain::notice::{Channel, Event};
use crate::http_client;
use crate::store::{self, Notice, Store};
use crate::telemetry::chain;

pub use message::{sentence, webhook_body};

/// Interval at which the outbox is read.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Time limit of one request; it is shorter than the lease of a notice.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The wait after the first failure of a notice; each further one doubles it, up to the maximum.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(10);
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(15);

/// The header with the key of a notice.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Sends notices.
#[derive(Debug)]
pub struct Notifier {
    receivers: Vec<Receiver>,
    format: NoticeFormat,
    late_after: Option<TimeDelta>,
}

/// The receiver of a channel.
#[derive(Debug)]
struct Receiver {
    channel: Channel,
    url: SecretString,
    events: Vec<Event>,
    http: reqwest::Client,
}

/// Why a notice was not accepted. It contains no secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

impl Notifier {
    /// Builds the clients; nothing is sent.
    ///
    /// # Errors
    /// When the machine has no certificate store.
    pub fn new(settings: &config::Notify) -> Result<Self, http_client::Error> {
        let receiver = |(channel, url, events): (Channel, &SecretString, &[Event])| {
            let http = http_client::build(http_client::builder(url.expose_secret()).timeout(TIMEOUT))?;
            Ok(Receiver { channel, url: url.clone(), events: events.to_vec(), http })
        };
        Ok(Self {
            receivers: channels(settings).map(receiver).collect::<Result<_, _>>()?,
            format: settings.format,
            late_after: settings.late_after.and_then(|late_after| TimeDelta::from_std(late_after).ok()),
        })
    }

    /// Sends notices until the future is dropped.
    pub async fn run(&self, store: &Store) -> Infallible {
        if self.receivers.is_empty() {
            return std::future::pending().await;
        }
        let noting = async {
            let mut interval = tokio::time::interval(LOOK_EVERY);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                // Errors are ignored, here and below: the scheduler logs that the database is unreachable.
                store.unless_lost(store.note_late_runs(self.late_after, clock::now())).await.ok();
            }
        };
        let sending = futures_util::future::join_all(self.receivers.iter().map(|receiver| async move {
            let mut interval = tokio::time::interval(LOOK_EVERY);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                while let Ok(true) = store.unless_lost(self.deliver(receiver, store)).await {}
            }
        }));
        let (never, _): (Infallible, Vec<Infallible>) = tokio::join!(noting, sending);
        never
    }

    /// Sends one notice that is due; `false` if none is.
    async fn deliver(&self, receiver: &Receiver, store: &Store) -> Result<bool, store::Error> {
        let (channel, events) = (receiver.channel, &receiver.events);
        let Some(notice) = store.take_notice(channel, events, clock::now()).await? else { return Ok(false) };
        let (key, name) = (notice.key.as_str(), channel.as_str());
        match receiver.send(receiver.request(&notice, self.format)).await {
            Ok(()) => {
                debug!(notice.key = key, "the {name} receiver accepted the notice {key}");
                store.notice_delivered(notice.id, clock::now()).await?;
            }
            Err(refusal) => {
                let wait = wait_after(notice.attempts);
                let is_given_up = notice.is_expired(clock::now() + wait);
                let next = if is_given_up {
                    "is given up after a day".to_owned()
                } else {
                    format!("is sent again in {} s", wait.num_seconds())
                };
                let words =
                    format!("the notice {key} {next}, because its {name} receiver did not accept it: {refusal}");
                // Once is enough for a log that people read, and once more at the end.
                if notice.last_error.is_none() || is_given_up {
                    warn!(notice.key = key, "{words}");
                } else {
                    debug!(notice.key = key, "{words}");
                }
                store.notice_failed(notice.id, &refusal.0, clock::now() + wait).await?;
            }
        }
        Ok(true)
    }

    /// Sends a test to every receiver, without the outbox.
    pub async fn test(&self) -> Vec<(Channel, Result<(), Refusal>)> {
        let mut results = Vec::new();
        for receiver in &self.receivers {
            results.push((receiver.channel, receiver.send(receiver.test(self.format)).await));
        }
        results
    }

    /// Logs what is configured.
    pub fn announce(&self) {
        for receiver in &self.receivers {
            info!("notices about full runs go to the {} receiver", receiver.channel.as_str());
        }
    }
}

/// The channels in use, each with its URL and the events that it tells of.
pub fn channels(settings: &config::Notify) -> impl Iterator<Item = (Channel, &SecretString, &[Event])> {
    let all = [
        (Channel::Ping, &settings.ping_url, Event::OF_PINGS.as_slice()),
        (Channel::Webhook, &settings.webhook_url, settings.on.as_slice()),
    ];
    all.into_iter().filter_map(|(channel, url, events)| Some((channel, url.as_ref()?, events)))
}

impl Receiver {
    /// The request with a notice.
    fn request(&self, notice: &Notice, format: NoticeFormat) -> RequestBuilder {
        let request = match self.channel {
            Channel::Ping => {
                let end = match notice.event {
                    Event::Started => Some("start"),
                    Event::Success | Event::Recovered | Event::Skipped | Event::Late => None,
                    // The exit code of `sanggwond crawl`.
                    Event::Partial => Some("3"),
                    Event::Failed | Event::Cancelled => Some("fail"),
                };
                let run = notice.content.get("run_uuid").and_then(serde_json::Value::as_str);
                self.http
                    .post(ping_url(self.url.expose_secret(), end, run))
                    .body(sentence(notice.event, &notice.content))
            }
            Channel::Webhook => self.json(&webhook_body(notice, format)),
        };
        request.header(IDEMPOTENCY_KEY, &notice.key)
    }

    /// A request that changes nothing at the receiver.
    fn test(&self, format: NoticeFormat) -> RequestBuilder {
        match self.channel {
            Channel::Ping => self.http.post(ping_url(self.url.expose_secret(), Some("log"), None)).body(message::TEST),
            Channel::Webhook => self.json(&message::test_body(format)),
        }
    }

    fn json(&self, body: &serde_json::Value) -> RequestBuilder {
        self.http.post(self.url.expose_secret()).header(CONTENT_TYPE, "application/json").body(body.to_string())
    }

    async fn send(&self, request: RequestBuilder) -> Result<(), Refusal> {
        let failure = match request.send().await {
            Ok(answer) if !answer.status().is_success() => describe(&answer),
            Ok(answer) if self.channel == Channel::Ping => match first_bytes(answer).await {
                // healthchecks.io answers 200 to pings that it ignores: "OK (not found)", "OK (rate limited)".
                Some(body) if body.starts_with("OK (") => format!("it answered {body:?}"),
                _ => return Ok(()),
            },
            Ok(_) => return Ok(()),
            Err(error) => chain(&error.without_url()),
        };
        // The name of the host is a part of the secret, and an error of TLS may repeat it.
        let host = Url::parse(self.url.expose_secret()).ok().and_then(|url| url.host_str().map(str::to_owned));
        let failure = host.map_or_else(|| failure.clone(), |host| failure.replace(&host, "…"));
        Err(Refusal(redaction::redacted(&failure)))
    }
}

/// The beginning of a body; `None` if there is none.
async fn first_bytes(mut answer: Response) -> Option<String> {
    let chunk = answer.chunk().await.ok()??;
    Some(String::from_utf8_lossy(&chunk[..chunk.len().min(64)]).into_owned())
}

fn describe(answer: &Response) -> String {
    let note = if answer.status().is_redirection() { "; redirects are not followed" } else { "" };
    format!("it answered {}{note}", answer.status())
}

/// The URL of a ping: the configured one, with a path segment at its end and the id of the run.
fn ping_url(url: &str, end: Option<&str>, run: Option<&str>) -> String {
    // The configuration holds valid URLs only.
    let Ok(mut url) = Url::parse(url) else { return url.to_owned() };
    if let Some(end) = end
        && let Ok(mut path) = url.path_segments_mut()
    {
        path.pop_if_empty().push(end);
    }
    if let Some(run) = run {
        url.query_pairs_mut().append_pair("rid", run);
    }
    url.into()
}

/// The wait after so many attempts.
fn wait_after(attempts: i32) -> TimeDelta {
    let doubled = u32::try_from(attempts - 1).unwrap_or(0).min(16);
    (FIRST_WAIT * (1 << doubled)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_adds_to_the_path_and_keeps_the_query() {
        let run = Some("0f0e0d0c-0b0a-0908-0706-050403020100");

        assert_eq!(ping_url("https://hc-ping.com/a", None, None), "https://hc-ping.com/a");
        assert_eq!(ping_url("https://hc-ping.com/a/", Some("start"), None), "https://hc-ping.com/a/start");
        assert_eq!(
            ping_url("https://h/p/a?create=1", Some("3"), run),
            "https://h/p/a/3?create=1&rid=0f0e0d0c-0b0a-0908-0706-050403020100"
        );
    }

    #[test]
    fn the_wait_doubles_up_to_a_quarter_of_an_hour() {
        let waits = [1, 2, 3, 7, 8, 100, i32::MAX].map(|attempts| wait_after(attempts).num_seconds());

        assert_eq!(waits, [10, 20, 40, 640, 900, 900, 900]);
    }
}
