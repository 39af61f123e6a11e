//! The gate under paused time: who goes when.

use futures_util::{FutureExt, future::join_all};

use super::*;
use crate::config::{Config, Environment};

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
async fn no_more_than_the_limit_pass() {
    let gate = gate(&[("MAX_IN_FLIGHT", "2")]);
    let first = enter(&gate).await;
    let _second = enter(&gate).await;

    assert!(enter(&gate).now_or_never().is_none());
    drop(first);
    assert!(enter(&gate).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_due_goes_before_a_new_cell() {
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
async fn whoever_gives_up_waiting_holds_nobody_back() {
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
async fn one_throttled_request_pauses_all_and_one_goes_first() {
    let gate = gate(&[]);
    let permit = enter(&gate).await;
    assert_eq!(permit.report(&throttled(None)), Ok(Blame::Gate));

    let start = Instant::now();
    let probe = enter(&gate).await;
    assert_eq!(start.elapsed().as_secs(), 1);
    assert!(enter(&gate).now_or_never().is_none(), "nobody follows the probe");

    probe.report(&good()).unwrap();
    assert!(join_all([enter(&gate), enter(&gate)]).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn pauses_in_a_row_grow_to_a_minute() {
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
async fn requests_thrown_out_together_count_once() {
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
async fn a_refusal_that_comes_after_the_pause_is_no_news() {
    let gate = gate(&[]);
    let (first, late) = (enter(&gate).await, enter(&gate).await);
    first.report(&throttled(None)).unwrap();
    enter(&gate).await.report(&good()).unwrap();

    late.report(&throttled(None)).unwrap();

    assert!(enter(&gate).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let gate = gate(&[]);
    enter(&gate).await.report(&throttled(Some(30))).unwrap();

    assert_eq!(seconds(enter(&gate)).await, 30);
}

#[tokio::test(start_paused = true)]
async fn one_page_that_hangs_pauses_nobody_while_others_are_answered() {
    let gate = gate(&[]);
    let (hanging, other) = (enter(&gate).await, enter(&gate).await);
    tokio::time::advance(Duration::from_secs(1)).await;
    other.report(&good()).unwrap();

    assert_eq!(hanging.report(&Answer::Unreachable("no answer".to_owned())), Ok(Blame::Page));
    assert!(enter(&gate).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_api_that_does_not_answer_at_all_pauses_everybody() {
    let gate = gate(&[]);

    let blame = enter(&gate).await.report(&Answer::Unreachable("connection refused".to_owned()));

    assert_eq!(blame, Ok(Blame::Gate));
    assert_eq!(seconds(enter(&gate)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_request_leaves_when_the_stop_token_fires() {
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
async fn nothing_but_429_for_ten_minutes_is_a_spent_quota() {
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
async fn an_api_that_is_away_is_given_up_after_a_while() {
    let gate = gate(&[("GIVE_UP_AFTER", "5m")]);
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

/// A server that allows 20 requests within any second, and a client that is not told so.
#[tokio::test(start_paused = true)]
async fn the_pace_settles_a_little_below_what_the_server_allows() {
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
