//! The table of sentences is whole, and texts are said as an operations team would.

use std::collections::BTreeSet;

use super::*;

fn said(english: &str) -> String {
    Language::Korean.say(english)
}

#[test]
fn a_language_is_chosen_by_its_code_the_locale_or_the_browser() {
    assert_eq!("ko".parse(), Ok(Language::Korean));
    assert_eq!(
        "fr".parse::<Language>().unwrap_err().to_string(),
        "\"fr\" is not a language of this program; write \"en\" or \"ko\""
    );
    for (locale, language) in [
        ("ko_KR.UTF-8", Some(Language::Korean)),
        ("ko", Some(Language::Korean)),
        ("en_US.UTF-8", Some(Language::English)),
        ("C.UTF-8", None),
        ("POSIX", None),
        ("de_DE", None),
        ("", None),
    ] {
        assert_eq!(Language::of_locale(locale), language, "{locale}");
    }
    for (header, language) in [
        ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", Some(Language::Korean)),
        ("en-US,en;q=0.9,ko;q=0.8", Some(Language::English)),
        ("de, en;q=0.3, ko;q=0.5", Some(Language::Korean)),
        ("ko;q=0, en", Some(Language::English)),
        ("fr, *", None),
        ("", None),
    ] {
        assert_eq!(Language::of_header(header), language, "{header}");
    }
}

#[test]
fn every_sentence_is_korean_once_and_uses_each_of_its_placeholders() {
    let mut seen = BTreeSet::new();
    for (english, korean) in korean::SENTENCES {
        assert!(seen.insert(*english), "{english:?} stands twice in the table");
        let has_hangul = korean.chars().any(|c| ('가'..='힣').contains(&c));
        assert!(has_hangul || !korean.chars().any(|c| c.is_ascii_alphabetic()), "{korean:?} is not Korean");
        let placeholders = Sentence::new(english, korean).placeholders();
        let used: Vec<usize> = (1..=9).filter(|number| korean.contains(&format!("{{{number}}}"))).collect();
        assert_eq!(used, (1..=placeholders).collect::<Vec<_>>(), "{english:?} and {korean:?}");
    }
}

#[test]
fn a_particle_follows_the_last_letter() {
    for (word, particle) in [("3", "을"), ("4", "를"), ("7", "을"), ("12", "를"), ("강남역", "을"), ("카페", "를")]
    {
        let (choice, rest) = particle::after("(을/를) 재개").unwrap();
        assert_eq!((choice.for_word(word), rest), (particle, " 재개"), "{word}");
    }
    let (choice, _) = particle::after("(으로/로)").unwrap();
    assert_eq!(["서울", "부산", "대구", "8"].map(|word| choice.for_word(word)), ["로", "으로", "로", "로"]);
}

#[test]
fn verdicts_and_reasons_of_the_database_are_said_in_korean() {
    for (english, korean) in [
        ("all 9,410 cells are done", "셀 9,410개 모두 완료"),
        (
            "1 of 6 cells failed: 1 cell failed twice; see the view run_failure",
            "셀 6개 중 1개 실패: 셀 1개가 두 번 실패; 뷰 run_failure 참고",
        ),
        ("cancelled by kim@ops-1: wrong keywords", "취소한 사람 kim@ops-1: wrong keywords"),
        (
            "unfinished: 3 of 6 cells done: the quota is spent: all 25000 requests of 2026-11 are used (kakao.monthly_quota); the next ones \
             are granted on 2026-12-01 in Seoul",
            "미완료: 셀 6개 중 3개 완료: 쿼터 소진: 2026-11의 요청 25000건을 모두 사용함(kakao.monthly_quota), 다음 쿼터는 2026-12-01(한국 시간)부터",
        ),
        (
            "missed by 8days; the catch-up window is 7days",
            "예정 시각을 8일 넘겨 놓침. 뒤늦게 시작할 수 있는 기간은 7일",
        ),
        ("no good answer for 30m: 503: maintenance", "30분 동안 정상 응답 없음: 503: maintenance"),
        (
            "too many places were not found, so none of these counts as missing: 카페 300 of 1000 (30 %), 공원 in 대전 30 of 100 (30 %); \
             `sanggwond crawl --accept-closings` accepts it",
            "확인되지 않은 장소가 너무 많아 다음은 누락으로 처리하지 않음: 카페 1000곳 중 300곳(30%), 대전의 공원 100곳 중 30곳(30%). 맞다면 \
             `sanggwond crawl --accept-closings`로 승인",
        ),
        (
            "55 s in requests, 63 s in pauses (throttled 3 s, unavailable 60 s), 2 s in page delays",
            "요청 55초, 요청 일시 중지 63초(429 응답 3초, 서버 오류 60초), 페이지 간격 2초",
        ),
        ("Mon 2026-11-23 03:00:00 Seoul (Sun 18:00:00 UTC)", "2026-11-23(월) 03:00:00 한국 시간(UTC 일요일 18:00:00)"),
        (
            "waiting for 1m 15s, next request in 8s: 503: maintenance",
            "1분 15초째 대기 중, 8초 뒤 다음 요청: 503: maintenance",
        ),
        ("an error of another program", "an error of another program"),
        (
            "1 alive: vm (version 0.1.0, since Mon 2026-11-23 03:00:00 Seoul)",
            "1개 동작 중: vm(버전 0.1.0, 2026-11-23(월) 03:00:00 한국 시간부터)",
        ),
        (
            "paused from Sun 2026-11-22 10:00 (Seoul) by kim@3s: office moves to Seoul",
            "2026-11-22(일) 10:00부터 일시 중지(한국 시간), kim@3s: office moves to Seoul",
        ),
        (
            "its process ended unexpectedly; last heartbeat at 2026-11-23 03:00:00 in Seoul",
            "프로세스가 예기치 않게 종료됨, 마지막 하트비트 2026-11-23 03:00:00(한국 시간)",
        ),
        (
            "all 9410 cells done: not retired without confirmation: 9 keywords, 12,732 of 14,146 rows of local_info: 식당, 카페, 호프, 헬스클럽, 도서관, \
             공원, 미술관, 애견카페, 셀프사진; `sanggwond crawl --retire` confirms it",
            "셀 9410개 모두 완료: 확인 없이 제외하지 않음: 키워드 9개, local_info 14,146행 중 12,732행: 식당, 카페, 호프, 헬스클럽, 도서관, 공원, 미술관, 애견카페, \
             셀프사진. 맞다면 `sanggwond crawl --retire`로 확인",
        ),
    ] {
        assert_eq!(said(english), korean);
        assert_eq!(Language::English.say(english), english);
    }
}

#[test]
fn figures_have_their_korean_form() {
    for (english, korean) in [
        ("Monday 23 November 2026, 03:00", "2026년 11월 23일(월) 03:00"),
        ("3 Nov", "11월 3일"),
        ("29 Feb", "2월 29일"),
        ("1 h 12 min", "1시간 12분"),
        ("45 s", "45초"),
        ("25,846 won", "25,846원"),
        ("99.9 %", "99.9%"),
        ("−7.0 %", "−7.0%"),
        ("12,732", "12,732"),
        ("2026-11-23 03:00", "2026-11-23 03:00"),
        ("1000 m", "1000 m"),
    ] {
        assert_eq!(said(english), korean);
    }
}

#[test]
fn odd_texts_are_neither_lost_nor_slow() {
    for text in ["", " ", ": ", "; ; ", "{} {n}", "run  is running", "a, b, c", " in  of ", "서울역: 카페"] {
        assert!(said(text).contains(text.trim()) || !text.trim().is_empty(), "{text:?} became {:?}", said(text));
    }
    let long = "x of y in z: (1 of 2), ".repeat(40);
    assert_eq!(said(&long).matches('x').count(), 40);
    for hostile in ["a, ", "usually ", "run 1 (", "paused from ", "a; b: "] {
        let hostile = hostile.repeat(100_000);
        assert_eq!(said(&hostile), hostile);
        let allowed: String = hostile.chars().take(MOST_BYTES - 10).collect();
        assert!(!said(&allowed).is_empty());
    }
}
