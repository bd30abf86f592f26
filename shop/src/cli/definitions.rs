//! `shop definitions`: what is defined in files beside the program, compared with the shop.

use std::path::PathBuf;

use clap::Subcommand;
use factum::definitions::{check, describe};
use shop::{
    contracts::spellings::spellings,
    plain::plain_lines,
    services::{Options, services},
};

use super::out::{say, tell};

/// What can be done with definitions.
#[derive(Debug, Subcommand)]
pub enum Definitions {
    /// Check files, or all `*.yaml` of folders: each problem with its line and what to do. Exit code 1 if there is any.
    Check {
        /// Pipelines, sagas, consumer groups and services.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Write what the shop's services publish and consume, as a definition.
    Services,
}

/// Carries it out; answers whether all is well.
///
/// # Errors
/// If a file cannot be read, or nobody hears the answer.
pub fn run(what: &Definitions) -> anyhow::Result<bool> {
    let services = services(&Options::default());
    match what {
        Definitions::Check { files } => {
            let problems = check(&services, &spellings()?, files)?;
            problems.iter().for_each(|problem| tell(&plain_lines(&problem.to_string())));
            if problems.is_empty() {
                say("All is well with the definitions.\n")?;
            }
            Ok(problems.is_empty())
        }
        Definitions::Services => {
            say(&describe(&services))?;
            Ok(true)
        }
    }
}
