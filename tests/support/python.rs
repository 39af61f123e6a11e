//! Python programs, with what `tests/python/install` has installed for them.

use std::path::Path;
use std::process::{Command, Stdio};

/// A program of `tests/python`; `None`, with a line that says so, if Python is not installed for the tests.
pub(crate) fn python(test: &str, program: &str) -> Option<Command> {
    let target = Path::new(env!("CARGO_BIN_EXE_sanggwond")).ancestors().nth(2).unwrap();
    let interpreter = target.join("python/bin/python");
    let imports = "import django, duckdb, geopandas, psycopg, pyarrow";
    let tried = Command::new(&interpreter).args(["-c", imports]).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        super::skip(test, "tests/python/install has not been run");
        return None;
    }
    let mut command = Command::new(interpreter);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(program));
    Some(command)
}

/// A URL without the parameter that only the driver of the tests knows.
pub(crate) fn for_libpq(url: &str) -> String {
    let (server, parameters) = url.split_once('?').unwrap_or((url, ""));
    let known = parameters.split('&').filter(|parameter| !parameter.starts_with("statement-cache-capacity="));
    format!("{server}?{}", known.collect::<Vec<_>>().join("&"))
}
