//! Tests of the gate with Tokio's paused clock: which request is sent when.

use futures_util::{FutureExt, future::join_all};

use super::*;
use crate::config::{Config, Environment};
use crate::kakao::Error;
use crate::kakao::wire::Answer;

fn gate(variables: &[(&str, &str)]) -> Gate {
    let variables = variables.iter().map(|(name, value)| (format!("SANGGWOND_KAKAO__{name}"), (*value).to_owned()));
    Gate::new(&Config::load(None, false, &variables.collect::<Environment>()).unwrap().kakao)
}

fn good() -> Answer {
    Answer::Good(
        super::super::wire::parse(br#"{"documents":[],"meta":{"total_count":0,"pageable_count":0,"is_end":true}}"#)
            .unwrap(),
    )
}

const GATE: Blame = Blame::Gate { are_others_answered: false };

fn throttled(retry_after: Option<u64>) -> Answer {
    Answer::Throttled { retry_after: retry_after.map(Duration::from_secs) }
}

async fn enter(gate: &Gate) -> Permit<'_> {
    gate.enter(Priority::NewCell, &CancellationToken::new()).await.unwrap()
}

async fn seconds(future: impl Future) -> u64 {
    let start = Instant::now();
    future.await;
    start.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_than_the_limit_are_in_flight() {
    let gate = gate(&[("MAX_IN_FLIGHT", "2")]);
    let first = enter(&gate).await;
    let _second = enter(&gate).await;

    assert!(enter(&gate).now_or_never().is_none());
    drop(first);
    assert!(enter(&gate).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_due_has_priority_over_a_new_cell() {
    let gate = gate(&[("MAX_IN_FLIGHT", "1")]);
    let stop = CancellationToken::new();
    let held = enter(&gate).await;
    let order = Mutex::new(Vec::new());
    let wait = async |name, priority| {
        let permit = gate.enter(priority, &stop).await.unwrap();
        order.lock().unwrap().push(name);
        drop(permit);
    };

    let release = async { drop(held) };
    tokio::join!(
        wait("first cell", Priority::NewCell),
        wait("second cell", Priority::NewCell),
        wait("page", Priority::NextPage),
        release
    );

    assert_eq!(*order.lock().unwrap(), ["page", "first cell", "second cell"]);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_wait_does_not_block_the_next_request() {
    let gate = gate(&[("MAX_IN_FLIGHT", "1")]);
    let held = enter(&gate).await;
    let stop = CancellationToken::new();
    stop.cancel();

    assert!(gate.enter(Priority::NextPage, &stop).await.is_none());
    assert!(enter(&gate).now_or_never().is_none());
    drop(held);
    assert!(enter(&gate).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_throttled_request_pauses_all_and_a_single_probe_ends_the_pause() {
    let gate = gate(&[]);
    let permit = enter(&gate).await;
    assert_eq!(permit.report(&throttled(None)), Ok(GATE));

    let start = Instant::now();
    let probe = enter(&gate).await;
    assert_eq!(start.elapsed().as_secs(), 1);
    assert!(enter(&gate).now_or_never().is_none(), "nobody follows the probe");

    probe.report(&good()).unwrap();
    assert!(join_all([enter(&gate), enter(&gate)]).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn consecutive_pauses_grow_to_a_minute() {
    let gate = gate(&[]);
    let mut waits = Vec::new();
    enter(&gate).await.report(&throttled(None)).unwrap();

    for _ in 0..7 {
        let start = Instant::now();
        enter(&gate).await.report(&Answer::Unavailable { retry_after: None, why: String::new() }).unwrap();
        waits.push(start.elapsed().as_secs_f64());
    }

    for (wait, least) in waits.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 60.0, 60.0]) {
        assert!((least..=least * 1.11).contains(wait), "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_throttled_together_cause_one_pause() {
    let gate = gate(&[]);
    let permits = join_all((0..5).map(|_| enter(&gate))).await;

    for permit in permits {
        permit.report(&throttled(None)).unwrap();
    }

    assert_eq!(seconds(enter(&gate)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_older_request_does_not_end_the_pause() {
    let gate = gate(&[]);
    let (old, thrown_out) = (enter(&gate).await, enter(&gate).await);
    thrown_out.report(&throttled(None)).unwrap();

    old.report(&good()).unwrap();

    assert_eq!(seconds(enter(&gate)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_429_to_a_request_sent_before_the_pause_starts_no_new_pause() {
    let gate = gate(&[]);
    let (first, late) = (enter(&gate).await, enter(&gate).await);
    first.report(&throttled(None)).unwrap();
    enter(&gate).await.report(&good()).unwrap();

    late.report(&throttled(None)).unwrap();

    assert!(enter(&gate).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_pause_lasts_as_long_as_retry_after() {
    let gate = gate(&[]);
    enter(&gate).await.report(&throttled(Some(30))).unwrap();

    assert_eq!(seconds(enter(&gate)).await, 30);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_never_shortens_the_usual_pause() {
    let gate = gate(&[]);
    let mut waits = Vec::new();
    enter(&gate).await.report(&throttled(None)).unwrap();

    for _ in 0..4 {
        waits.push(seconds(async { enter(&gate).await.report(&throttled(Some(3))).unwrap() }).await);
    }

    assert_eq!(waits, [1, 3, 4, 8]);
}

fn broken() -> Answer {
    Answer::Broken("500: no error message".to_owned())
}

fn unexpected() -> Answer {
    Answer::Unexpected { retry_after: None, why: "404: not an answer of Kakao".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn five_broken_answers_in_a_row_pause_all_requests_and_fewer_do_not() {
    let gate = gate(&[]);
    for _ in 0..4 {
        assert_eq!(enter(&gate).await.report(&broken()), Ok(Blame::Page));
    }
    enter(&gate).await.report(&good()).unwrap();
    for _ in 0..4 {
        assert_eq!(enter(&gate).await.report(&broken()), Ok(Blame::Page));
    }

    assert_eq!(enter(&gate).await.report(&broken()), Ok(GATE));

    let first = enter(&gate).now_or_never().expect("one goes first without a wait");
    assert!(first.asks_known_good());
    assert!(enter(&gate).now_or_never().is_none(), "everybody else waits");
    first.report(&good()).unwrap();
    for _ in 0..9 {
        assert_eq!(enter(&gate).await.report(&broken()), Ok(Blame::Page), "the pages are at fault");
    }
    assert_eq!(enter(&gate).await.report(&broken()), Ok(GATE), "the next doubt takes twice as many");
}

#[tokio::test(start_paused = true)]
async fn a_late_good_answer_clears_the_suspicion_against_the_api() {
    let gate = gate(&[]);
    let late = enter(&gate).await;
    for _ in 0..5 {
        enter(&gate).await.report(&broken()).unwrap();
    }

    late.report(&good()).unwrap();

    assert!(join_all([enter(&gate), enter(&gate)]).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_suspected_api_that_breaks_a_known_good_page_is_an_outage() {
    let gate = gate(&[]);
    let mut late = Vec::new();
    for _ in 0..4 {
        enter(&gate).await.report(&broken()).unwrap();
        late.push(enter(&gate).await);
    }
    enter(&gate).await.report(&broken()).unwrap();
    let mut waits = Vec::new();
    let mut asked = Vec::new();

    for _ in 0..5 {
        let start = Instant::now();
        let first = enter(&gate).await;
        waits.push(start.elapsed().as_secs());
        asked.push(first.asks_known_good());
        assert_eq!(first.report(&broken()), Ok(GATE));
        if let Some(late) = late.pop() {
            assert_eq!(late.report(&broken()), Ok(GATE), "what was in flight costs its page nothing");
        }
    }

    assert_eq!(waits, [0, 1, 2, 4, 8]);
    assert_eq!(asked, [true, false, true, false, true], "a bad page must not keep the gate shut, nor a known good one");
}

#[tokio::test(start_paused = true)]
async fn the_next_failure_of_a_suspected_api_does_not_count_against_the_page() {
    let gate = gate(&[]);
    gate.suspect();

    let first = enter(&gate).now_or_never().expect("it goes first without a wait");
    assert!(enter(&gate).now_or_never().is_none());
    assert_eq!(first.report(&broken()), Ok(GATE));
    assert_eq!(seconds(enter(&gate)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_unexpected_answer_pauses_all_requests_unless_others_succeed() {
    let gate = gate(&[]);
    let first = enter(&gate).await;
    assert_eq!(first.report(&unexpected()), Ok(GATE));
    let failed_at = Some(Instant::now());

    assert_eq!(seconds(async { enter(&gate).await.report(&good()).unwrap() }).await, 1);

    let again = enter(&gate).await.for_page_that_failed(failed_at);
    assert_eq!(again.report(&unexpected()), Ok(Blame::Page), "only this page is answered so");
    assert!(enter(&gate).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_api_that_breaks_every_answer_interrupts_the_run() {
    for answer in [broken(), unexpected()] {
        let gate = gate(&[("INTERRUPT_AFTER", "5m")]);
        let start = Instant::now();
        let mut requests = 0;

        let end = loop {
            requests += 1;
            if let Err(end) = enter(&gate).await.report(&answer) {
                break end;
            }
        };

        assert!(matches!(end, Error::Away { .. }), "{end}");
        assert!((300..370).contains(&start.elapsed().as_secs()));
        assert!(requests <= 16, "{requests} requests");
    }
}

#[tokio::test(start_paused = true)]
async fn one_page_that_hangs_pauses_no_other_request() {
    let gate = gate(&[]);
    let (hanging, other) = (enter(&gate).await, enter(&gate).await);
    tokio::time::advance(Duration::from_secs(1)).await;
    other.report(&good()).unwrap();

    assert_eq!(hanging.report(&Answer::Unreachable("no answer".to_owned())), Ok(Blame::Page));
    assert!(enter(&gate).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_api_that_does_not_answer_pauses_all_requests() {
    let gate = gate(&[]);

    let blame = enter(&gate).await.report(&Answer::Unreachable("connection refused".to_owned()));

    assert_eq!(blame, Ok(GATE));
    assert_eq!(seconds(enter(&gate)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_request_returns_when_the_stop_token_is_cancelled() {
    let gate = gate(&[]);
    enter(&gate).await.report(&throttled(Some(3600))).unwrap();
    let stop = CancellationToken::new();

    let waiting = gate.enter(Priority::NewCell, &stop);
    let stopping = async {
        tokio::task::yield_now().await;
        stop.cancel();
    };

    assert_eq!(seconds(async { assert!(tokio::join!(waiting, stopping).0.is_none()) }).await, 0);
}

#[tokio::test(start_paused = true)]
async fn only_429_for_ten_minutes_means_that_the_quota_is_spent() {
    let gate = gate(&[]);
    let start = Instant::now();

    let end = loop {
        if let Err(end) = enter(&gate).await.report(&throttled(None)) {
            break end;
        }
    };

    assert!(matches!(end, Error::QuotaSpent(_)));
    assert!((600..700).contains(&start.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_api_interrupts_the_run() {
    let gate = gate(&[("INTERRUPT_AFTER", "5m")]);
    let start = Instant::now();
    let mut requests = 0;

    let end = loop {
        requests += 1;
        if let Err(end) = enter(&gate).await.report(&Answer::Unreachable("connection refused".to_owned())) {
            break end;
        }
    };

    assert!(end.to_string().contains("connection refused"), "{end}");
    assert!((300..370).contains(&start.elapsed().as_secs()));
    assert!(requests <= 11, "{requests} requests");
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_spreads_requests_evenly() {
    let gate = gate(&[("REQUESTS_PER_SECOND", "10"), ("MAX_IN_FLIGHT", "100")]);

    let elapsed = seconds(join_all((0..51).map(|_| enter(&gate)))).await;

    assert_eq!(elapsed, 5);
    assert_eq!(gate.usage().requests, 51);
}

/// The server allows 20 requests within any second, and the client does not know this limit.
#[tokio::test(start_paused = true)]
async fn the_rate_settles_slightly_below_the_limit_of_the_server() {
    let gate = gate(&[]);
    let seen = Mutex::new(std::collections::VecDeque::new());
    let start = Instant::now();
    let (mut sent, mut refused) = (0_u32, 0_u32);

    while sent - refused < 3000 {
        let permit = enter(&gate).await;
        tokio::time::advance(Duration::from_millis(2)).await;
        sent += 1;
        let now = Instant::now();
        let mut seen = seen.lock().unwrap();
        seen.retain(|then| now - *then < Duration::from_secs(1));
        if seen.len() < 20 {
            seen.push_back(now);
            permit.report(&good()).unwrap();
        } else {
            refused += 1;
            permit.report(&throttled(None)).unwrap();
        }
    }

    let rate = f64::from(sent - refused) / start.elapsed().as_secs_f64();
    assert!(rate >= 0.85 * 20.0, "{rate} requests a second");
    assert!(f64::from(refused) < 0.02 * f64::from(sent), "{refused} of {sent} were refused");
}
