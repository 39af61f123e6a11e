//! Answers that Kakao does not document or that are not from Kakao: the run pauses and continues, and no week is lost.

use sanggwond::standin::{Fault, Switches, World};
use serde_json::json;

use crate::support::Stage;
use crate::support::program::Finished;
use crate::support::town::scattered;

fn reply(status: u16, body: &str) -> Fault {
    Fault::Reply { status, location: None, body: body.to_owned() }
}

fn redirect(location: &str) -> Fault {
    Fault::Reply { status: 302, location: Some(location.to_owned()), body: "<html>".to_owned() }
}

/// An answer that reports five places but contains no documents.
fn counted_and_absent() -> Fault {
    let meta = json!({"total_count": 5, "pageable_count": 5, "is_end": true});
    Fault::Body(json!({"documents": [], "meta": meta}).to_string())
}

async fn status(stage: &Stage) -> String {
    stage.value("select concat_ws(': ', status, reason) from crawl_run").await
}

/// A crawl of fifteen stations, every request of which meets a fault until the run is interrupted.
async fn crawl_through(fault: Fault) -> (Stage, Finished) {
    let stage = Stage::small().await;
    stage.set_stations(&scattered(15));
    stage.standin.set(Switches { fault_share: 1.0, fault_kinds: vec![fault], ..Switches::default() });
    let crawl = stage
        .program(&["crawl"])
        .set("SANGGWOND_KAKAO__BACKOFF", "10ms")
        .set("SANGGWOND_KAKAO__INTERRUPT_AFTER", "300ms");
    let finished = crawl.finish().await;
    (stage, finished)
}

/// Checks that a fault of this kind interrupts a run, costs at most 24 requests and fails no cell, and that the run
/// succeeds when the API works again.
async fn expect_an_outage(fault: Fault, why: &str) {
    let (stage, finished) = crawl_through(fault.clone()).await;

    finished.expect_code(4);
    let said = status(&stage).await;
    assert!(said.starts_with("interrupted: no good answer for ") && said.contains(why), "{fault:?}: {said}");
    let cells = stage.texts("select distinct format('%s, %s failures', status, failures) from crawl_cell").await;
    assert_eq!(cells, ["pending, 0 failures"], "{fault:?}");
    assert!(stage.standin.requests() <= 24, "{fault:?}: {} requests", stage.standin.requests());
    let waits: bool = stage.value("select resume_at > heartbeat_at + interval '29 minutes' from crawl_run").await;
    assert!(waits, "{fault:?}");

    stage.standin.set(Switches::default());
    stage.program(&["crawl"]).finish().await.expect_code(0);
    assert_eq!(stage.texts("select status from crawl_run").await, ["succeeded"], "{fault:?}");
}

#[tokio::test]
async fn an_invalid_retry_after_does_not_shorten_the_pause() {
    for wait in ["0", "-1", "soon", "Sun, 22 Nov 2020 18:00:00 GMT"] {
        let retry_after = Some(wait.to_owned());
        expect_an_outage(Fault::Throttled { retry_after: retry_after.clone() }, "429: too many requests").await;
        expect_an_outage(Fault::Unavailable { retry_after }, "503: no error message").await;
    }
}

#[tokio::test]
async fn kakaos_codes_for_maintenance_and_internal_errors_are_an_outage() {
    for code in ["-1", "-7", "-603", "\"-7\""] {
        expect_an_outage(reply(400, &format!(r#"{{"code":{code},"msg":"busy"}}"#)), "400: busy").await;
    }
}

#[tokio::test]
async fn answers_of_another_server_are_an_outage() {
    let nobody = "not an answer of Kakao (a proxy, a firewall or a captive portal?)";
    for status in [401, 403, 404, 405, 407, 408, 421, 425] {
        expect_an_outage(reply(status, "<html>no</html>"), &format!("{status}: {nobody}")).await;
    }
    expect_an_outage(reply(403, r#"{"message":"Forbidden"}"#), "403: Forbidden").await;
    expect_an_outage(reply(400, "<html>Bad Request</html>"), &format!("400: {nobody}")).await;
}

#[tokio::test]
async fn a_redirect_is_an_outage_and_its_url_is_shown_without_secrets() {
    let target = "https://user:secret@login.example/portal?token=secret#secret";
    let (stage, finished) = crawl_through(redirect(target)).await;

    finished.expect_code(4);
    let said = status(&stage).await;
    assert!(said.contains("302: redirected to https://login.example/portal") && !said.contains("secret"), "{said}");
    expect_an_outage(redirect("/elsewhere"), "/elsewhere").await;
    expect_an_outage(redirect("http://[broken"), "302: redirected to a missing or invalid Location").await;
}

#[tokio::test]
async fn broken_answers_to_everything_are_an_outage() {
    let faults = [
        (Fault::Status(500, false), "500: something went wrong"),
        (Fault::Status(502, true), "502: no error message"),
        (Fault::HtmlOk, "the answer is not a page of places"),
        (Fault::Empty, "the answer is not a page of places"),
        (Fault::BrokenJson, "the answer is not a page of places"),
        (Fault::CutBody, "the response body is incomplete"),
        (Fault::Body("{}".to_owned()), "missing field `documents`"),
        (Fault::Body(r#"{"errorType":"InternalServerError","message":"oops"}"#.to_owned()), "200: oops"),
        (counted_and_absent(), "the answer reports 5 places but contains no documents"),
        (reply(204, ""), "204: "),
    ];
    for (fault, why) in faults {
        expect_an_outage(fault, why).await;
    }
}

#[tokio::test]
async fn an_outage_interrupts_a_run_of_one_cell() {
    let stage = Stage::small().await;
    for attempts in ["1", "2", "5"] {
        stage.standin.set(Switches {
            fault_share: 1.0,
            fault_kinds: vec![Fault::Status(500, false)],
            ..Switches::default()
        });
        let crawl = stage.program(&["crawl", "--fresh", "--station", "서울역", "--keyword", "공원"]);
        let crawl =
            crawl.set("SANGGWOND_KAKAO__MAX_ATTEMPTS", attempts).set("SANGGWOND_KAKAO__INTERRUPT_AFTER", "200ms");
        let finished = crawl.finish().await.expect_code(4);
        assert!(finished.stdout.contains("interrupted (no good answer for "), "{attempts}: {}", finished.stdout);
    }
}

#[tokio::test]
async fn a_short_outage_of_any_kind_fails_no_cell() {
    let stage = Stage::small().await;
    let portal = redirect("https://login.example/");
    let kinds = [Fault::Status(500, false), Fault::HtmlOk, reply(403, "<html>"), portal, Fault::Empty, reply(404, "")];
    stage.standin.script(kinds.iter().cycle().take(60).cloned());

    stage.crawl().await;

    assert_eq!(
        stage.texts("select distinct format('%s, %s failures', status, failures) from crawl_cell").await,
        ["done, 0 failures"]
    );
    assert_eq!(stage.value::<i64>("select count(*) from place").await, 26);
}

#[tokio::test]
async fn a_cell_that_gets_only_bad_answers_fails_and_the_others_succeed() {
    for fault in [reply(403, "<html>"), reply(404, ""), counted_and_absent(), Fault::HtmlOk, Fault::Drop] {
        let stage = Stage::small().await;
        let faults_for = vec![("공원".to_owned(), fault.clone())];
        stage.standin.set(Switches { faults_for, ..Switches::default() });

        let crawl = stage.program(&["crawl"]).set("SANGGWOND_KAKAO__INTERRUPT_AFTER", "20s");
        crawl.finish().await.expect_code(3);

        assert_eq!(status(&stage).await, "partial: 3 cells failed twice; see the view run_failure", "{fault:?}");
    }
}

#[tokio::test]
async fn a_resumed_run_with_only_bad_cells_left_ends() {
    let stage = Stage::small().await;
    let faults_for = vec![("공원".to_owned(), Fault::Status(500, false))];
    stage.standin.set(Switches { faults_for, ..Switches::default() });
    stage.program(&["crawl"]).finish().await.expect_code(3);
    stage.execute("update crawl_cell set status = 'pending', failures = 1 where status = 'failed'").await;
    stage
        .execute(
            "update crawl_run set status = 'interrupted', finished_at = null, cells_failed = 0, resume_at = started_at",
        )
        .await;

    stage.program(&["crawl"]).set("SANGGWOND_KAKAO__INTERRUPT_AFTER", "20s").finish().await.expect_code(3);

    assert_eq!(status(&stage).await, "partial: 3 cells failed twice; see the view run_failure");
}

#[tokio::test]
async fn a_spent_paid_quota_interrupts_the_run_until_midnight() {
    let stage = Stage::small().await;
    stage.standin.script(vec![reply(400, r#"{"code":"-11","msg":"limit of paid use"}"#); 5]);

    stage.program(&["crawl"]).finish().await.expect_code(4);

    assert_eq!(status(&stage).await, "interrupted: the quota is spent: 400: limit of paid use");
}

#[tokio::test]
async fn a_byte_order_mark_and_numbers_instead_of_strings_are_accepted() {
    let stage = Stage::new(World::default(), "서울역,수도권,37.5547,126.9707,1호선\n").await;
    let documents = json!([
        {"id": 26_338_954, "place_name": "서울커피", "x": 126.9707, "y": 37.5547, "phone": 212_345_678},
        {"id": "2", "place_name": null, "x": "126.9707", "y": "37.5547", "phone": true, "address_name": ["a"]},
    ]);
    let meta = json!({"total_count": 2, "pageable_count": 2, "is_end": true});
    stage.standin.script([Fault::Body(format!("\u{feff}{}", json!({"documents": documents, "meta": meta})))]);

    stage.program(&["crawl"]).set("SANGGWOND_CRAWL__KEYWORDS", "카페").finish().await.expect_code(0);

    let places = "select concat_ws(' ', place_id, name, phone) from place order by length(place_id) desc";
    assert_eq!(stage.texts(places).await, ["26338954 서울커피 212345678", "2 "]);
    assert_eq!(stage.value::<i64>("select documents_rejected from crawl_run").await, 0);
}
