//! The `shop` command.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

mod cli;

/// Messages are made on one thread and freed on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let done = match cli::Cli::try_parse() {
        Ok(command) => cli::run(command),
        Err(usage) => cli::explain(&usage),
    };
    done.unwrap_or_else(|error| cli::failed(&error))
}
