//! `status`: one screen about the situation.

use console::{Alignment, pad_str};

use super::output::{LanguageOption, print, print_json, reading};
use super::situation::{lines, look};
use super::{Context, Exit, Format};
use crate::clock;
use crate::scheduler::standing::Standing;

/// What the exit codes of this command mean.
pub(super) const EXIT_CODES: &str = "Exit codes: 0 the last due full run succeeded; 3 it is partial, or late; 1 it failed, was \
    cancelled, was missed or never ran, or the database cannot be read; 4 it is not finished.";

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    language: LanguageOption,
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    reading(context, async |database| {
        let (situation, standing) = look(&context.config, &database.store).await?;
        match options.format {
            Format::Json => print_json(&situation)?,
            Format::Text => {
                let language = options.language.of(&context.config);
                for (head, text) in lines(&situation, clock::now()) {
                    let head = language.say(head);
                    // A Hangul syllable is two columns wide.
                    print(&format!("{}  {}", pad_str(&head, 10, Alignment::Left, None), language.say(&text)))?;
                }
            }
        }
        Ok(exit_of(standing))
    })
    .await
}

fn exit_of(standing: Standing) -> Exit {
    match standing {
        Standing::Succeeded(_) => Exit::Done,
        Standing::Partial(_) | Standing::Late(_) => Exit::Partial,
        Standing::Unfinished(_) => Exit::Interrupted,
        Standing::Failed(_) | Standing::Cancelled(_) | Standing::Missed(_) | Standing::Never => Exit::Failed,
    }
}
