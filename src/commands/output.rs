//! Writes results to stdout, or to a file that appears only when it is complete. A failed write is an error, except if
//! the reader of a pipe has exited (`| head -1`).

mod draft;
mod rows;

use std::io::{self, BufWriter, Write};

use console::Term;
use serde::Serialize;

use super::text::{visible, wrapped};
use super::{Context, Exit};
use crate::app::Database;
use crate::config::Config;
use crate::domain::language::Language;

pub(super) use draft::Draft;
pub(super) use rows::{CsvWriter, Dialect, DialectOption, csv_row};

/// The option `--lang`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct LanguageOption {
    /// The language: en or ko; default: that of the locale, or else report.language
    #[arg(long, value_name = "LANGUAGE")]
    lang: Option<Language>,
}

impl LanguageOption {
    /// The language to write in.
    pub(super) fn of(self, config: &Config) -> Language {
        config.language(self.lang)
    }
}

/// Unbuffered stdout. `std::io::Stdout` reports success even if the descriptor is not writable.
#[derive(Debug)]
pub(super) struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(nix::unistd::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer whose errors name the destination.
#[derive(Debug)]
pub(super) struct Named<W> {
    name: String,
    to: W,
}

/// A failed write: the destination and the cause.
#[derive(Debug, thiserror::Error)]
#[error("could not write {name}: {cause}")]
struct Unwritten {
    name: String,
    cause: io::Error,
}

impl Unwritten {
    fn is_reader_gone(&self) -> bool {
        self.cause.kind() == io::ErrorKind::BrokenPipe
    }
}

impl<W> Named<W> {
    fn explain(&self, cause: io::Error) -> io::Error {
        io::Error::new(cause.kind(), Unwritten { name: self.name.clone(), cause })
    }
}

impl<W: Write> Write for Named<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes).map_err(|error| self.explain(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush().map_err(|error| self.explain(error))
    }
}

/// Stdout with a buffer.
pub(super) fn stdout() -> BufWriter<Named<Stdout>> {
    BufWriter::new(Named { name: "to stdout".to_owned(), to: Stdout })
}

/// The width of the terminal in columns; `None` if stdout is a pipe or a file, where lines are not wrapped.
pub(super) fn width() -> Option<usize> {
    Term::stdout().size_checked().map(|(_, columns)| usize::from(columns))
}

/// Writes lines for people to stdout, wrapped to the width of the terminal. It is not an error if the reader has
/// exited.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let width = width();
    let lines = text.lines().flat_map(|line| wrapped(&visible(line), width)).map(|line| line + "\n");
    print_raw(&lines.collect::<String>())
}

/// Writes a result for programs to stdout, unchanged. It is not an error if the reader has exited.
pub(super) fn print_raw(text: &str) -> anyhow::Result<()> {
    let mut to = stdout();
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes JSON to stdout.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print_raw(&(serde_json::to_string(value)? + "\n"))
}

/// Runs a command that reads the database and prints the result. It ends on a signal, and without an error if the
/// reader of stdout has exited.
pub(super) async fn reading(
    context: &Context,
    read: impl AsyncFnOnce(&Database) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    reading_for_long(context, async |database| database.store.unless_lost(Box::pin(read(database))).await).await
}

/// The same for a command that outlives the server that it began with.
pub(super) async fn reading_for_long(
    context: &Context,
    read: impl AsyncFnOnce(&Database) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    let database = Database::open(&context.config, context.is_demo).await?;
    let work = async {
        database.require_tables().await?;
        read(&database).await
    };
    let exit = tokio::select! {
        exit = work => exit,
        () = context.stop.cancelled() => Ok(Exit::Interrupted),
    };
    database.close().await;
    match exit {
        Err(error) if is_reader_gone(&error) => Ok(Exit::Done),
        exit => exit,
    }
}

/// Whether the reader of stdout has exited. A broken connection to the database does not count.
fn is_reader_gone(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()?.get_ref());
    causes.any(|cause| cause.downcast_ref::<Unwritten>().is_some_and(Unwritten::is_reader_gone))
}
