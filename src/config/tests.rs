//! Which settings are accepted, which are refused, and the key that the error names.

use super::*;

fn none() -> Environment {
    std::iter::empty::<(&str, &str)>().collect()
}

fn load(variables: &[(&str, &str)]) -> Result<Config, Error> {
    Config::load(None, false, &variables.iter().copied().collect())
}

fn refusal(variables: &[(&str, &str)]) -> String {
    load(variables).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_a_valid_configuration() {
    let config = load(&[]).unwrap();

    assert_eq!(config.crawl.keywords.len(), 10);
    assert_eq!(config.crawl.radius_m, 1000);
    assert_eq!(config.schedule.parse().unwrap().expression(), "0 0 3 * * Mon");
    assert_eq!(config.schedule.catch_up_window, Duration::from_hours(7 * 24));
}

#[test]
fn the_environment_overrides_the_defaults() {
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
fn a_key_of_digits_is_not_parsed_as_a_number() {
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
        ("SANGGWOND_CRAWL__KEYWORDS", "카페,\u{110f}\u{1161}\u{1111}\u{1166}", "crawl.keywords"),
        ("SANGGWOND_CRAWL__KEYWORDS", "카\u{200b}페", "crawl.keywords"),
        ("SANGGWOND_CRAWL__KEYWORDS", "공원,\"카페\",식당", "crawl.keywords"),
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
fn no_setting_accepts_a_duration_longer_than_ten_years() {
    for key in [
        "schedule.catch_up_window",
        "schedule.resume_window",
        "schedule.heartbeat",
        "crawl.page_delay",
        "kakao.timeout",
        "kakao.backoff",
        "kakao.interrupt_after",
        "shutdown.grace",
    ] {
        let variable = format!("SANGGWOND_{}", key.to_uppercase().replace('.', "__"));

        load(&[(&variable, "10y")]).unwrap();
        for long in ["584542046090y", "11y"] {
            let refusal = refusal(&[(&variable, long)]);
            assert!(refusal.contains(key) && refusal.contains("is longer than ten years"), "{refusal}");
        }
    }
    for variable in ["SCHEDULE__HEARTBEAT", "KAKAO__TIMEOUT", "KAKAO__BACKOFF", "KAKAO__INTERRUPT_AFTER"] {
        let refusal = refusal(&[(&format!("SANGGWOND_{variable}"), "0s")]);
        assert!(refusal.contains("longer than zero"), "{refusal}");
    }
}

#[test]
fn a_base_url_with_credentials_a_query_or_a_fragment_is_refused_without_repeating_it() {
    for url in [
        "https://canary:canary@dapi.kakao.com",
        "https://canary@dapi.kakao.com",
        "htps://canary:canary@dapi.kakao.com",
        "https://dapi.kakao.com?canary",
        "https://dapi.kakao.com/#canary",
        "canary",
    ] {
        let refusal = refusal(&[("SANGGWOND_KAKAO__BASE_URL", url)]);
        assert!(refusal.contains("kakao.base_url") && !refusal.contains("canary"), "{refusal}");
    }
    assert_eq!(load(&[("SANGGWOND_KAKAO__BASE_URL", "http://a:1/b/")]).unwrap().kakao.base_url, "http://a:1/b");
}

#[test]
fn an_empty_variable_of_ours_is_refused_by_its_name() {
    for name in ["SANGGWOND_DATABASE__DIRECTORY", "SANGGWOND_LOG__FILTER", "DATABASE_URL", "KAKAO_REST_API_KEY_FILE"] {
        for value in ["", " "] {
            assert_eq!(refusal(&[(name, value)]), format!("{name} is empty; give it a value, or unset it"));
        }
    }
    load(&[("OTHER", "")]).unwrap();
}

#[test]
fn a_configuration_file_that_is_not_a_regular_file_is_refused() {
    for path in ["/dev/zero", "/"] {
        let refusal = Config::load(Some(Path::new(path)), false, &none()).unwrap_err().to_string();
        assert!(refusal.contains("expected a regular file"), "{refusal}");
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
    assert!(refusal.contains("KAKAO_REST_API_KEY") && !refusal.contains("canary"), "{refusal}");
}

#[test]
fn a_line_that_cannot_be_parsed_is_not_repeated() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[kakao]\napi_key = \"canary\n").unwrap();

    let refusal = Config::load(Some(file.path()), false, &none()).unwrap_err().to_string();

    assert!(refusal.contains("line 2") && !refusal.contains("canary"), "{refusal}");
}

#[test]
fn keywords_are_normalized_in_the_file_and_in_the_environment() {
    let letters = "\u{110f}\u{1161}\u{1111}\u{1166}";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("[crawl]\nkeywords = [\"{letters}\", {{ query = \"\u{3000}공원\u{a0}\" }}]\n"))
        .unwrap();

    let in_file = Config::load(Some(file.path()), false, &none()).unwrap();
    let in_variable = load(&[("SANGGWOND_CRAWL__KEYWORDS", letters)]).unwrap();

    assert_eq!(in_file.crawl.keywords.iter().map(Keyword::query).collect::<Vec<_>>(), ["카페", "공원"]);
    assert_eq!(in_variable.crawl.keywords[0].query(), "카페");
}

#[test]
fn a_file_that_is_not_utf_8_is_refused_with_its_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let refusal = |bytes: &[u8]| {
        std::fs::write(file.path(), bytes).unwrap();
        Config::load(Some(file.path()), false, &none()).map_err(|error| error.to_string())
    };

    // 카페 in CP949.
    let cp949 = refusal(b"[crawl]\nradius_m = 500\nkeywords = [\"\xc4\xab\xc6\xe4\"]\n").unwrap_err();
    let utf_16 = refusal(b"\xff\xfe[\0c\0").unwrap_err();

    assert_eq!(cp949, format!("{}: line 3 is not UTF-8; save the file in UTF-8", file.path().display()));
    assert!(utf_16.contains("line 1 is not UTF-8"), "{utf_16}");
    assert_eq!(refusal("\u{feff}[crawl]\r\nradius_m = 500\r\n".as_bytes()).unwrap().crawl.radius_m, 500);
}

#[test]
fn a_missing_configuration_file_is_an_error_with_its_path() {
    let refusal = Config::load(Some(Path::new("/nowhere.toml")), false, &none()).unwrap_err().to_string();

    assert!(refusal.starts_with("/nowhere.toml: could not read the configuration file: "), "{refusal}");
}

#[test]
fn an_invalid_variable_is_an_error_and_does_not_count_as_unset() {
    let refusal = refusal(&[("DATABASE_URL", "\"postgres://u:canary@h/d\"")]);

    assert!(refusal.contains("DATABASE_URL") && !refusal.contains("canary"), "{refusal}");
}
