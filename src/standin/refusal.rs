//! Error responses, with the texts and formats of the API.

use super::json::push_text;

/// Why a request is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No key was sent.
    NoKey,
    /// A wrong key was sent; the API repeats it in the message.
    UnknownKey(String),
    /// The app has no permission to use the service.
    Disabled,
    /// Too many requests, or an exhausted quota; the API does not distinguish the two.
    Throttled,
    /// The quota is exhausted, in the documented format.
    QuotaCode,
    /// A parameter is missing.
    Missing(&'static str),
    /// A parameter is invalid.
    Invalid(String),
    /// The path does not exist.
    NotFound,
}

impl Refusal {
    /// The HTTP status.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::NoKey | Self::UnknownKey(_) => 401,
            Self::Disabled => 403,
            Self::Throttled => 429,
            Self::QuotaCode | Self::Missing(_) | Self::Invalid(_) => 400,
            Self::NotFound => 404,
        }
    }

    /// The error message.
    pub(super) fn message(&self) -> String {
        match self {
            Self::NoKey => "cannot find Authorization : KakaoAK header".to_owned(),
            Self::UnknownKey(key) => format!("appKey({key}) does not exist"),
            Self::Disabled => "App(sanggwond) disabled OPEN_MAP_AND_LOCAL service.".to_owned(),
            Self::Throttled | Self::QuotaCode => "API limit has been exceeded.".to_owned(),
            Self::Missing(name) => format!("{name} parameter required"),
            Self::Invalid(message) => message.clone(),
            Self::NotFound => "no such path".to_owned(),
        }
    }

    /// The response body.
    pub(super) fn body(&self) -> String {
        let error_type = match self {
            Self::NoKey | Self::UnknownKey(_) => "AccessDeniedError",
            Self::Disabled => "NotAuthorizedError",
            Self::Throttled => "RequestThrottled",
            Self::QuotaCode => return "{\"code\":-10,\"msg\":\"API limit has been exceeded.\"}".to_owned(),
            Self::Missing(_) => "MissingParameter",
            Self::Invalid(_) => "ValidationError",
            Self::NotFound => "NotFound",
        };
        error_body(error_type, &self.message())
    }
}

/// An error body in the format of the Local API.
pub(super) fn error_body(error_type: &str, message: &str) -> String {
    let mut out = String::new();
    push_text(&mut out, "{\"errorType\":", error_type);
    push_text(&mut out, ",\"message\":", message);
    out.push('}');
    out
}
