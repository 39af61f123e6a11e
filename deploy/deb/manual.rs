//! Writes the manual pages and the shell completions into the folder that its argument names.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;
use sanggwond::commands::Arguments;

fn main() -> io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("a folder is named"));
    fs::create_dir_all(&folder)?;
    // A hidden subcommand stays hidden.
    clap_mangen::generate_to(Arguments::command(), &folder)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut Arguments::command(), "sanggwond", &folder)?;
    }
    Ok(())
}
