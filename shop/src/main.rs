//! The `shop` command.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use shop::plain::plain_lines;

mod cli;

/// Messages are made on one thread and freed on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let command = cli::Cli::parse();
    match cli::run(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", plain_lines(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
