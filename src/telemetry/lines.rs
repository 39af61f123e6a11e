//! The format of log lines: text for people, JSON for programs.
//!
//! Both contain the message, its fields, and the fields of the enclosing spans, such as the number of the run. An error
//! is written with all its causes. Control characters are escaped, so that each message is one line.

use std::fmt::{self, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use serde::Serializer as _;
use serde::ser::SerializeMap as _;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::chain;
use super::screen::Screen;
use crate::domain::text::is_hidden;
use crate::telemetry::outlet::Outlet;

/// Target of the database driver. Its messages are discarded, because they repeat statements, parameters of the URL and
/// lines of password files.
const SILENT: &str = "sqlx";

/// A destination of log lines, with its format.
#[derive(Debug)]
pub(super) enum Output {
    /// Text on stderr, above the progress bar.
    Text { to: Screen, zone: Tz, is_colored: bool },
    /// JSON on stderr.
    Json(Screen),
    /// JSON in a file.
    File(Outlet),
}

/// The layer that formats and writes log lines.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) outputs: Vec<Output>,
    pub(super) clock: fn() -> DateTime<Utc>,
}

/// One event, with the fields of the enclosing spans.
struct Line {
    at: DateTime<Utc>,
    level: Level,
    target: String,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

/// The fields of a span or of an event.
#[derive(Debug, Default)]
struct Fields(Vec<(&'static str, Value)>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.add(outer);
            }
        }
        let line = Line::new((self.clock)(), event.metadata(), fields);
        if line.target.starts_with(SILENT) {
            return;
        }
        for output in &self.outputs {
            match output {
                Output::Text { to, zone, is_colored } => to.line(&line.as_text(*zone, *is_colored)),
                Output::Json(to) => to.line(&line.as_json()),
                Output::File(to) => to.push(line.as_json().as_bytes(), 1),
            }
        }
    }
}

impl Line {
    fn new(at: DateTime<Utc>, metadata: &Metadata<'_>, fields: Fields) -> Self {
        let Fields(mut fields) = fields;
        let mut take = |name| {
            let value = fields.iter().position(|(field, _)| *field == name).map(|at| fields.remove(at).1);
            value.and_then(|value| value.as_str().map(str::to_owned))
        };
        let message = take("message").unwrap_or_default();
        // Messages of the `log` crate have their target in a field.
        let target = take("log.target").unwrap_or_else(|| metadata.target().to_owned());
        fields.retain(|(name, _)| !name.starts_with("log."));
        Self { at, level: *metadata.level(), target, message, fields }
    }

    fn as_json(&self) -> String {
        let mut line = Vec::new();
        // Serializing strings, numbers and booleans into memory cannot fail.
        self.write_json(&mut serde_json::Serializer::new(&mut line)).ok();
        line.push(b'\n');
        String::from_utf8(line).unwrap_or_default()
    }

    fn write_json(&self, serializer: &mut serde_json::Serializer<&mut Vec<u8>>) -> Result<(), serde_json::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &self.at.to_rfc3339_opts(SecondsFormat::Micros, true))?;
        map.serialize_entry("level", self.level.as_str())?;
        map.serialize_entry("target", &self.target)?;
        map.serialize_entry("message", &self.message)?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }

    fn as_text(&self, zone: Tz, is_colored: bool) -> String {
        let at = self.at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Millis, false);
        let (dim, color, plain) = if is_colored { ("\x1b[2m", color(self.level), "\x1b[0m") } else { ("", "", "") };
        let mut line = format!("{dim}{at}{plain} {color}{:>5}{plain} {}", self.level.as_str(), Escaped(&self.message));
        for (name, value) in &self.fields {
            // Writing into a string cannot fail.
            match value.as_str() {
                Some(text) if text.is_empty() || text.contains([' ', '"', '=']) => {
                    write!(line, " {dim}{name}={plain}\"{}\"", Escaped(text))
                }
                Some(text) => write!(line, " {dim}{name}={plain}{}", Escaped(text)),
                None => write!(line, " {dim}{name}={plain}{value}"),
            }
            .ok();
        }
        line.push('\n');
        line
    }
}

fn color(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// A text whose control characters and other invisible characters are escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            c if c.is_control() => c.escape_default().fmt(f),
            c if is_hidden(c) => c.escape_unicode().fmt(f),
            c => f.write_char(c),
        })
    }
}

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        match self.0.iter_mut().find(|(name, _)| *name == field.name()) {
            Some((_, old)) => *old = value,
            None => self.0.push((field.name(), value)),
        }
    }

    /// Adds the fields of an outer span. A field that is already there keeps its value.
    fn add(&mut self, outer: &Self) {
        for (name, value) in &outer.0 {
            if self.0.iter().all(|(inner, _)| inner != name) {
                self.0.push((name, value.clone()));
            }
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.set(field, u64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.set(field, chain(value).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            at: "2026-11-22T18:00:00.123456Z".parse().unwrap(),
            level: Level::WARN,
            target: "sanggwond::kakao".to_owned(),
            message: "one line\nwhatever is in it".to_owned(),
            fields: vec![("error", "a statement failed: disk full".into()), ("run.id", 7.into())],
        }
    }

    #[test]
    fn text_lines_have_local_times_with_an_offset() {
        let text = line().as_text(chrono_tz::Asia::Seoul, false);

        let expected = "2026-11-23T03:00:00.123+09:00  WARN one line\\nwhatever is in it \
            error=\"a statement failed: disk full\" run.id=7\n";
        assert_eq!(text, expected);
        assert!(line().as_text(chrono_tz::America::New_York, false).starts_with("2026-11-22T13:00:00.123-05:00"));
    }

    #[test]
    fn invisible_characters_are_escaped_in_text_and_unchanged_in_json() {
        let hidden = Line { message: "abc\u{202e}cba\u{200b}".to_owned(), ..line() };

        assert!(hidden.as_text(chrono_tz::UTC, false).contains(" abc\\u{202e}cba\\u{200b} "));
        assert!(hidden.as_json().contains("\"abc\u{202e}cba\u{200b}\""));
    }

    #[test]
    fn json_lines_have_numbers_and_utc_times() {
        let expected = r#"{"timestamp":"2026-11-22T18:00:00.123456Z","level":"WARN","target":"sanggwond::kakao","message":"one line\nwhatever is in it","error":"a statement failed: disk full","run.id":7}"#;

        assert_eq!(line().as_json(), format!("{expected}\n"));
    }
}
