//! Test cases, and properties that hold for every schedule in every zone.

use chrono::{Datelike, Timelike};

use super::*;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn weekly() -> Schedule {
    Schedule::parse("0 0 3 * * Mon", "Asia/Seoul").unwrap()
}

fn seoul(cron: &str) -> Schedule {
    Schedule::parse(cron, "Asia/Seoul").unwrap_or_else(|error| panic!("{error}"))
}

fn refused(cron: &str) -> String {
    Schedule::parse(cron, "Asia/Seoul").expect_err(cron).to_string()
}

/// The ticks in a period, found with `next_after`.
fn forward(schedule: &Schedule, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let ticks = std::iter::successors(schedule.next_after(from), |tick| schedule.next_after(*tick));
    ticks.take_while(|tick| *tick <= until).collect()
}

/// The ticks in a period, found with `last_until`, in ascending order.
fn backward(schedule: &Schedule, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let before = |tick: &DateTime<Utc>| schedule.last_until(*tick - TimeDelta::seconds(1));
    let mut ticks: Vec<_> =
        std::iter::successors(schedule.last_until(until), before).take_while(|tick| *tick > from).collect();
    ticks.reverse();
    ticks
}

#[test]
fn monday_three_in_seoul_is_sunday_eighteen_utc() {
    assert_eq!(weekly().next_after(utc("2026-11-22T11:32:17.25Z")), Some(utc("2026-11-22T18:00:00Z")));
    assert_eq!(weekly().last_until(utc("2026-11-22T11:32:17.25Z")), Some(utc("2026-11-15T18:00:00Z")));
}

#[test]
fn a_tick_is_due_at_its_exact_second() {
    assert_eq!(weekly().last_until(utc("2026-11-22T18:00:00.3Z")), Some(utc("2026-11-22T18:00:00Z")));
    assert_eq!(weekly().next_after(utc("2026-11-22T18:00:00.3Z")), Some(utc("2026-11-29T18:00:00Z")));
}

#[test]
fn five_six_and_seven_fields_are_accepted() {
    let next = |cron| seoul(cron).next_after(utc("2026-11-22T11:00:00Z"));

    assert_eq!(next("0 3 * * Mon"), Some(utc("2026-11-22T18:00:00Z")));
    assert_eq!(next("30 0 3 * * 1"), Some(utc("2026-11-22T18:00:30Z")));
    assert_eq!(next("0 0 3 1 1 * 2028"), Some(utc("2027-12-31T18:00:00Z")));
}

#[test]
fn an_impossible_or_past_date_has_no_next_tick() {
    let next = |cron| seoul(cron).next_after(utc("2026-11-22T11:00:00Z"));

    assert_eq!(next("0 0 3 30 2 *"), None);
    assert_eq!(next("0 0 3 * * Mon 2020"), None);
}

#[test]
fn names_nicknames_and_korean_weekdays_are_normalized() {
    let meanings = [
        ("0 3 * * Monday", "0 0 3 * * Mon"),
        ("0 3 * * MONDAY-friday", "0 0 3 * * Mon-Fri"),
        ("0 3 * * 월", "0 0 3 * * Mon"),
        ("0 3 * * 월,수요일,일", "0 0 3 * * Mon,Wed,Sun"),
        ("0 3 * * 토-일", "0 0 3 * * Sat-Sun"),
        ("0 3 1 January,Jul *", "0 0 3 1 Jan,Jul *"),
        ("0 3 1 1월,7월 *", "0 0 3 1 1,7 *"),
        ("0 3 * * 7L", "0 0 3 * * 0L"),
        ("0 3 * * SundayL", "0 0 3 * * SunL"),
        ("0 3 * * 금L", "0 0 3 * * FriL"),
        ("0 3 * * MON#1", "0 0 3 * * Mon#1"),
        ("0 3 ? * Mon", "0 0 3 ? * Mon"),
        ("@hourly", "0 0 * * * *"),
        ("@daily", "0 0 0 * * *"),
        ("@midnight", "0 0 0 * * *"),
        ("@Weekly", "0 0 0 * * Sun"),
        ("@monthly", "0 0 0 1 * *"),
        ("@yearly", "0 0 0 1 1 *"),
    ];
    for (cron, meaning) in meanings {
        let schedule = seoul(cron);
        assert_eq!(schedule.expression(), meaning, "{cron}");
        assert!(schedule.next_after(utc("2026-11-22T11:00:00Z")).is_some(), "{cron} is never due");
    }
}

#[test]
fn days_relative_to_the_end_or_the_middle_of_a_month_are_due_on_the_right_date() {
    // The date in Seoul of the first tick from Sunday, 1 November 2026.
    let next = |cron| {
        let tick = seoul(cron).next_after(utc("2026-10-31T15:00:00Z")).unwrap();
        tick.with_timezone(&chrono_tz::Asia::Seoul).format("%a %Y-%m-%d").to_string()
    };

    assert_eq!(next("0 3 * * 7L"), "Sun 2026-11-29");
    assert_eq!(next("0 3 * * SunL"), "Sun 2026-11-29");
    assert_eq!(next("0 3 * * 5L"), "Fri 2026-11-27");
    assert_eq!(next("0 3 * * MON#1"), "Mon 2026-11-02");
    assert_eq!(next("0 3 * * 7#2"), "Sun 2026-11-08");
    assert_eq!(next("0 3 L * *"), "Mon 2026-11-30");
    assert_eq!(next("0 3 15W * *"), "Mon 2026-11-16");
    assert_eq!(next("0 3 ? * 월요일"), "Mon 2026-11-02");
}

#[test]
fn the_error_for_an_invalid_expression_names_the_field_and_its_allowed_values() {
    let sentences = [
        ("3 * *", "it has 3 fields; expected 5, 6 or 7"),
        ("", "it has 0 fields"),
        ("@reboot", "unknown nickname; the nicknames are @hourly, @daily, @midnight, @weekly"),
        ("0 0 25 * * Mon", r#""25" is not an hour; write 0 to 23"#),
        ("60 3 * * Mon", r#""60" is not a minute; write 0 to 59"#),
        ("0 3 * * Mond", r#""Mond" is not a weekday; write 0 to 7, Sun to Sat, Mon#1"#),
        ("0 3 * * 8", r#""8" is not a weekday"#),
        ("0 3 * * L", r#""L" is not a weekday"#),
        ("0 3 * * 5W", r#""5W" is not a weekday"#),
        ("0 3 * * Mon#6", r#""Mon#6" is not a weekday"#),
        ("0 3 * * Fri-Mon", r#""Fri-Mon" is not a weekday (the range Fri-Mon ends before it begins)"#),
        ("0 22-2 * * *", r#""22-2" is not an hour (the range 22-2 ends before it begins)"#),
        ("0 3 LW * *", r#""LW" is not a day of the month; write 1 to 31, L (the last day) or 15W"#),
        ("0 3 Mon * *", r#""Mon" is not a day of the month"#),
        ("0 3 * Mon *", r#""Mon" is not a month; write 1 to 12 or Jan to Dec"#),
        ("0 3 * 월 *", r#""월" is not a month"#),
        ("0 three * * *", r#""three" is not an hour"#),
        ("0 3 * * Mon,", r#""Mon," is not a weekday"#),
        ("0 */0 * * *", r#""*/0" is not an hour"#),
        ("0 0 3 * * Mon 20x8", r#""20x8" is not a year"#),
    ];
    for (cron, sentence) in sentences {
        let error = refused(cron);
        assert!(error.contains(sentence), "{cron}: {error}");
        assert!(error.starts_with(&format!("{cron:?} is not a cron expression: ")), "{error}");
        assert!(error.ends_with(r#"; for Monday 03:00 write "0 0 3 * * Mon""#), "{error}");
    }
    let zone = Schedule::parse("0 0 3 * * Mon", "Seoul").unwrap_err().to_string();
    assert_eq!(zone, r#""Seoul" is not a time zone; write a name such as "Asia/Seoul""#);
}

#[test]
fn a_tick_in_the_hour_that_is_skipped_is_due_when_clocks_are_set_forward() {
    // On 2026-03-08 the clocks of New York are set from 02:00 to 03:00, at 07:00 UTC.
    let set = utc("2026-03-08T07:00:00Z");
    for cron in ["0 30 2 * * Sun", "0 0 2 * * *", "0 0,30 2 * * *"] {
        let schedule = Schedule::parse(cron, "America/New_York").unwrap();

        assert_eq!(schedule.next_after(utc("2026-03-08T06:59:59Z")), Some(set), "{cron}");
        assert_eq!(schedule.last_until(set), Some(set), "{cron}");
        assert_eq!(schedule.last_until(utc("2026-03-08T12:00:00Z")), Some(set), "{cron}");
        assert!(schedule.last_until(utc("2026-03-08T06:59:59Z")).unwrap() < utc("2026-03-08T00:00:00Z"), "{cron}");
    }
}

#[test]
fn an_hourly_schedule_runs_in_both_passes_of_a_repeated_hour_and_a_fixed_one_in_the_first() {
    // On 2026-11-01 the hour from 01:00 to 02:00 occurs twice in New York, from 05:00 and from 06:00 UTC.
    let ticks = |cron| {
        let schedule = Schedule::parse(cron, "America/New_York").unwrap();
        let ticks = forward(&schedule, utc("2026-11-01T04:59:59Z"), utc("2026-11-01T07:00:00Z"));
        ticks.iter().map(|tick| tick.format("%H:%M").to_string()).collect::<Vec<_>>()
    };

    assert_eq!(ticks("0 0 * * * *"), ["05:00", "06:00", "07:00"]);
    assert_eq!(ticks("@hourly"), ["05:00", "06:00", "07:00"]);
    assert_eq!(ticks("0 0 0-23 * * *"), ["05:00", "06:00", "07:00"], "every hour, listed");
    assert_eq!(ticks("0 */30 1 * * *"), ["05:00", "05:30", "06:00", "06:30"], "a wildcard");
    assert_eq!(ticks("0 30 1 * * *"), ["05:30"]);
    assert_eq!(ticks("0 0,30 1 * * *"), ["05:00", "05:30"]);
    assert_eq!(ticks("0 0 1,2 * * *"), ["05:00", "07:00"]);
}

#[test]
fn an_hourly_schedule_continues_after_an_hour_that_is_skipped() {
    let hourly = Schedule::parse("0 30 * * * *", "America/New_York").unwrap();

    let ticks = forward(&hourly, utc("2026-03-08T06:00:00Z"), utc("2026-03-08T08:00:00Z"));

    assert_eq!(ticks, [utc("2026-03-08T06:30:00Z"), utc("2026-03-08T07:30:00Z")]);
}

/// Zones with different kinds of clock changes, each with a year in which one occurs.
const ZONES: [(&str, i32); 12] = [
    ("Asia/Seoul", 2026),
    ("Asia/Seoul", 1988),
    ("America/New_York", 2026),
    ("Europe/Berlin", 2026),
    // A change by half an hour.
    ("Australia/Lord_Howe", 2026),
    // A change by two hours.
    ("Antarctica/Troll", 2026),
    // A change at midnight.
    ("America/Havana", 2026),
    ("America/Sao_Paulo", 2018),
    // Clocks are set back during Ramadan.
    ("Africa/Casablanca", 2026),
    // A whole day is skipped.
    ("Pacific/Apia", 2011),
    // The offset changes by half an hour, without daylight saving.
    ("Asia/Pyongyang", 2018),
    ("UTC", 2026),
];

const CRONS: [(&str, bool); 9] = [
    ("0 0 3 * * Mon", false),
    ("0 30 2 * * *", false),
    ("0 30 1 * * *", false),
    ("0 0 0 * * *", false),
    ("0 0,45 0-4 * * *", false),
    ("0 10 2,14 31,L * Sun", false),
    ("0 0 * * * *", true),
    ("0 */20 */2 * * *", true),
    ("0 5 0-23 * * *", true),
];

#[test]
fn next_after_and_last_until_agree_on_every_tick() {
    for (zone, year) in ZONES {
        for (cron, _) in CRONS {
            let schedule = Schedule::parse(cron, zone).unwrap();
            let (from, until) =
                (utc(&format!("{year}-01-01T00:00:00Z")), utc(&format!("{}-01-01T00:00:00Z", year + 1)));

            let ticks = forward(&schedule, from, until);

            assert!(ticks.len() > 50, "{cron} in {zone}: {} ticks", ticks.len());
            assert!(ticks.is_sorted_by(|one, next| one < next), "{cron} in {zone}");
            assert_eq!(backward(&schedule, from, until), ticks, "{cron} in {zone}");
            for tick in &ticks {
                assert_eq!(schedule.last_until(*tick), Some(*tick), "{cron} in {zone}");
                assert_eq!(schedule.next_after(*tick - TimeDelta::seconds(1)), Some(*tick), "{cron} in {zone}");
            }
        }
    }
}

/// The ticks of a year, found independently by stepping through it in 5 min and comparing the local time.
fn watched(cron: &str, zone: &str, is_frequent: bool, year: i32) -> Vec<DateTime<Utc>> {
    let zone: Tz = zone.parse().unwrap();
    let pattern: Cron =
        croner::parser::CronParser::builder().seconds(croner::parser::Seconds::Required).build().parse(cron).unwrap();
    let matches = |time: NaiveDateTime| {
        let pattern = &pattern.pattern;
        pattern.second_match(time.second()).unwrap()
            && pattern.minute_match(time.minute()).unwrap()
            && pattern.hour_match(time.hour()).unwrap()
            && pattern.month_match(time.month()).unwrap()
            && pattern.day_match(time.year(), time.month(), time.day()).unwrap()
    };
    // All times of the expressions and all clock changes are multiples of this.
    let step = TimeDelta::minutes(5);
    let (mut at, end) = (utc(&format!("{year}-01-01T00:00:00Z")), utc(&format!("{}-01-01T00:00:00Z", year + 1)));
    let mut newest = at.with_timezone(&zone).naive_local();
    let mut ticks = Vec::new();
    while at < end {
        at += step;
        let time = at.with_timezone(&zone).naive_local();
        let is_repeated = time <= newest;
        let mut skipped = newest + step;
        let mut is_due = matches(time) && (is_frequent || !is_repeated);
        while skipped < time {
            is_due |= !is_frequent && matches(skipped);
            skipped += step;
        }
        if is_due {
            ticks.push(at);
        }
        newest = newest.max(time);
    }
    ticks
}

#[test]
fn the_ticks_are_those_found_by_stepping_through_the_year() {
    for (zone, year) in ZONES {
        for (cron, is_frequent) in CRONS {
            let schedule = Schedule::parse(cron, zone).unwrap();
            let (from, until) =
                (utc(&format!("{year}-01-01T00:00:00Z")), utc(&format!("{}-01-01T00:00:00Z", year + 1)));

            assert_eq!(forward(&schedule, from, until), watched(cron, zone, is_frequent, year), "{cron} in {zone}");
        }
    }
}
