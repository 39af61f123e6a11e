//! Where results of any length go: stdout, or a file that appears only when it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A file under a temporary name beside its own; whatever happens before it is kept, it goes.
#[derive(Debug)]
pub(super) struct Draft {
    temporary: PathBuf,
    path: PathBuf,
    is_kept: bool,
}

impl Draft {
    /// Begins a file.
    pub(super) fn create(path: &Path) -> anyhow::Result<(Self, File)> {
        Self::beside(path).with_context(|| format!("could not write {}", path.display()))
    }

    fn beside(path: &Path) -> io::Result<(Self, File)> {
        // A link stays a link, and what is no file, such as a device, is never replaced by one.
        let path = match fs::canonicalize(path) {
            Ok(there) if there.is_file() => there,
            Ok(_) => return Err(io::Error::other("it is there and is no file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(error),
        };
        let name = path.file_name().ok_or_else(|| io::Error::other("it has no name"))?.to_string_lossy().into_owned();
        let temporary = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let file = File::create(&temporary)?;
        Ok((Self { temporary, path, is_kept: false }, file))
    }

    /// Gives the file its own name, in place of what may have had it.
    pub(super) fn keep(mut self) -> anyhow::Result<()> {
        let unusable = || format!("could not write {}", self.path.display());
        File::open(&self.temporary).and_then(|file| file.sync_all()).with_context(unusable)?;
        fs::rename(&self.temporary, &self.path).with_context(unusable)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed has not the asked name, at least.
            fs::remove_file(&self.temporary).ok();
        }
    }
}

/// Stdout with a buffer.
pub(super) fn stdout() -> BufWriter<io::Stdout> {
    BufWriter::new(io::stdout())
}

/// Whether the reader of stdout went away, which is no error.
pub(super) fn is_reader_gone(error: &anyhow::Error) -> bool {
    let is_broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| match cause.downcast_ref::<csv::Error>().map(csv::Error::kind) {
        Some(csv::ErrorKind::Io(error)) => is_broken(error),
        _ => cause.downcast_ref::<io::Error>().is_some_and(is_broken),
    })
}

/// Rows with commas by RFC 4180; the header is a row as any other.
pub(super) fn csv_writer<W: Write>(to: W) -> csv::Writer<W> {
    csv::WriterBuilder::new().has_headers(false).terminator(csv::Terminator::CRLF).from_writer(to)
}
