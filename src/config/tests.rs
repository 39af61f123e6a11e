//! What is taken, and what is refused by which name.

use super::*;

fn load(variables: &[(&str, &str)]) -> Result<Config, Error> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(None, false, &variables.collect::<Environment>())
}

fn refusal(variables: &[(&str, &str)]) -> String {
    load(variables).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_a_configuration() {
    let config = load(&[]).unwrap();

    assert_eq!(config.crawl.keywords.len(), 10);
    assert_eq!(config.crawl.radius_m, 1000);
    assert_eq!(config.schedule.parse().unwrap().expression(), "0 0 3 * * Mon");
    assert_eq!(config.schedule.catch_up_window, Duration::from_hours(7 * 24));
}

#[test]
fn the_environment_goes_before_the_defaults() {
    let config = load(&[
        ("SANGGWOND_CRAWL__PAGE_DELAY", "0s"),
        ("SANGGWOND_CRAWL__KEYWORDS", "카페, 공원"),
        ("SANGGWOND_KAKAO__REQUESTS_PER_SECOND", "12.5"),
        ("SANGGWOND_DATABASE__PRIVATE", "false"),
    ])
    .unwrap();

    assert_eq!(config.crawl.page_delay, Duration::ZERO);
    assert_eq!(config.crawl.keywords.iter().map(Keyword::query).collect::<Vec<_>>(), ["카페", "공원"]);
    assert_eq!(config.kakao.requests_per_second, Some(12.5));
    assert!(!config.database.private);
}

#[test]
fn a_key_of_digits_stays_as_it_is() {
    use secrecy::ExposeSecret;

    let config = load(&[("KAKAO_REST_API_KEY", "0012e345")]).unwrap();

    assert_eq!(config.kakao.api_key.unwrap().expose_secret(), "0012e345");
}

#[test]
fn an_impossible_value_is_refused_by_its_key() {
    for (variable, value, key) in [
        ("SANGGWOND_CRAWL__RADIUS_M", "20001", "crawl.radius_m"),
        ("SANGGWOND_CRAWL__PAGE_DELAY", "soon", "crawl.page_delay"),
        ("SANGGWOND_CRAWL__COVERAGE", "all", "crawl.coverage"),
        ("SANGGWOND_CRAWL__KEYWORDS", "카페,카페", "crawl.keywords"),
        ("SANGGWOND_KAKAO__MAX_IN_FLIGHT", "0", "kakao.max_in_flight"),
        ("SANGGWOND_KAKAO__MAX_ATTEMPTS", "0", "kakao.max_attempts"),
        ("SANGGWOND_KAKAO__BASE_URL", "dapi.kakao.com", "kakao.base_url"),
        ("SANGGWOND_KAKAO__REQUESTS_PER_SECOND", "-1", "kakao.requests_per_second"),
        ("SANGGWOND_HISTORY__KEEP_RUNS", "3", "history.keep_runs"),
        ("SANGGWOND_LOG__FORMAT", "xml", "log.format"),
        ("SANGGWOND_SCHEDULE__CRON", "3 o'clock", "schedule.cron"),
        ("SANGGWOND_SCHEDULE__HEARTBEAT", "0s", "schedule.heartbeat"),
    ] {
        let refusal = refusal(&[(variable, value)]);

        println!("{refusal}");
        assert!(refusal.contains(key), "{key}: {refusal}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_source() {
    let refusal = refusal(&[("SANGGWOND_CRAWL__RADIUS", "1000")]);

    assert!(refusal.contains("radius") && refusal.contains("environment"), "{refusal}");
}

#[test]
fn a_secret_is_neither_shown_nor_repeated() {
    let config = load(&[("KAKAO_REST_API_KEY", "canary"), ("DATABASE_URL", "postgres://u:canary@h/d")]).unwrap();
    let refusal = refusal(&[("KAKAO_REST_API_KEY", "canary\u{1}")]);

    assert!(!format!("{config:?}").contains("canary"));
    assert!(refusal.contains("kakao.api_key") && !refusal.contains("canary"), "{refusal}");
}

#[test]
fn a_line_that_cannot_be_parsed_is_not_repeated() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[kakao]\napi_key = \"canary\n").unwrap();

    let refusal =
        Config::load(Some(file.path()), false, &std::iter::empty().collect::<Environment>()).unwrap_err().to_string();

    assert!(refusal.contains("line 2") && !refusal.contains("canary"), "{refusal}");
}
