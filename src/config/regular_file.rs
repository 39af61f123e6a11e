//! Opens and reads regular files. Pipes, sockets, devices and folders are rejected, because reading them fails, or may
//! block or never end. [`read`] also limits the size.

use std::fs::{File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

/// Opens a regular file. Symbolic links are followed, because container platforms mount secrets as symbolic links.
///
/// # Errors
/// When the file cannot be opened, or is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    // Check before opening, because opening a device can have side effects.
    check(std::fs::metadata(path)?.file_type())?;
    // The path may refer to another file by now. Without O_NONBLOCK, opening a pipe would wait for its writer.
    let file = File::options().read(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits()).open(path)?;
    check(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a regular file of at most `max_kib` KiB.
///
/// # Errors
/// When the file cannot be read, is not a regular file, or is larger than that.
pub fn read(path: &Path, max_kib: u64) -> io::Result<Vec<u8>> {
    let max_bytes = max_kib << 10;
    let mut bytes = Vec::new();
    open(path)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::other(format!("it is larger than {max_kib} KiB")));
    }
    Ok(bytes)
}

/// Rejects everything but a regular file.
fn check(found: FileType) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let what = if found.is_dir() {
        "a folder"
    } else if found.is_fifo() {
        "a pipe"
    } else if found.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(io::Error::other(format!("it is {what}; expected a regular file")))
}
