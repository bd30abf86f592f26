//! The command `factum`: looking after an app's data, also while the app runs.

mod acts;
mod args;
mod consumers;
mod copies;
mod groups;
mod letters;
mod log;
mod log_args;
mod messages;
mod moving;
mod plans;
mod proposals;
mod remote;
mod saga_acts;
mod saga_args;
mod sagas;
mod schedules;
mod screen;
mod target;

use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

use args::{Cli, Command, ConsumersCommand, LettersCommand, PlansCommand};
use clap::Parser;
use factum::{
    error::{NameError, StoreError},
    letters::ActError,
};
use log_args::LogCommand;
use saga_args::SagasCommand;

/// Something is damaged, and was named.
const DAMAGED: u8 = 1;
/// It could not be done.
const NOT_DONE: u8 = 2;
/// What a shell tells of a tool that a closed pipe has ended: 128 and the number of SIGPIPE.
const BROKEN_PIPE: u8 = 141;
/// Characters of an error that are shown: it may hold texts of others.
const ERROR: usize = 4_096;

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

impl From<ActError> for Problem {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Store(error) => Self::Store(error),
            error => Self::Refused(error.to_string()),
        }
    }
}

fn main() -> ExitCode {
    match Cli::try_parse().map_or_else(|usage| explain(&usage), carry_out) {
        Ok(code) => code,
        // Whoever reads has enough, as `head` does; and nobody knows what the rest would have said.
        Err(Problem::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::from(BROKEN_PIPE),
        Err(problem) => {
            // Who cannot hear it cannot be told that either.
            let _ = writeln!(io::stderr().lock(), "error: {}", screen::line(&problem.to_string(), ERROR));
            ExitCode::from(if matches!(problem, Problem::Store(StoreError::Corrupt(_))) { DAMAGED } else { NOT_DONE })
        }
    }
}

/// What was asked for is help, or makes no sense.
fn explain(usage: &clap::Error) -> Result<ExitCode, Problem> {
    let told = usage.print().and_then(|()| io::stdout().flush());
    if !usage.use_stderr() {
        told?;
    }
    Ok(ExitCode::from(if usage.exit_code() == 0 { 0 } else { NOT_DONE }))
}

fn carry_out(cli: Cli) -> Result<ExitCode, Problem> {
    match cli.command {
        Command::Letters { command } => in_letters(command, cli.json),
        Command::Plans { command } => in_plans(command, cli.json),
        Command::Sagas { command } => in_sagas(command, cli.json),
        Command::Groups { command } => groups::carry_out(command, cli.json),
        Command::Schedules { command } => schedules::carry_out(command, cli.json),
        Command::Consumers { target, command } => match (command, target) {
            (Some(ConsumersCommand::TryAgain { target, name, signed }), _) => {
                consumers::try_again(&target, &name, &signed.by(), cli.json)
            }
            (None, Some(target)) => consumers::list(&target, cli.json),
            (None, None) => Err(Problem::Refused("name the running app's address".to_owned())),
        },
        Command::Log { command } => match command {
            LogCommand::Info { data } => log::info(&data, cli.json),
            LogCommand::Verify { data } => log::verify(&data, cli.json),
            LogCommand::Dump { data, which } => messages::dump(&data, &which),
            LogCommand::Tail { data, count, follow } => messages::tail(&data, count, follow, cli.json),
            LogCommand::Migrate { data } => log::migrate(&data, cli.json),
            LogCommand::Roles { data, writer, reader } => log::roles(&data, writer.as_deref(), reader.as_deref()),
            LogCommand::Archive { data, to, keep } => log::archive(&data, &to, keep, cli.json),
        },
        Command::Backup { data, to, copy, no_verify } => copies::backup(&data, &to, !copy, !no_verify, cli.json),
        Command::Restore { from, data } => copies::restore(&from, &data, cli.json),
        Command::Move { from, to, give_up: false } => moving::relocate(&from, &to, cli.json),
        Command::Move { from, to, give_up: true } => moving::give_up(&from, &to, cli.json),
    }
}

fn in_letters(command: LettersCommand, json: bool) -> Result<ExitCode, Problem> {
    match command {
        LettersCommand::List { target, filter } => letters::list(&target, &filter, json),
        LettersCommand::Show { target, id } => letters::show(&target, &id, json),
        LettersCommand::Try { target, id, signed } => acts::try_dry(&target, &id, &signed.by(), json),
        LettersCommand::Redrive { target, many, signed } => acts::redrive(&target, &many, &signed.by(), json),
        LettersCommand::Discard { target, many, signed } => acts::discard(&target, &many, &signed.by(), json),
        LettersCommand::Release { target, id, signed } => acts::release(&target, &id, &signed.by(), json),
    }
}

fn in_plans(command: PlansCommand, json: bool) -> Result<ExitCode, Problem> {
    match command {
        PlansCommand::List { target } => plans::list(&target, json),
        PlansCommand::Show { target, id, watch } => plans::show(&target, &id, watch, json),
        PlansCommand::Make { target, act } => plans::make(&target, &act, json),
        PlansCommand::Approve { target, id, hash, watch, signed } => {
            plans::approve(&target, &id, &hash, watch, &signed.by(), json)
        }
        PlansCommand::Cancel { target, id, signed } => plans::cancel(&target, &id, &signed.by(), json),
    }
}

fn in_sagas(command: SagasCommand, json: bool) -> Result<ExitCode, Problem> {
    match command {
        SagasCommand::List { target, which } => sagas::list(&target, &which, json),
        SagasCommand::Show { target, id } => sagas::show(&target, &id, json),
        SagasCommand::Retry { one, on } => saga_acts::on_step(&one, "retry", on.step.as_deref(), json),
        SagasCommand::Resolve { one, on } => saga_acts::on_step(&one, "resolve", on.step.as_deref(), json),
        SagasCommand::Undo { one } => saga_acts::undo(&one, json),
        SagasCommand::Move { target, id, saga, from, to, rate, how } => match (id, saga, from) {
            (Some(id), ..) => saga_acts::move_one(&target, &id, to, &how, json),
            (None, Some(saga), Some(from)) => saga_acts::move_all(&target, &saga, [from, to], rate, &how, json),
            _ => Err(Problem::Refused("name one process, or say --saga and --from".to_owned())),
        },
    }
}
