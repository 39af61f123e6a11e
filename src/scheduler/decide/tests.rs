//! The table of cases.

use super::*;

/// A Monday at three in Seoul.
const TICK: &str = "2026-11-22T18:00:00Z";

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn after_tick(seconds: i64) -> DateTime<Utc> {
    utc(TICK) + TimeDelta::seconds(seconds)
}

fn weeks_before(weeks: i64) -> DateTime<Utc> {
    utc(TICK) - TimeDelta::weeks(weeks)
}

fn schedule(cron: &str) -> Schedule {
    Schedule::parse(cron, "Asia/Seoul").unwrap()
}

const DAY: u64 = 24 * 3600;

fn windows() -> Windows {
    let days = |days| Duration::from_secs(days * DAY);
    Windows { is_enabled: true, catch_up: days(7), resume: days(3) }
}

/// A run that served a tick and took ten minutes.
fn served(id: i64, tick: DateTime<Utc>) -> RunRecord {
    RunRecord {
        id: RunId(id),
        trigger: Trigger::Schedule,
        scheduled_for: Some(tick),
        status: Status::Succeeded,
        started_at: tick,
        finished_at: Some(tick + TimeDelta::minutes(10)),
        resume_at: None,
        resumed_count: 0,
        is_full: true,
    }
}

fn unfinished(id: i64, tick: DateTime<Utc>) -> RunRecord {
    RunRecord { status: Status::Interrupted, finished_at: None, resume_at: Some(tick), ..served(id, tick) }
}

fn by_hand(record: &RunRecord, started_at: DateTime<Utc>) -> RunRecord {
    RunRecord { trigger: Trigger::Manual, scheduled_for: None, started_at, ..record.clone() }
}

fn weekly(now: DateTime<Utc>, history: &[RunRecord]) -> Decision {
    decide(now, &schedule("0 0 3 * * Mon"), history, windows())
}

fn start(trigger: Trigger) -> Decision {
    Decision::Start { tick: utc(TICK), trigger }
}

fn skipped(decision: Decision) -> (DateTime<Utc>, String) {
    let Decision::Skip { tick, reason } = decision else { panic!("not skipped: {decision:?}") };
    (tick, reason)
}

#[test]
fn a_tick_runs_at_its_second_and_up_to_a_minute_later_on_time() {
    let history = [served(1, weeks_before(1))];

    assert_eq!(weekly(after_tick(-1), &history), Decision::Wait);
    assert_eq!(weekly(after_tick(0), &history), start(Trigger::Schedule));
    assert_eq!(weekly(after_tick(60), &history), start(Trigger::Schedule));
    assert_eq!(weekly(after_tick(61), &history), start(Trigger::CatchUp));
}

#[test]
fn a_missed_tick_is_caught_up_within_its_window() {
    let history = [served(1, weeks_before(1))];

    assert_eq!(weekly(after_tick(3 * 24 * 3600), &history), start(Trigger::CatchUp));
}

#[test]
fn a_tick_missed_for_longer_is_skipped_with_the_reason() {
    let monthly = schedule("0 0 3 23 * *");
    let history = [served(1, utc("2026-10-22T18:00:00Z"))];

    let decision = decide(after_tick(8 * 24 * 3600), &monthly, &history, windows());

    let (tick, reason) = skipped(decision);
    assert_eq!(tick, utc(TICK));
    assert_eq!(reason, "nobody ran it in time: 8days late, the catch-up window is 7days");
}

#[test]
fn a_tick_that_has_a_row_is_settled() {
    for status in [Status::Succeeded, Status::Partial, Status::Failed, Status::Skipped] {
        let history = [RunRecord { status, ..served(1, utc(TICK)) }];

        assert_eq!(weekly(after_tick(30), &history), Decision::Wait, "{status}");
        assert_eq!(weekly(after_tick(3 * 24 * 3600), &history), Decision::Wait, "{status}");
    }
}

#[test]
fn a_new_installation_crawls_at_once_unless_nothing_is_caught_up() {
    let now = after_tick(3 * 24 * 3600);
    let never = Windows { catch_up: Duration::ZERO, ..windows() };

    assert_eq!(weekly(now, &[]), start(Trigger::CatchUp));
    assert_eq!(decide(now, &schedule("0 0 3 * * Mon"), &[], never), Decision::Wait);
    assert_eq!(decide(after_tick(5), &schedule("0 0 3 * * Mon"), &[], never), start(Trigger::Schedule));
}

#[test]
fn of_several_missed_ticks_the_latest_is_run_and_the_others_are_skipped() {
    let mut history = vec![served(1, weeks_before(3))];

    for weeks in [2, 1] {
        let (tick, reason) = skipped(weekly(after_tick(3600), &history));
        assert_eq!(tick, weeks_before(weeks));
        assert!(reason.contains("only the latest tick is caught up"), "{reason}");
        history.insert(0, RunRecord { status: Status::Skipped, ..served(9, tick) });
    }

    assert_eq!(weekly(after_tick(3600), &history), start(Trigger::CatchUp));
}

#[test]
fn no_more_than_ten_ticks_are_looked_back_for() {
    let history = [served(1, weeks_before(30))];

    assert_eq!(skipped(weekly(after_tick(0), &history)).0, weeks_before(9));
}

#[test]
fn an_unfinished_run_is_resumed_before_a_tick_is_served() {
    let history = [unfinished(7, utc(TICK) - TimeDelta::days(1))];

    assert_eq!(weekly(after_tick(5), &history), Decision::Resume(RunId(7)));
}

#[test]
fn a_run_whose_process_is_silent_is_tried() {
    let history = [RunRecord { status: Status::Running, resume_at: None, ..unfinished(7, utc(TICK)) }];

    assert_eq!(weekly(after_tick(600), &history), Decision::Resume(RunId(7)));
}

#[test]
fn a_tick_during_a_run_is_skipped() {
    let long = RunRecord { finished_at: Some(after_tick(3600)), ..served(7, utc(TICK) - TimeDelta::days(1)) };
    let waiting = RunRecord { resume_at: Some(after_tick(7200)), ..unfinished(7, utc(TICK) - TimeDelta::days(1)) };

    assert_eq!(skipped(weekly(after_tick(3601), &[long])), (utc(TICK), "run 7 was under way".to_owned()));
    assert_eq!(skipped(weekly(after_tick(5), &[waiting])), (utc(TICK), "run 7 was under way".to_owned()));
}

#[test]
fn an_unfinished_run_waits_for_its_time() {
    let history = [RunRecord { resume_at: Some(after_tick(1800)), ..unfinished(7, utc(TICK)) }];

    assert_eq!(weekly(after_tick(1799), &history), Decision::Wait);
    assert_eq!(weekly(after_tick(1800), &history), Decision::Resume(RunId(7)));
}

#[test]
fn an_unfinished_run_is_given_up_when_its_window_is_over() {
    let history = [unfinished(7, utc(TICK))];
    let days = |days: i64| after_tick(days * 24 * 3600);

    assert_eq!(weekly(days(3), &history), Decision::Resume(RunId(7)));
    assert!(matches!(weekly(days(3) + TimeDelta::seconds(1), &history), Decision::GiveUp(RunId(7), _)));
}

#[test]
fn a_run_that_was_given_up_late_costs_no_tick_after_its_window() {
    let noticed = Some(after_tick(3600));
    let given_up = |status| RunRecord { status, finished_at: noticed, ..served(7, weeks_before(1)) };

    assert_eq!(weekly(after_tick(3600), &[given_up(Status::Failed)]), start(Trigger::CatchUp));
    let (_, reason) = skipped(weekly(after_tick(3600), &[given_up(Status::Succeeded)]));
    assert_eq!(reason, "run 7 was under way", "a week's work is work");
}

#[test]
fn a_late_run_has_its_whole_window_from_its_start() {
    let started_at = after_tick(5 * 24 * 3600);
    let late = RunRecord { trigger: Trigger::CatchUp, started_at, ..unfinished(7, utc(TICK)) };

    assert_eq!(weekly(started_at + TimeDelta::days(1), &[late]), Decision::Resume(RunId(7)));
}

#[test]
fn a_run_by_hand_counts_from_its_start_and_serves_no_tick() {
    let done = by_hand(&RunRecord { finished_at: Some(after_tick(-3600)), ..served(2, utc(TICK)) }, after_tick(-7200));
    let open = by_hand(&unfinished(2, utc(TICK)), after_tick(-7200));

    assert_eq!(weekly(after_tick(5), &[done, served(1, weeks_before(1))]), start(Trigger::Schedule));
    assert_eq!(weekly(after_tick(5), &[open]), Decision::Resume(RunId(2)));
}

#[test]
fn a_run_with_a_scope_is_left_alone() {
    let scoped = RunRecord { is_full: false, ..by_hand(&unfinished(2, utc(TICK)), after_tick(-60)) };

    assert_eq!(weekly(after_tick(5), &[scoped]), start(Trigger::Schedule));
}

#[test]
fn a_clock_that_went_back_repeats_nothing() {
    let history = [served(2, utc(TICK)), served(1, weeks_before(1))];

    assert_eq!(weekly(after_tick(-3600), &history), Decision::Wait);
    assert_eq!(weekly(after_tick(5), &history), Decision::Wait);
}

#[test]
fn a_tick_that_was_served_while_the_clock_was_weeks_ahead_is_served_when_it_comes() {
    let ahead = [served(3, weeks_before(-2)), served(2, weeks_before(-1)), served(1, weeks_before(1))];
    let early = |now, history: &[RunRecord]| ahead_of_time(now, history, windows());

    assert_eq!(early(after_tick(5), &ahead), Some(RunId(3)), "the clock is right again");
    assert_eq!(early(after_tick(5), &ahead[1..]), Some(RunId(2)));
    assert_eq!(weekly(after_tick(5), &ahead[2..]), start(Trigger::Schedule));
    assert_eq!(early(weeks_before(-1) - TimeDelta::hours(23), &ahead[1..]), None, "clocks differ a little");
    let skipped_now = RunRecord { started_at: weeks_before(-2), ..served(2, utc(TICK)) };
    assert_eq!(
        early(after_tick(5), &[skipped_now, served(1, weeks_before(1))]),
        Some(RunId(2)),
        "due, and judged too late"
    );
    assert_eq!(early(weeks_before(2), &ahead), None, "all of history lies ahead: this clock is wrong");
    let disabled = Windows { is_enabled: false, ..windows() };
    assert_eq!(ahead_of_time(after_tick(5), &ahead, disabled), None);
}

#[test]
fn a_wait_that_a_clock_ahead_has_written_is_not_waited_for() {
    let waiting = |at| [RunRecord { resume_at: Some(at), ..unfinished(7, utc(TICK)) }];

    assert_eq!(weekly(after_tick(5), &waiting(after_tick(24 * 3600))), Decision::Wait);
    assert_eq!(weekly(after_tick(5), &waiting(weeks_before(-2))), Decision::Resume(RunId(7)));
}

#[test]
fn a_clock_that_jumped_forward_serves_the_tick_it_passed() {
    let history = [served(1, weeks_before(1))];

    assert_eq!(weekly(after_tick(2 * 3600), &history), start(Trigger::CatchUp));
}

#[test]
fn each_tick_of_a_day_with_a_clock_change_is_served_once() {
    let schedule = Schedule::parse("0 30 1 * * *", "America/New_York").unwrap();
    let mut history = vec![served(1, utc("2026-10-30T05:30:00Z"))];
    let mut now = utc("2026-10-30T05:31:00Z");

    // On 2026-11-01 the hour from one to two comes twice.
    while now < utc("2026-11-03T12:00:00Z") {
        if let Decision::Start { tick, trigger } = decide(now, &schedule, &history, windows()) {
            assert_eq!(trigger, Trigger::Schedule);
            history.insert(0, served(9, tick));
        }
        now += TimeDelta::seconds(10);
    }

    let days: Vec<String> =
        history.iter().filter_map(|run| run.scheduled_for).map(|at| at.date_naive().to_string()).collect();
    assert_eq!(days.len(), 5, "{days:?}");
}

#[test]
fn nothing_starts_where_it_is_switched_off() {
    let off = Windows { is_enabled: false, ..windows() };

    for history in [vec![], vec![unfinished(7, utc(TICK))]] {
        assert_eq!(decide(after_tick(5), &schedule("0 0 3 * * Mon"), &history, off), Decision::Wait);
    }
}

#[test]
fn a_refused_key_is_tried_again_at_the_start_of_a_daemon_within_the_window() {
    let refused = RunRecord {
        status: Status::Failed,
        resume_at: Some(utc(TICK)),
        finished_at: Some(utc(TICK)),
        ..served(3, utc(TICK))
    };
    let retry = |run: &RunRecord, seconds| retry_at_start(after_tick(seconds), std::slice::from_ref(run), windows());

    assert_eq!(retry(&refused, 3600), Some(RunId(3)));
    assert_eq!(retry(&refused, 4 * 24 * 3600), None, "its window is over");
    assert_eq!(retry(&RunRecord { resume_at: None, ..refused.clone() }, 3600), None, "it failed for another reason");
    assert_eq!(
        retry_at_start(after_tick(3600), &[served(4, utc(TICK)), refused.clone()], windows()),
        None,
        "a later run"
    );
    let disabled = Windows { is_enabled: false, ..windows() };
    assert_eq!(retry_at_start(after_tick(3600), &[refused], disabled), None);
}
