//! Command line in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use sanggwond::commands::{self, Arguments};

#[tokio::main]
async fn main() -> ExitCode {
    // A usage error ends here with code 2 and the usage.
    commands::run(Arguments::parse()).await
}
