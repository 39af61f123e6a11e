//! The entry point of the program.

use std::process::ExitCode;

fn main() -> ExitCode {
    sanggwond::commands::run(std::env::args_os())
}
