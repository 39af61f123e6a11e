//! Output on a terminal: lines fit from 60 columns on.

use console::measure_text_width;
use nix::sys::signal::Signal;

use sanggwond::standin::Fault;

use crate::support::Stage;

/// Runs with long verdicts and wide names.
const HISTORY: &str = r#"
    insert into crawl_run (trigger, status, reason, coverage, scope, started_at, finished_at, heartbeat_at, version, host,
        requests, places_new, places_changed)
    select 'catch_up', 'failed', repeat('수도권의 카페가 열에 셋이나 없습니다 ', n), 'station',
        '{"stations": ["동대문역사문화공원역", "서울역"], "keywords": ["스터디룸"]}', now() - interval '90 minutes', now(), now(), '', '',
        12925 * n, 41241 * n, 99999
    from generate_series(1, 10) n;
    insert into place_change (place_id, crawl_run_id, kind, before, after, latitude, longitude, not_after, recorded_at)
    select place_id, 1, 'changed', jsonb_build_object('name', repeat('긴 이름 ', 30)), jsonb_build_object('name', repeat('x', 100)),
        latitude, longitude, now(), now() from place limit 3;
    update crawl_cell set status = 'failed', error = repeat('the API answers 503 나중에 다시 ', 20) where cell_no = 1;
    update crawl_run set settings = '{"long": "a value that is longer than any line of any terminal that anybody has ever had on a desk"}'
    where crawl_run_id = 1"#;

/// The lines that a command prints on a terminal of this many columns.
async fn shown(stage: &Stage, arguments: &[&str], columns: u16) -> Vec<String> {
    let finished = stage.program(arguments).start_on_terminal(columns).finish().await.expect_code(0);
    finished.stderr.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect()
}

#[tokio::test]
async fn every_line_fits_a_terminal_of_60_or_more_columns() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.execute(HISTORY).await;
    stage.set_stations(&format!("{}{}", crate::support::town::STATIONS, "너무먼역,수도권,97.5,127.0,2호선\n"));

    for columns in [60, 80, 120, 200] {
        for arguments in [&["runs"][..], &["runs", "1"], &["changes"], &["next"], &["check"]] {
            let lines = shown(&stage, arguments, columns).await;

            let too_wide: Vec<_> = lines.iter().filter(|line| measure_text_width(line) > columns.into()).collect();
            assert!(lines.len() > 3 && too_wide.is_empty(), "{arguments:?} at {columns}: {too_wide:#?}");
        }
        let runs = shown(&stage, &["runs"], columns).await;
        assert_eq!(runs.len(), 12, "a head and one line a run at {columns}: {runs:#?}");
    }
}

#[tokio::test]
async fn a_narrow_terminal_omits_columns_and_a_pipe_omits_none() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.execute(HISTORY).await;

    let heads = async |columns| shown(&stage, &["runs"], columns).await[0].clone();
    let piped = stage.program(&["runs"]).finish().await.expect_code(0).stdout;

    assert_eq!(heads(60).await, "run  started (Seoul)      status     verdict");
    assert_eq!(heads(80).await, "run  started (Seoul)      status     duration  cells done  verdict");
    let all = "run  started (Seoul)      trigger   status     duration  cells done  requests     new  changed  closed  verdict";
    assert_eq!(heads(200).await, all);
    assert_eq!(piped.lines().next(), Some(all));
    assert!(piped.lines().any(|line| line.len() > 500), "{piped}");
}

#[tokio::test]
async fn the_bar_fits_the_terminal() {
    for columns in [60, 80, 120] {
        let stage = Stage::small().await;
        stage.standin.hold();
        let mut running = stage.program(&["crawl"]).start_on_terminal(columns);
        stage.standin.reached(5).await;
        running.says("0/6 cells").await;
        stage.standin.release();

        let finished = running.finish().await.expect_code(0);

        let bars: Vec<_> = finished.stderr.split(['\r', '\n']).filter(|frame| frame.contains("/6 cells")).collect();
        let too_wide: Vec<_> = bars.iter().filter(|bar| measure_text_width(bar) > columns.into()).collect();
        assert!(!bars.is_empty() && too_wide.is_empty(), "at {columns}: {too_wide:#?}");
        assert!(finished.stderr.contains("run 1 succeeded"), "{}", finished.stderr);
    }
}

#[tokio::test]
async fn during_a_pause_the_cause_replaces_the_bar() {
    let stage = Stage::small().await;
    stage.standin.script(vec![Fault::Unavailable { retry_after: Some("60".to_owned()) }; 50]);
    let mut running = stage.program(&["crawl"]).start_on_terminal(60);
    running.says("0/6 cells  waiting for ").await;
    let finished = running.terminate().await.expect_code(4);

    let pauses: Vec<_> = finished.stderr.split(['\r', '\n']).filter(|frame| frame.contains("waiting for ")).collect();
    let too_wide: Vec<_> = pauses.iter().filter(|pause| measure_text_width(pause) > 60).collect();
    assert!(!pauses.is_empty() && too_wide.is_empty(), "{too_wide:#?}");
}

#[tokio::test]
async fn a_run_is_interrupted_when_its_terminal_closes() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let program = stage.program(&["crawl"]).through(&["env", "--default-signal=HUP"]);
    let mut running = program.start_on_terminal(80);
    stage.standin.reached(5).await;
    running.signal(Signal::SIGHUP);
    running.says("SIGHUP received, stopping").await;

    stage.standin.release();
    running.finish().await.expect_code(4);

    assert_eq!(stage.value::<String>("select status from crawl_run").await, "interrupted");
}
