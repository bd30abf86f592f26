//! The command `factum`: looking after an app's data, also while the app runs.

mod args;
mod copies;
mod log;
mod messages;
mod screen;

use std::{
    io::{self, ErrorKind},
    process::ExitCode,
};

use args::{Cli, Command, LogCommand};
use clap::Parser;
use factum::error::{NameError, StoreError};

/// Something is damaged, and was named.
const DAMAGED: u8 = 1;
/// It could not be done.
const NOT_DONE: u8 = 2;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("{0}")]
    Refused(String),
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Log { command } => match command {
            LogCommand::Info { dir } => log::info(&dir, cli.json),
            LogCommand::Verify { dir } => log::verify(&dir, cli.json),
            LogCommand::Dump { dir, which } => messages::dump(&dir, &which),
            LogCommand::Tail { dir, count, follow } => messages::tail(&dir, count, follow, cli.json),
            LogCommand::Archive { dir, to, keep } => log::archive(&dir, &to, keep, cli.json),
        },
        Command::Backup { dir, to, copy, no_verify } => copies::backup(&dir, &to, !copy, !no_verify, cli.json),
        Command::Restore { from, dir } => copies::restore(&from, &dir, cli.json),
    };
    match done {
        Ok(code) => code,
        // Whoever reads has enough, as `head` does.
        Err(Problem::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::from(if matches!(problem, Problem::Store(StoreError::Corrupt(_))) { DAMAGED } else { NOT_DONE })
        }
    }
}
