//! Asks for confirmation before data is removed: a question on a terminal; without one, an option is required.

use std::io::{self, IsTerminal, Write};

use anyhow::Context as _;
use tokio::sync::oneshot;

use super::Context;
use super::text::visible;
use crate::app::Obstacle;

/// A confirmation option is required, because there is no terminal to ask on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Needed(pub(super) String);

/// The user did not confirm.
#[derive(Debug, thiserror::Error)]
#[error("not confirmed; nothing was changed")]
pub(super) struct Refused;

/// Asks a question on the terminal. Returns `Ok` if the answer is yes.
///
/// # Errors
/// [`Needed`] with `otherwise` if there is no terminal, [`Refused`] if the answer is not yes, [`Obstacle::Stopped`] if
/// the stop token is cancelled first.
pub(super) async fn ask(context: &Context, question: &str, otherwise: String) -> anyhow::Result<()> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Needed(otherwise).into());
    }
    // Print earlier log lines before the question.
    context.screen.flush();
    write!(io::stderr(), "{} [y/N] ", visible(question))?;
    let (answered, answer) = oneshot::channel();
    // A read from the terminal cannot be cancelled. A separate thread does not prevent the process from ending.
    let reader = move || {
        let mut line = String::new();
        // A failed read counts as no.
        io::stdin().read_line(&mut line).ok();
        answered.send(line)
    };
    std::thread::Builder::new().spawn(reader).context("could not ask")?;
    let line = tokio::select! {
        line = answer => line.unwrap_or_default(),
        () = context.stop.cancelled() => return Err(Obstacle::Stopped.into()),
    };
    if matches!(line.trim().to_lowercase().as_str(), "y" | "yes") { Ok(()) } else { Err(Refused.into()) }
}
