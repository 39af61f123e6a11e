//! `completions`: prints a completion script for a shell.

use clap::{CommandFactory, ValueEnum};

use super::output::print_raw;
use super::{Arguments, Exit};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The shell
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(options: &Options) -> anyhow::Result<Exit> {
    let shell = match options.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "sanggwond", &mut script);
    print_raw(&String::from_utf8(script)?)?;
    Ok(Exit::Done)
}
