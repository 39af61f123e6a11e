//! Stderr, shared by log lines and progress bars. Both go through one outlet; lines are written above the bars.

use std::fmt::Write as _;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use console::Term;
use indicatif::{MultiProgress, ProgressDrawTarget, TermLike};

use super::outlet::Outlet;

/// Maximum number of redraws of the bars per second.
const REDRAWS_PER_SECOND: u8 = 20;

/// Stderr with the progress bars on it; clones share it.
#[derive(Clone, Debug)]
pub struct Screen {
    outlet: Outlet,
    bars: MultiProgress,
}

/// A terminal for `indicatif` that writes to the outlet. A drawing is collected until it is complete.
#[derive(Debug)]
struct Canvas {
    outlet: Outlet,
    terminal: Term,
    drawn: Mutex<String>,
}

impl Screen {
    /// Lets `bars` draw through the outlet if stderr is a terminal.
    pub(super) fn new(outlet: Outlet, bars: &MultiProgress, is_terminal: bool) -> Self {
        if is_terminal {
            let canvas = Canvas { outlet: outlet.clone(), terminal: Term::stderr(), drawn: Mutex::default() };
            bars.set_draw_target(ProgressDrawTarget::term_like_with_hz(Box::new(canvas), REDRAWS_PER_SECOND));
        }
        Self { outlet, bars: bars.clone() }
    }

    /// Writes a line above the bars.
    pub(super) fn line(&self, line: &str) {
        self.bars.suspend(|| self.outlet.push(line.as_bytes(), 1));
    }

    /// Waits until everything is written, unless nobody reads it. Call this before something else writes to the same
    /// terminal.
    pub fn flush(&self) {
        self.outlet.flush();
    }

    pub(super) fn outlet(&self) -> &Outlet {
        &self.outlet
    }
}

impl Canvas {
    fn drawn(&self) -> MutexGuard<'_, String> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the cursor. For 0 steps it writes nothing, because terminals read 0 as 1.
    fn move_cursor(&self, steps: usize, direction: char) -> io::Result<()> {
        if steps > 0 {
            write!(self.drawn(), "\x1b[{steps}{direction}").map_err(io::Error::other)?;
        }
        Ok(())
    }
}

impl TermLike for Canvas {
    fn width(&self) -> u16 {
        self.terminal.size().1
    }

    fn height(&self) -> u16 {
        self.terminal.size().0
    }

    fn move_cursor_up(&self, steps: usize) -> io::Result<()> {
        self.move_cursor(steps, 'A')
    }

    fn move_cursor_down(&self, steps: usize) -> io::Result<()> {
        self.move_cursor(steps, 'B')
    }

    fn move_cursor_right(&self, steps: usize) -> io::Result<()> {
        self.move_cursor(steps, 'C')
    }

    fn move_cursor_left(&self, steps: usize) -> io::Result<()> {
        self.move_cursor(steps, 'D')
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.drawn().extend([line, "\n"]);
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.drawn().push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.write_str("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let drawn = std::mem::take(&mut *self.drawn());
        if !drawn.is_empty() {
            self.outlet.push(drawn.as_bytes(), 0);
        }
        Ok(())
    }
}
