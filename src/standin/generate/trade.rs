//! The kinds of places: the ten keywords, how common each is, and the names of such places.

use crate::standin::chance::Chance;

/// The kind of a place.
#[derive(Debug)]
pub(super) struct Trade {
    keyword: &'static str,
    /// The share of places of this kind, per 1000.
    share: u32,
    /// The category group.
    pub(super) group: Option<&'static str>,
    /// The category paths.
    pub(super) categories: &'static [&'static str],
    /// The share of places with a phone number.
    pub(super) has_phone: f64,
    /// Second keywords that some of these places have, and their share in percent.
    also: &'static [(&'static str, u32)],
    /// How names begin; if empty, with the name of the station.
    prefixes: &'static [&'static str],
    words: &'static [&'static str],
}

const RESTAURANT: &[&str] = &[
    "할매",
    "원조",
    "본가",
    "황금",
    "엄마손",
    "전주",
    "남도",
    "오복",
    "청년",
    "대박",
    "우리집 ",
    "미스터 ",
    "김가네 ",
];

const CAFE: &[&str] =
    &["카페 ", "모퉁이 ", "달빛 ", "오후 ", "블루 ", "하루 ", "어반 ", "연남 ", "숲속 ", "그린 ", "메리 ", "작은 "];

const CLUB: &[&str] = &["파워", "에이스", "굿모닝 ", "바디", "스마트", "24시 ", "더블", "원", "프라임", "올림픽"];

const TRADES: [Trade; 10] = [
    Trade {
        keyword: "식당",
        share: 520,
        group: Some("FD6"),
        categories: &[
            "음식점 > 한식",
            "음식점 > 한식 > 육류,고기",
            "음식점 > 한식 > 국밥",
            "음식점 > 한식 > 해물,생선",
            "음식점 > 분식",
            "음식점 > 중식",
            "음식점 > 일식 > 돈까스,우동",
            "음식점 > 양식 > 이탈리안",
            "음식점 > 기사식당",
        ],
        has_phone: 0.85,
        also: &[("호프", 13)],
        prefixes: RESTAURANT,
        words: &[
            "순대국",
            "부대찌개",
            "갈비",
            "김밥",
            "손칼국수",
            "국밥",
            "닭갈비",
            "반점",
            "돈까스",
            "파스타&피자",
            "식당",
        ],
    },
    Trade {
        keyword: "카페",
        share: 200,
        group: Some("CE7"),
        categories: &[
            "음식점 > 카페",
            "음식점 > 카페 > 커피전문점",
            "음식점 > 카페 > 디저트카페",
            "음식점 > 간식 > 제과,베이커리",
        ],
        has_phone: 0.65,
        also: &[("애견카페", 1), ("스터디룸", 6)],
        prefixes: CAFE,
        words: &["커피", "로스터스", "베이커리", "브런치", "티룸", "빵&커피", "디저트", "에스프레소바"],
    },
    Trade {
        keyword: "호프",
        share: 110,
        group: Some("FD6"),
        categories: &[
            "음식점 > 술집 > 호프,요리주점",
            "음식점 > 술집",
            "음식점 > 치킨",
            "음식점 > 술집 > 실내포장마차",
        ],
        has_phone: 0.8,
        also: &[("식당", 12)],
        prefixes: RESTAURANT,
        words: &["호프", "치킨&호프", "맥주창고", "비어", "포차", "펍", "생맥주", "노가리"],
    },
    Trade {
        keyword: "헬스클럽",
        share: 50,
        group: None,
        categories: &["스포츠,레저 > 스포츠시설 > 헬스클럽", "스포츠,레저 > 스포츠시설 > 피트니스센터"],
        has_phone: 0.9,
        also: &[],
        prefixes: CLUB,
        words: &["짐", "휘트니스", "헬스클럽", "PT스튜디오", "헬스"],
    },
    Trade {
        keyword: "스터디룸",
        share: 40,
        group: None,
        categories: &["교육,학문 > 학습시설 > 스터디룸", "교육,학문 > 학습시설 > 독서실 > 스터디카페"],
        has_phone: 0.8,
        also: &[("카페", 4)],
        prefixes: CLUB,
        words: &["스터디룸", "스터디카페", "모임공간", "세미나실"],
    },
    Trade {
        keyword: "공원",
        share: 40,
        group: Some("AT4"),
        categories: &["여행 > 공원", "여행 > 공원 > 도시근린공원", "여행 > 공원 > 어린이공원"],
        has_phone: 0.15,
        also: &[],
        prefixes: &[],
        words: &["근린공원", "어린이공원", "소공원", "체육공원", "쌈지공원", "솔밭공원", "역사공원"],
    },
    Trade {
        keyword: "도서관",
        share: 30,
        group: Some("CT1"),
        categories: &["교육,학문 > 도서관", "교육,학문 > 도서관 > 작은도서관"],
        has_phone: 0.9,
        also: &[("스터디룸", 15)],
        prefixes: &[],
        words: &["도서관", "작은도서관", "어린이도서관", "구립도서관", "새마을문고", "평생학습도서관"],
    },
    Trade {
        keyword: "셀프사진",
        share: 4,
        group: None,
        categories: &["서비스,산업 > 전문대행 > 사진 > 셀프사진", "가정,생활 > 사진 > 사진관,포토스튜디오"],
        has_phone: 0.5,
        also: &[],
        prefixes: CAFE,
        words: &["셀프사진관", "포토", "네컷", "스튜디오"],
    },
    Trade {
        keyword: "애견카페",
        share: 3,
        group: Some("CE7"),
        categories: &["음식점 > 카페 > 테마카페 > 애견카페", "가정,생활 > 반려동물 > 애견카페"],
        has_phone: 0.85,
        also: &[("카페", 60)],
        prefixes: CAFE,
        words: &["멍멍", "댕댕이놀이터", "퍼피하우스", "개랑놀개"],
    },
    Trade {
        keyword: "미술관",
        share: 3,
        group: Some("CT1"),
        categories: &["문화,예술 > 문화시설 > 미술관", "문화,예술 > 문화시설 > 갤러리,화랑"],
        has_phone: 0.9,
        also: &[("카페", 15)],
        prefixes: CAFE,
        words: &["미술관", "갤러리", "아트센터"],
    },
];

impl Trade {
    /// Draws the kind of a place.
    pub(super) fn draw(chance: &mut Chance) -> &'static Self {
        let mut drawn = chance.below(TRADES.iter().map(|trade| trade.share).sum());
        let is_drawn = |trade: &&Trade| match drawn.checked_sub(trade.share) {
            Some(rest) => {
                drawn = rest;
                false
            }
            None => true,
        };
        TRADES.iter().find(is_drawn).expect("the number drawn is below the sum of the shares")
    }

    /// Draws the keywords that find a place: that of its kind, and for about 10 % of the places a second one.
    pub(super) fn keywords(&self, chance: &mut Chance) -> Vec<String> {
        let drawn = chance.below(100);
        let mut sum = 0;
        let second = self.also.iter().find(|(_, share)| {
            sum += share;
            drawn < sum
        });
        let keywords = [Some(self.keyword), second.map(|(keyword, _)| *keyword)];
        keywords.into_iter().flatten().map(str::to_owned).collect()
    }

    /// Draws a name; `stem` is the name of the station without 역.
    pub(super) fn name(&self, stem: &str, chance: &mut Chance) -> String {
        let word = chance.one_of(self.words);
        if self.prefixes.is_empty() {
            return match chance.below(3) {
                0 => format!("{stem}{word}"),
                _ => format!("{stem}제{}{word}", 1 + chance.below(9)),
            };
        }
        let prefix = chance.one_of(self.prefixes);
        match chance.below(5) {
            0 | 1 => format!("{prefix}{word}"),
            2 => format!("{prefix}{word} {stem}점"),
            3 => format!("{prefix}{word} {stem}역점"),
            _ => format!("{stem} {prefix}{word}"),
        }
    }
}
