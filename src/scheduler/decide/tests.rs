//! Test cases of [`decide()`].

use super::*;

/// Monday 03:00 in Seoul.
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

/// A run of a tick that took ten minutes.
fn served(id: i64, tick: DateTime<Utc>) -> RunRecord {
    RunRecord {
        id: RunId(id),
        trigger: Trigger::Schedule,
        scheduled_for: Some(tick),
        status: Status::Succeeded,
        started_at: tick,
        finished_at: Some(tick + TimeDelta::minutes(10)),
        heartbeat_at: tick + TimeDelta::minutes(10),
        resume_at: None,
        resumed_count: 0,
        is_full: true,
        is_requested: false,
    }
}

fn unfinished(id: i64, tick: DateTime<Utc>) -> RunRecord {
    RunRecord { status: Status::Interrupted, finished_at: None, resume_at: Some(tick), ..served(id, tick) }
}

fn by_hand(record: &RunRecord, started_at: DateTime<Utc>) -> RunRecord {
    RunRecord { trigger: Trigger::Manual, scheduled_for: None, started_at, ..record.clone() }
}

fn past(runs: &[RunRecord]) -> Past<'_> {
    Past { runs, pauses: &[] }
}

fn weekly(now: DateTime<Utc>, history: &[RunRecord]) -> Decision {
    decide(now, &schedule("0 0 3 * * Mon"), past(history), windows())
}

fn start(trigger: Trigger) -> Decision {
    Decision::Start { tick: utc(TICK), trigger }
}

fn skipped(decision: Decision) -> (DateTime<Utc>, String) {
    let Decision::Skip { tick, reason } = decision else { panic!("not skipped: {decision:?}") };
    (tick, reason)
}

#[test]
fn a_tick_counts_as_on_time_for_one_minute() {
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
fn a_tick_missed_by_more_than_its_window_is_skipped_with_a_reason() {
    let monthly = schedule("0 0 3 23 * *");
    let history = [served(1, utc("2026-10-22T18:00:00Z"))];

    let decision = decide(after_tick(8 * 24 * 3600), &monthly, past(&history), windows());

    let (tick, reason) = skipped(decision);
    assert_eq!(tick, utc(TICK));
    assert_eq!(reason, "missed by 8days; the catch-up window is 7days");
}

#[test]
fn a_tick_with_a_row_is_not_run_again() {
    for status in [Status::Succeeded, Status::Partial, Status::Failed, Status::Skipped] {
        let history = [RunRecord { status, ..served(1, utc(TICK)) }];

        assert_eq!(weekly(after_tick(30), &history), Decision::Wait, "{status}");
        assert_eq!(weekly(after_tick(3 * 24 * 3600), &history), Decision::Wait, "{status}");
    }
}

#[test]
fn a_new_installation_crawls_immediately_unless_the_catch_up_window_is_zero() {
    let now = after_tick(3 * 24 * 3600);
    let never = Windows { catch_up: Duration::ZERO, ..windows() };

    assert_eq!(weekly(now, &[]), start(Trigger::CatchUp));
    assert_eq!(decide(now, &schedule("0 0 3 * * Mon"), past(&[]), never), Decision::Wait);
    assert_eq!(decide(after_tick(5), &schedule("0 0 3 * * Mon"), past(&[]), never), start(Trigger::Schedule));
}

#[test]
fn of_several_missed_ticks_the_latest_is_run_and_the_others_are_skipped() {
    let mut history = vec![served(1, weeks_before(3))];

    for weeks in [2, 1] {
        let (tick, reason) = skipped(weekly(after_tick(3600), &history));
        assert_eq!(tick, weeks_before(weeks));
        assert!(reason.contains("only the latest missed tick is caught up"), "{reason}");
        history.insert(0, RunRecord { status: Status::Skipped, ..served(9, tick) });
    }

    assert_eq!(weekly(after_tick(3600), &history), start(Trigger::CatchUp));
}

#[test]
fn at_most_ten_past_ticks_are_checked() {
    let history = [served(1, weeks_before(30))];

    assert_eq!(skipped(weekly(after_tick(0), &history)).0, weeks_before(9));
}

#[test]
fn an_unfinished_run_is_resumed_before_a_tick_is_run() {
    let history = [unfinished(7, utc(TICK) - TimeDelta::days(1))];

    assert_eq!(weekly(after_tick(5), &history), Decision::Resume(RunId(7)));
}

#[test]
fn a_run_with_status_running_is_resumed_if_its_lock_is_free() {
    let history = [RunRecord { status: Status::Running, resume_at: None, ..unfinished(7, utc(TICK)) }];

    assert_eq!(weekly(after_tick(600), &history), Decision::Resume(RunId(7)));
}

#[test]
fn a_tick_during_a_run_is_skipped() {
    let long = RunRecord { finished_at: Some(after_tick(3600)), ..served(7, utc(TICK) - TimeDelta::days(1)) };
    let waiting = RunRecord { resume_at: Some(after_tick(7200)), ..unfinished(7, utc(TICK) - TimeDelta::days(1)) };

    assert_eq!(skipped(weekly(after_tick(3601), &[long])), (utc(TICK), "run 7 was in progress".to_owned()));
    assert_eq!(skipped(weekly(after_tick(5), &[waiting])), (utc(TICK), "run 7 was in progress".to_owned()));
}

#[test]
fn an_unfinished_run_is_not_resumed_before_its_time() {
    let history = [RunRecord { resume_at: Some(after_tick(1800)), ..unfinished(7, utc(TICK)) }];

    assert_eq!(weekly(after_tick(1799), &history), Decision::Wait);
    assert_eq!(weekly(after_tick(1800), &history), Decision::Resume(RunId(7)));
}

#[test]
fn an_unfinished_run_is_abandoned_when_its_window_is_over() {
    let history = [unfinished(7, utc(TICK))];
    let days = |days: i64| after_tick(days * 24 * 3600);

    assert_eq!(weekly(days(3), &history), Decision::Resume(RunId(7)));
    assert!(matches!(weekly(days(3) + TimeDelta::seconds(1), &history), Decision::Abandon(RunId(7), _)));
}

#[test]
fn a_run_that_was_abandoned_late_skips_no_tick_after_its_window() {
    let noticed = Some(after_tick(3600));
    let abandoned = |status| RunRecord { status, finished_at: noticed, ..served(7, weeks_before(1)) };

    assert_eq!(weekly(after_tick(3600), &[abandoned(Status::Failed)]), start(Trigger::CatchUp));
    let (_, reason) = skipped(weekly(after_tick(3600), &[abandoned(Status::Succeeded)]));
    assert_eq!(reason, "run 7 was in progress", "a run that succeeded was in progress for the whole week");
}

#[test]
fn the_resume_window_of_a_late_run_begins_at_its_start() {
    let started_at = after_tick(5 * 24 * 3600);
    let late = RunRecord { trigger: Trigger::CatchUp, started_at, ..unfinished(7, utc(TICK)) };

    assert_eq!(weekly(started_at + TimeDelta::days(1), &[late]), Decision::Resume(RunId(7)));
}

#[test]
fn the_resume_window_of_a_manual_run_begins_at_its_start_and_it_counts_for_no_later_tick() {
    let done = by_hand(&RunRecord { finished_at: Some(after_tick(-3600)), ..served(2, utc(TICK)) }, after_tick(-7200));
    let open = by_hand(&unfinished(2, utc(TICK)), after_tick(-7200));

    assert_eq!(weekly(after_tick(5), &[done, served(1, weeks_before(1))]), start(Trigger::Schedule));
    assert_eq!(weekly(after_tick(5), &[open]), Decision::Resume(RunId(2)));
}

/// A finished manual run that was started this many seconds after the tick.
fn by_hand_after(id: i64, seconds: i64, status: Status) -> RunRecord {
    by_hand(&RunRecord { status, ..served(id, after_tick(seconds)) }, after_tick(seconds))
}

#[test]
fn a_full_manual_run_after_a_tick_counts_for_it() {
    for status in [Status::Succeeded, Status::Partial] {
        let mut history = [by_hand_after(2, 7200, status), served(1, weeks_before(1))];

        assert_eq!(
            weekly(after_tick(3 * 3600), &history),
            Decision::Tie { run: RunId(2), tick: utc(TICK) },
            "{status}"
        );
        history[0].scheduled_for = Some(utc(TICK));
        assert_eq!(weekly(after_tick(3 * 3600), &history), Decision::Wait, "{status}");
        assert_eq!(weekly(after_tick(6 * 24 * 3600), &history), Decision::Wait, "{status}");
    }
    let late = [by_hand_after(2, 0, Status::Succeeded), served(1, weeks_before(1))];
    let monthly = schedule("0 0 3 23 * *");
    let decision = decide(after_tick(8 * 24 * 3600), &monthly, past(&late), windows());
    assert_eq!(
        decision,
        Decision::Tie { run: RunId(2), tick: utc(TICK) },
        "a manual run counts even if the catch-up window is over"
    );
    assert_eq!(
        weekly(after_tick(3600), &[by_hand_after(1, 60, Status::Succeeded)]),
        Decision::Tie { run: RunId(1), tick: utc(TICK) },
        "a new installation whose first run was manual"
    );
}

#[test]
fn the_first_of_two_manual_runs_counts_for_the_tick() {
    let twice = [by_hand_after(3, 3600, Status::Succeeded), by_hand_after(2, 60, Status::Succeeded)];

    assert_eq!(weekly(after_tick(3 * 3600), &twice), Decision::Tie { run: RunId(2), tick: utc(TICK) });
}

#[test]
fn a_manual_run_that_failed_or_was_partial_scope_or_came_earlier_does_not_count_for_the_tick() {
    let before = weeks_before(1);
    let limited = RunRecord { is_full: false, ..by_hand_after(2, 60, Status::Succeeded) };
    for run in [by_hand_after(2, 60, Status::Failed), limited, by_hand_after(2, -1200, Status::Succeeded)] {
        assert_eq!(weekly(after_tick(3600), &[run.clone(), served(1, before)]), start(Trigger::CatchUp), "{run:?}");
    }
    let unfinished = by_hand(&unfinished(2, utc(TICK)), after_tick(60));
    assert_eq!(
        weekly(after_tick(3600), &[unfinished, served(1, before)]),
        Decision::Resume(RunId(2)),
        "an unfinished run comes first"
    );
}

#[test]
fn a_manual_run_counts_only_for_the_tick_just_before_it() {
    let two_weeks_ago = weeks_before(2);
    let between = by_hand(&served(2, weeks_before(1)), weeks_before(1) + TimeDelta::hours(1));
    let mut history = vec![between, served(1, two_weeks_ago)];

    assert_eq!(weekly(after_tick(5), &history), Decision::Tie { run: RunId(2), tick: weeks_before(1) });
    history[0].scheduled_for = Some(weeks_before(1));
    assert_eq!(weekly(after_tick(5), &history), start(Trigger::Schedule));

    let after_both = vec![by_hand_after(2, 60, Status::Succeeded), served(1, two_weeks_ago)];
    assert_eq!(skipped(weekly(after_tick(3600), &after_both)).0, weeks_before(1), "this tick was missed");
}

#[test]
fn a_partial_scope_run_is_not_resumed() {
    let scoped = RunRecord { is_full: false, ..by_hand(&unfinished(2, utc(TICK)), after_tick(-60)) };

    assert_eq!(weekly(after_tick(5), &[scoped]), start(Trigger::Schedule));
}

#[test]
fn a_clock_that_was_set_back_repeats_no_run() {
    let history = [served(2, utc(TICK)), served(1, weeks_before(1))];

    assert_eq!(weekly(after_tick(-3600), &history), Decision::Wait);
    assert_eq!(weekly(after_tick(5), &history), Decision::Wait);
}

#[test]
fn a_tick_that_was_run_while_the_clock_was_weeks_ahead_is_run_again_when_it_is_due() {
    let ahead = [served(3, weeks_before(-2)), served(2, weeks_before(-1)), served(1, weeks_before(1))];
    let early = |now, history: &[RunRecord]| ahead_of_time(now, history, windows());

    assert_eq!(early(after_tick(5), &ahead), Some(RunId(3)), "the clock is correct again");
    assert_eq!(early(after_tick(5), &ahead[1..]), Some(RunId(2)));
    assert_eq!(weekly(after_tick(5), &ahead[2..]), start(Trigger::Schedule));
    assert_eq!(
        early(weeks_before(-1) - TimeDelta::hours(23), &ahead[1..]),
        None,
        "a difference of less than a day is tolerated"
    );
    let skipped_now = RunRecord { started_at: weeks_before(-2), ..served(2, utc(TICK)) };
    assert_eq!(
        early(after_tick(5), &[skipped_now, served(1, weeks_before(1))]),
        Some(RunId(2)),
        "a due tick that was skipped as too late while the clock was ahead"
    );
    assert_eq!(early(weeks_before(2), &ahead), None, "every run lies in the future, so the current clock is wrong");
    let disabled = Windows { is_enabled: false, ..windows() };
    assert_eq!(ahead_of_time(after_tick(5), &ahead, disabled), None);
}

#[test]
fn a_resume_time_written_while_the_clock_was_ahead_is_ignored() {
    let waiting =
        |heartbeat_at| [RunRecord { heartbeat_at, resume_at: Some(weeks_before(-3)), ..unfinished(7, utc(TICK)) }];

    assert_eq!(weekly(after_tick(5), &waiting(after_tick(4))), Decision::Wait, "until the end of a month");
    assert_eq!(weekly(after_tick(5), &waiting(after_tick(24 * 3600))), Decision::Wait);
    assert_eq!(weekly(after_tick(5), &waiting(weeks_before(-2))), Decision::Resume(RunId(7)));
}

#[test]
fn daemons_whose_clocks_disagree_do_not_undo_each_others_decisions() {
    let (here, ahead) = (after_tick(5), weeks_before(-2));
    let clocks = Clocks { here, latest: ahead };
    let waiting = RunRecord { heartbeat_at: ahead, resume_at: Some(ahead), ..unfinished(7, utc(TICK)) };
    let decide = |clocks, history: &[RunRecord]| {
        next_decision(clocks, false, &schedule("0 0 3 * * Mon"), past(history), windows())
    };

    let resumed = [waiting];
    assert_eq!(decide(here.into(), &resumed), Decision::Resume(RunId(7)), "no clock is ahead");
    assert_eq!(decide(clocks, &resumed), Decision::Wait);
    let started = [served(2, ahead), served(1, utc(TICK))];
    assert_eq!(decide(here.into(), &started), Decision::Untie(RunId(2)), "no clock is ahead");
    assert_eq!(decide(clocks, &started), Decision::Wait);
    assert!(is_doubtful(here, &resumed) && is_doubtful(here, &started) && !is_doubtful(ahead, &started));
}

#[test]
fn an_end_that_was_recorded_while_the_clock_was_ahead_covers_no_tick() {
    let long = RunRecord { finished_at: Some(weeks_before(-3)), ..served(1, weeks_before(1)) };
    let history = [RunRecord { heartbeat_at: weeks_before(-3), ..long }];

    assert_eq!(weekly(after_tick(5), &history), start(Trigger::Schedule));
}

#[test]
fn a_run_of_the_future_counts_for_no_tick() {
    let requested = RunRecord { trigger: Trigger::Request, scheduled_for: None, ..served(2, weeks_before(-2)) };
    let history = [requested, served(1, weeks_before(1))];

    assert_eq!(weekly(after_tick(5), &history), start(Trigger::Schedule), "its tick would be removed again");
}

#[test]
fn the_tick_of_a_run_is_decided_again_even_if_the_clock_was_set_right_just_before_it_began() {
    let run = RunRecord { started_at: weeks_before(1), ..served(2, weeks_before(-2)) };

    assert_eq!(ahead_of_time(after_tick(5), &[run, served(1, weeks_before(2))], windows()), Some(RunId(2)));
}

#[test]
fn a_tick_that_the_clock_jumped_over_is_caught_up() {
    let history = [served(1, weeks_before(1))];

    assert_eq!(weekly(after_tick(2 * 3600), &history), start(Trigger::CatchUp));
}

#[test]
fn each_tick_of_a_day_with_a_daylight_saving_change_is_run_once() {
    let schedule = Schedule::parse("0 30 1 * * *", "America/New_York").unwrap();
    let mut history = vec![served(1, utc("2026-10-30T05:30:00Z"))];
    let mut now = utc("2026-10-30T05:31:00Z");

    // On 2026-11-01 the hour from 01:00 to 02:00 occurs twice.
    while now < utc("2026-11-03T12:00:00Z") {
        if let Decision::Start { tick, trigger } = decide(now, &schedule, past(&history), windows()) {
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
fn nothing_starts_if_the_schedule_is_disabled() {
    let off = Windows { is_enabled: false, ..windows() };

    for history in [vec![], vec![unfinished(7, utc(TICK))]] {
        assert_eq!(decide(after_tick(5), &schedule("0 0 3 * * Mon"), past(&history), off), Decision::Wait);
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
    let retry =
        |run: &RunRecord, seconds| retry_at_start(after_tick(seconds), past(std::slice::from_ref(run)), windows());

    assert_eq!(retry(&refused, 3600), Some(RunId(3)));
    assert_eq!(retry(&refused, 4 * 24 * 3600), None, "its window is over");
    assert_eq!(retry(&RunRecord { resume_at: None, ..refused.clone() }, 3600), None, "it failed for another reason");
    assert_eq!(
        retry_at_start(after_tick(3600), past(&[served(4, utc(TICK)), refused.clone()]), windows()),
        None,
        "a later run"
    );
    let disabled = Windows { is_enabled: false, ..windows() };
    assert_eq!(retry_at_start(after_tick(3600), past(&[refused]), disabled), None);
}

/// A pause from an hour before the tick until two hours after it.
fn pause() -> SchedulePause {
    let (since, until) = (after_tick(-3600), Some(after_tick(7200)));
    SchedulePause { since, until, reason: Some("new key".to_owned()), by: "kim@host".to_owned() }
}

fn paused(now: DateTime<Utc>, runs: &[RunRecord], pauses: &[SchedulePause]) -> Decision {
    decide(now, &schedule("0 0 3 * * Mon"), Past { runs, pauses }, windows())
}

#[test]
fn a_tick_in_a_pause_is_skipped_during_the_pause_and_is_not_caught_up_after_it() {
    let history = [served(1, weeks_before(1))];

    for seconds in [0, 60, 7100, 7300, 86_400] {
        let (tick, reason) = skipped(paused(after_tick(seconds), &history, &[pause()]));

        assert_eq!(tick, utc(TICK));
        let words = "paused from Mon 2026-11-23 02:00 until Mon 2026-11-23 05:00 (Seoul) by kim@host: new key";
        assert_eq!(reason, words);
    }
}

#[test]
fn a_pause_that_ended_before_the_tick_or_began_after_it_changes_nothing() {
    let history = [served(1, weeks_before(1))];
    let before = SchedulePause { until: Some(utc(TICK)), ..pause() };
    let after = SchedulePause { since: after_tick(1), until: None, ..pause() };

    assert_eq!(paused(after_tick(0), &history, &[before]), start(Trigger::Schedule));
    assert_eq!(paused(after_tick(0), &history, &[after]), start(Trigger::Schedule));
}

#[test]
fn a_tick_before_the_pause_is_caught_up_after_it() {
    let history = [served(1, weeks_before(1))];
    let pause = SchedulePause { since: after_tick(600), ..pause() };
    let decided = |seconds| paused(after_tick(seconds), &history, std::slice::from_ref(&pause));

    assert_eq!(decided(30), start(Trigger::Schedule));
    assert_eq!(decided(1200), Decision::Wait);
    assert_eq!(decided(7200), start(Trigger::CatchUp));
}

#[test]
fn a_full_run_that_a_user_started_serves_a_tick_in_a_pause() {
    let history = [by_hand_after(2, 60, Status::Succeeded), served(1, weeks_before(1))];

    assert_eq!(paused(after_tick(900), &history, &[pause()]), Decision::Tie { run: RunId(2), tick: utc(TICK) });
}

#[test]
fn an_unfinished_run_is_resumed_after_the_pause_unless_somebody_requested_it() {
    let ours = [unfinished(7, after_tick(-7200)), served(1, weeks_before(1))];
    let requested = [RunRecord { is_requested: true, is_full: false, ..by_hand(&ours[0], after_tick(-7200)) }];
    let off = Windows { is_enabled: false, ..windows() };

    assert!(matches!(paused(after_tick(0), &ours, &[pause()]), Decision::Skip { .. }));
    assert_eq!(paused(after_tick(-60), &ours, &[pause()]), Decision::Wait);
    assert_eq!(paused(after_tick(7200), &ours, &[pause()]), Decision::Resume(RunId(7)));
    assert_eq!(paused(after_tick(-60), &requested, &[pause()]), Decision::Resume(RunId(7)));
    assert_eq!(decide(after_tick(-60), &schedule("0 0 3 * * Mon"), past(&requested), off), Decision::Resume(RunId(7)));
}

#[test]
fn a_full_run_that_somebody_requested_serves_the_tick_before_it() {
    let requested = RunRecord { trigger: Trigger::Request, ..by_hand_after(2, 60, Status::Succeeded) };

    let decision = weekly(after_tick(900), &[requested, served(1, weeks_before(1))]);

    assert_eq!(decision, Decision::Tie { run: RunId(2), tick: utc(TICK) });
}

#[test]
fn a_cancelled_run_is_not_caught_up() {
    let cancelled = RunRecord { status: Status::Cancelled, ..served(2, utc(TICK)) };

    assert_eq!(weekly(after_tick(3600), &[cancelled, served(1, weeks_before(1))]), Decision::Wait);
}
