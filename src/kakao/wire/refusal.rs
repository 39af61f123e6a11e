//! Classifies answers that are not a page.
//!
//! Kakao's own errors have one of two bodies: `{"errorType":"…","message":"…"}`, or `{"code":-10,"msg":"…"}` with a
//! negative code. Only these can show that the key was rejected or that a search is invalid. Any other answer comes from
//! something in between (a CDN, a proxy, a firewall, a captive portal). Whatever its status, it proves nothing about the
//! key or the search.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Answer, Head};

/// Kakao's codes for a spent quota: the free quota, and the limit of paid use.
const QUOTA_SPENT: [i64; 2] = [-10, -11];

/// Kakao's codes for temporary failures: an internal error, maintenance (two codes), an internal timeout.
const UNAVAILABLE: [i64; 4] = [-1, -7, -603, -9798];

/// Kakao's codes for an invalid request: an argument, a header.
const INVALID: [i64; 2] = [-2, -8];

/// Kakao's code for a key that does not exist.
const NO_SUCH_KEY: i64 = -401;

/// The content of an error body.
#[derive(Debug, Default)]
struct Refusal {
    error_type: Option<String>,
    code: Option<i64>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct RefusalJson<'a> {
    #[serde(borrow, default, rename = "errorType")]
    error_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    msg: Option<&'a RawValue>,
}

impl Refusal {
    /// Reads only the fields of [`RefusalJson`], so that a large body takes no memory.
    fn read(body: &[u8]) -> Self {
        let Ok(RefusalJson { error_type, code, message, msg }) = serde_json::from_slice(body) else {
            return Self::default();
        };
        let text = |field: Option<&RawValue>| field.and_then(|json| serde_json::from_str(json.get()).ok());
        // A number, or a string that contains one.
        let code = code.and_then(|json| {
            let number = serde_json::from_str(json.get()).ok();
            number.or_else(|| serde_json::from_str::<String>(json.get()).ok()?.trim().parse().ok())
        });
        Self { error_type: text(error_type), code, message: text(message).or_else(|| text(msg)) }
    }

    fn is_kakaos(&self) -> bool {
        (self.error_type.is_some() && self.message.is_some()) || self.code.is_some_and(|code| code < 0)
    }

    fn is_about_the_key(&self, status: u16) -> bool {
        let has_type = matches!(self.error_type.as_deref(), Some("AccessDeniedError" | "NotAuthorizedError"));
        self.is_kakaos() && (has_type || self.code == Some(NO_SUCH_KEY) || matches!(status, 401 | 403))
    }

    fn is_about_the_search(&self, status: u16) -> bool {
        let has_type = matches!(self.error_type.as_deref(), Some("ValidationError" | "MissingParameter"));
        let has_code = self.has_code(&INVALID);
        self.is_kakaos() && (has_type || has_code || (status == 400 && self.error_type.is_some()))
    }

    fn has_code(&self, codes: &[i64]) -> bool {
        self.code.is_some_and(|code| codes.contains(&code))
    }
}

/// Classifies an answer that is not a page; `broken` says why the body of a 200 is not one.
pub(super) fn classify(head: &Head, body: &[u8], broken: Option<String>) -> Answer {
    let refusal = Refusal::read(body);
    let status = head.status.as_u16();
    let why = match broken.filter(|_| !refusal.is_kakaos()) {
        Some(broken) => broken,
        None => format!("{status}: {}", words(head, &refusal)),
    };
    let retry_after = head.retry_after;
    if refusal.has_code(&QUOTA_SPENT) {
        Answer::QuotaSpent(why)
    } else if status == 429 || refusal.error_type.as_deref() == Some("RequestThrottled") {
        Answer::Throttled { retry_after }
    } else if status == 503 || refusal.has_code(&UNAVAILABLE) {
        Answer::Unavailable { retry_after, why }
    } else if refusal.is_about_the_key(status) {
        Answer::KeyRefused(why)
    } else if refusal.is_about_the_search(status) {
        Answer::Refused(why)
    } else if status == 200 || status >= 500 {
        Answer::Broken(why)
    } else {
        Answer::Unexpected { retry_after, why }
    }
}

/// The message of the answer; if it has none, its code or a description.
fn words<'a>(head: &Head, refusal: &'a Refusal) -> Cow<'a, str> {
    match (&refusal.message, refusal.code, &head.redirect) {
        (Some(message), ..) => Cow::Borrowed(message),
        (None, Some(code), _) => Cow::Owned(format!("code {code}")),
        (None, None, Some(target)) => Cow::Owned(format!("redirected to {target}")),
        (None, None, None) if head.status.is_server_error() => Cow::Borrowed("no error message"),
        (None, None, None) => Cow::Borrowed("not an answer of Kakao (a proxy, a firewall or a captive portal?)"),
    }
}
