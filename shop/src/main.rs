//! The `shop` command.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

mod cli;

/// Messages are made on one thread and freed on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let command = cli::Cli::parse();
    match cli::run(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
