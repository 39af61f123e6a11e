//! What operators are told about full runs, and that a receiver disturbs no run.

use std::fs;

use insta::assert_snapshot;
use sanggwond::standin::{Fault, Switches};

use crate::support::Stage;
use crate::support::program::Program;
use crate::support::receiver::{Heard, Mood, Receiver};

/// A path that no text may repeat.
const SECRET: &str = "/canary-hook-0123456789";

/// A daemon that starts no run by itself, and sends messages about these events.
fn tells(stage: &Stage, url: &str, on: &str) -> Program {
    stage
        .program(&[])
        .set("SANGGWOND_SCHEDULE__ENABLED", "false")
        .set("NOTIFY_WEBHOOK_URL", format!("{url}{SECRET}"))
        .set("SANGGWOND_NOTIFY__ON", on)
}

/// All parks answer with a fault.
fn parks_fail(stage: &Stage) {
    let faults_for = vec![("공원".to_owned(), Fault::Status(502, true))];
    stage.standin.set(Switches { faults_for, ..Switches::default() });
}

/// The events and run of a message, without its key.
fn told(heard: &Heard) -> String {
    let body = heard.json();
    format!("{} {}", body["event"].as_str().unwrap(), body["crawl_run_id"])
}

/// The path of a ping, without the id of the run.
fn path(heard: &Heard) -> &str {
    heard.target.split_once('?').map_or(heard.target.as_str(), |(path, _)| path)
}

#[tokio::test]
async fn a_monitor_gets_a_ping_at_the_start_and_the_end_of_each_full_run() {
    let (stage, mut monitor) = (Stage::small().await, Receiver::start());
    let daemon = stage.program(&[]).set("NOTIFY_PING_URL", format!("{}/ping/", monitor.url)).start();

    let (start, success) = (monitor.next().await, monitor.next().await);
    parks_fail(&stage);
    stage.program(&["crawl"]).finish().await.expect_code(3);
    let (second, partial) = (monitor.next().await, monitor.next().await);
    stage.program(&["crawl", "--keyword", "카페"]).finish().await.expect_code(0);
    stage.standin.set(Switches { api_key: Some("another".to_owned()), ..Switches::default() });
    stage.program(&["crawl"]).finish().await.expect_code(1);
    let (third, failed) = (monitor.next().await, monitor.next().await);
    daemon.terminate().await.expect_code(0);

    let paths: Vec<_> = [&start, &success, &second, &partial, &third, &failed].map(path).into();
    assert_eq!(paths, ["/ping/start", "/ping/", "/ping/start", "/ping/3", "/ping/start", "/ping/fail"]);
    let run = |heard: &Heard| heard.target.split_once("?rid=").unwrap().1.to_owned();
    assert_eq!(run(&start), run(&success), "a run has one id");
    assert!(run(&start).len() == 36 && run(&start) != run(&second));
    assert_eq!(start.body, "sanggwond: run 1 has started, 6 cells");
    assert!(failed.body.starts_with("sanggwond: run 4 failed (0 of 6 cells done): "), "{}", failed.body);
    assert_eq!(monitor.rest(), [], "runs limited to a part are not told");
}

#[tokio::test]
async fn a_webhook_tells_what_went_wrong_and_when_it_is_over() {
    let (stage, mut webhook) = (Stage::small().await, Receiver::start());
    let mut daemon = tells(&stage, &webhook.url, "success,recovered,partial").start();
    daemon.says("notices about full runs go to the webhook receiver").await;
    stage.crawl().await;
    let success = webhook.next().await;
    parks_fail(&stage);
    stage.program(&["crawl"]).finish().await.expect_code(3);
    let partial = webhook.next().await;
    stage.standin.set(Switches::default());
    stage.crawl().await;
    let recovered = webhook.next().await;
    daemon.terminate().await.expect_code(0);

    assert_eq!([&success, &partial, &recovered].map(told), ["success 1", "partial 2", "recovered 3"]);
    assert_eq!(success.target, SECRET);
    let key = partial.key.clone().unwrap();
    assert_eq!(partial.json()["key"], key.as_str());
    assert!(key.ends_with("-run-2-0-partial"), "{key}");
    let mut body = partial.json();
    let requests = body["requests"].take();
    body["text"] = body["text"].as_str().unwrap().replace(&requests.to_string(), "…").into();
    body["requests"] = "…".into();
    for field in ["key", "run_uuid", "host", "noted_at", "started_at", "finished_at"] {
        assert!(body[field].is_string(), "{field}");
        body[field] = "…".into();
    }
    assert_snapshot!(serde_json::to_string_pretty(&body).unwrap(), @r#"
    {
      "cells_done": 3,
      "cells_failed": 3,
      "cells_total": 6,
      "coverage": "station",
      "crawl_run_id": 2,
      "event": "partial",
      "finished_at": "…",
      "host": "…",
      "key": "…",
      "noted_at": "…",
      "places_changed": 0,
      "places_closed": 0,
      "places_new": 0,
      "places_reopened": 0,
      "places_seen": 26,
      "reason": "3 cells failed twice; see the view run_failure",
      "requests": "…",
      "run_uuid": "…",
      "scheduled_for": null,
      "started_at": "…",
      "status": "partial",
      "text": "sanggwond: run 2 is partial (3 of 6 cells done, … requests, 26 places seen, 0 new, 0 closed, 3 failed): 3 cells failed twice; see the view run_failure",
      "trigger": "manual"
    }
    "#);
    assert_eq!(webhook.rest(), []);
}

#[tokio::test]
async fn a_receiver_that_fails_and_redirects_and_comes_back_gets_every_notice_with_one_key() {
    let (stage, mut webhook) = (Stage::small().await, Receiver::start());
    let mut other = Receiver::start();
    webhook.set(Mood::Answers(500));
    stage.crawl().await;
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    fs::write(&clock, "+0s\n").unwrap();
    let daemon = stage.daemon_with_clock(&clock);
    let daemon = daemon.set("SANGGWOND_SCHEDULE__ENABLED", "false").set("SANGGWOND_NOTIFY__ON", "success");
    let daemon = daemon.set("SANGGWOND_LOG__FILTER", "sanggwond=debug");
    let mut daemon = daemon.set("NOTIFY_WEBHOOK_URL", format!("{}{SECRET}", webhook.url)).start();

    let mut heard = vec![webhook.next().await];
    daemon.says("webhook receiver did not accept it: it answered 500").await;
    webhook.set(Mood::Redirects(other.url.clone()));
    fs::write(&clock, "+11s\n").unwrap();
    heard.push(webhook.next().await);
    daemon.says("it answered 302").await;
    assert_eq!(daemon.said("is given up"), 0);
    let status = stage.program(&["status"]).set("SANGGWOND_NOTIFY__ON", "success");
    let status = status.set("NOTIFY_WEBHOOK_URL", &webhook.url).finish().await.expect_code(0).stdout;
    webhook.set(Mood::Accepts);
    fs::write(&clock, "+40s\n").unwrap();
    heard.push(webhook.next().await);
    stage.becomes_true("select delivered_at is not null from notice where channel = 'webhook'").await;
    let finished = daemon.terminate().await.expect_code(0);

    assert_eq!(heard.iter().map(|heard| heard.accepted).collect::<Vec<_>>(), [false, false, true]);
    assert!(heard.iter().all(|one| one.key == heard[0].key && one.body == heard[0].body), "{heard:?}");
    assert_eq!((webhook.rest(), other.rest()), (vec![], vec![]), "redirects are not followed");
    assert!(!finished.stderr.contains("canary-hook"), "{}", finished.stderr);
    assert!(
        status.contains("notices     1 notice of the last day is not delivered; the last attempt failed: it answered "),
        "{status}"
    );
    let row =
        "select channel, event, attempts, delivered_at is not null as is_delivered, error from notice order by 1, 2";
    assert_snapshot!(stage.rows(row).await, @"
    channel  event    attempts  is_delivered  error
    ping     started  0         false         –
    ping     success  0         false         –
    webhook  success  3         true          –
    ");
}

#[tokio::test]
async fn a_notice_that_is_not_accepted_for_a_day_is_given_up_and_the_log_says_so() {
    let (stage, mut webhook) = (Stage::small().await, Receiver::start());
    stage.crawl().await;
    stage
        .execute(
            "update notice set noted_at = now() - interval '86000 seconds', attempts = 90, error = 'it answered 500'",
        )
        .await;
    webhook.set(Mood::Answers(500));

    let mut daemon = tells(&stage, &webhook.url, "success").start();
    webhook.next().await;

    daemon.says("is given up after a day, because its webhook receiver did not accept it: it answered 500").await;
    daemon.terminate().await.expect_code(0);
    assert_eq!(
        stage.value::<i64>("select count(*) from notice where channel = 'webhook' and delivered_at is null").await,
        1
    );
}

#[tokio::test]
async fn a_receiver_that_hangs_or_is_not_there_delays_neither_a_run_nor_a_stop() {
    let (stage, mut webhook) = (Stage::small().await, Receiver::start());
    webhook.set(Mood::Hangs);
    let daemon = tells(&stage, &webhook.url, "success").set("NOTIFY_PING_URL", "http://127.0.0.1:9/canary-hook");
    let mut daemon = daemon.set("SANGGWOND_SCHEDULE__ENABLED", "true").start();

    webhook.next().await;
    daemon.says("ping receiver did not accept it: ").await;
    stage.program(&["request"]).finish().await.expect_code(0);
    daemon.says("run 2 ended as succeeded").await;
    let stopping = tokio::time::Instant::now();
    let finished = daemon.terminate().await.expect_code(0);

    assert!(stopping.elapsed().as_secs() < 8, "{:?}", stopping.elapsed());
    assert!(!finished.stderr.contains("canary-hook"), "{}", finished.stderr);
    let errors: String = stage.value("select string_agg(error, ' ') from notice").await;
    assert!(errors.contains("Connection refused") && !errors.contains("canary"), "{errors}");
    // A later daemon sends what was not accepted, once the lease is over.
    assert_eq!(stage.value::<i64>("select count(*) from notice where delivered_at is not null").await, 0);
}

#[tokio::test]
async fn skipped_ticks_and_cancelled_and_late_runs_are_told() {
    let (stage, mut webhook) = (Stage::small().await, Receiver::start());
    let told_of = "skipped,cancelled,late";
    let url = webhook.url.clone();
    let daemon = || tells(&stage, &url, told_of).set("SANGGWOND_NOTIFY__LATE_AFTER", "1ms");
    stage.standin.hold();
    let crawl = stage.program(&["crawl"]).start();
    stage.standin.reached(5).await;
    let first = daemon().start();
    let late = webhook.next().await;
    stage.standin.release();
    crawl.finish().await.expect_code(0);
    first.terminate().await.expect_code(0);

    stage.standin.hold();
    let crawl = stage.program(&["crawl"]).start();
    stage.standin.reached(stage.standin.requests() + 5).await;
    crawl.kill().await;
    stage.standin.release();
    let cancel = stage.program(&["cancel", "2", "--reason", "not now"]).finish().await;
    let second = daemon().start();
    let cancelled = webhook.next().await;
    second.terminate().await.expect_code(0);
    let at = |arguments: &[&str]| stage.program_at("2030-01-01 00:00:00", arguments);
    at(&["pause", "--reason", "holiday"]).finish().await.expect_code(0);
    let third = at(&[]).set("NOTIFY_WEBHOOK_URL", &webhook.url).set("SANGGWOND_NOTIFY__FORMAT", "slack");
    let third = third.set("SANGGWOND_NOTIFY__ON", "skipped").start();
    let skipped = webhook.next().await;
    third.terminate().await.expect_code(0);

    assert_eq!(cancel.status.code(), Some(0), "{}", cancel.stderr);
    assert_eq!([&late, &cancelled].map(told), ["late 1", "cancelled 2"]);
    assert!(late.json()["text"].as_str().unwrap().starts_with("sanggwond: run 1 is late: it started "));
    assert!(cancelled.json()["text"].as_str().unwrap().ends_with(": not now"), "{}", cancelled.body);
    let text = skipped.json()["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("sanggwond: the full run due Mon 20") && text.contains(" Seoul was skipped: "), "{text}");
    assert_eq!(skipped.json().as_object().unwrap().len(), 1, "Slack takes only the text");
}

#[tokio::test]
async fn check_notify_sends_a_test_to_each_receiver() {
    let (stage, mut monitor, mut webhook) = (Stage::small().await, Receiver::start(), Receiver::start());
    let (ping_url, webhook_url) = (format!("{}/ping{SECRET}", monitor.url), format!("{}{SECRET}", webhook.url));
    let check = |arguments: &[&str]| {
        stage.program(arguments).set("NOTIFY_PING_URL", &ping_url).set("NOTIFY_WEBHOOK_URL", &webhook_url)
    };

    let good = check(&["check", "--notify"]).finish().await.expect_code(0);
    webhook.set(Mood::Answers(404));
    let bad = check(&["check", "--notify"]).finish().await.expect_code(1);
    let none = stage.program(&["check", "--notify"]).finish().await.expect_code(1);
    let settings = check(&["check", "--settings"]).finish().await.expect_code(0);

    assert_eq!(good.stdout, "ok      ping: it accepted the test\nok      webhook: it accepted the test\n");
    assert_eq!(bad.stdout, "ok      ping: it accepted the test\nFAILED  webhook: it answered 404 Not Found\n");
    assert!(none.stderr.contains("there is no receiver; set notify.ping_url or notify.webhook_url"), "{}", none.stderr);
    assert!(!settings.stdout.contains("canary-hook"), "{}", settings.stdout);
    assert_eq!(monitor.next().await.target, format!("/ping{SECRET}/log"));
    assert_eq!(webhook.next().await.json()["event"], "test");
}

#[tokio::test]
async fn invalid_settings_of_notify_get_a_sentence_without_the_url() {
    let stage = Stage::small().await;
    for (name, value, reason) in [
        ("NOTIFY_PING_URL", "canary-hook", "it is not the URL of an HTTP server"),
        ("NOTIFY_WEBHOOK_URL", "ftp://h/canary-hook", "it is not the URL of an HTTP server"),
        ("SANGGWOND_NOTIFY__ON", "partial,started", "unknown event \"started\"; expected \"success\", \"recovered\""),
        ("SANGGWOND_NOTIFY__FORMAT", "teams", "teams"),
        ("SANGGWOND_NOTIFY__LATE_AFTER", "0s", "late_after"),
    ] {
        let refused = stage.program(&["check"]).set(name, value).finish().await.expect_code(2).stderr;

        assert!(refused.contains(reason) && !refused.contains("canary-hook"), "{name}: {refused}");
    }
}

/// What a monitor of a weekly job knows: when it last heard of a success.
struct Monitor {
    grace: chrono::TimeDelta,
    last_success: chrono::DateTime<chrono::Utc>,
}

impl Monitor {
    fn alerts(&self, at: &str) -> bool {
        let at: chrono::DateTime<chrono::Utc> = at.parse().unwrap();
        at > self.last_success + chrono::TimeDelta::weeks(1) + self.grace
    }
}

#[tokio::test]
async fn a_monitor_alerts_if_the_host_died_on_sunday_and_is_quiet_after_the_catch_up() {
    let (stage, mut receiver) = (Stage::small().await, Receiver::start());
    let url = receiver.url.clone();
    let from = |instant| stage.daemon_from(instant).set("NOTIFY_PING_URL", &url);
    let mut daemon = from("2026-11-15 18:00:01").start();
    daemon.says("run 1 ended as succeeded").await;
    let (_, success) = (receiver.next().await, receiver.next().await);
    let last_success = "2026-11-15T18:01:00Z".parse().unwrap();
    let mut monitor = Monitor { grace: chrono::TimeDelta::hours(2), last_success };
    // On Sunday.
    daemon.kill().await;

    let silence = receiver.rest();
    let alerted = monitor.alerts("2026-11-22T20:02:00Z");
    let mut next = from("2026-11-22 22:00:00").start();
    next.says("run 2 ended as succeeded").await;
    let (_, caught_up) = (receiver.next().await, receiver.next().await);
    next.terminate().await.expect_code(0);
    monitor.last_success = "2026-11-22T22:01:00Z".parse().unwrap();

    assert_eq!([path(&success), path(&caught_up)], ["/", "/"]);
    assert!(silence.is_empty() && alerted && !monitor.alerts("2026-11-23T00:00:00Z"));
}
