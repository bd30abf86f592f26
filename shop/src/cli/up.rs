//! `shop up`: all units of factum.toml, each as a process of its own, started with one command and stopped in order.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use factum::{
    chaos::{Process, Tally, free_address},
    config::{Config, Flags},
};
use futures_util::future::join_all;
use shop::services::names;

use super::out::{say, tell};

/// How long a unit may take to start, or to stop.
const LONG: Duration = Duration::from_secs(60);
/// How often it is looked whether all run.
const LOOK: Duration = Duration::from_millis(500);

/// Several units.
#[derive(Debug, Args)]
pub struct Up {
    /// Where each unit's output goes, as NAME.log; made if it is missing.
    #[arg(long, default_value = "units-logs", value_name = "DIR")]
    logs: PathBuf,
    /// What each `shop serve` is told besides, such as `-- --day 1s`.
    #[arg(last = true, value_name = "FLAGS")]
    flags: Vec<String>,
}

struct Running {
    name: String,
    address: SocketAddr,
    services: String,
    process: Process,
}

/// Starts all units and keeps them running until Ctrl-C or SIGTERM.
///
/// # Errors
/// factum.toml names none or cannot be used, or one of them does not start.
pub async fn up(wanted: Up) -> anyhow::Result<()> {
    let Up { logs, flags } = wanted;
    let config = Config::load(&Flags::default())?;
    if config.units.is_empty() {
        bail!("factum.toml names no units: write [units.NAME] with `services` and `store` for each, and `broker`");
    }
    let services = names();
    config.check_units(services.iter().map(String::as_str))?;
    fs::create_dir_all(&logs).with_context(|| format!("{} cannot be made", logs.display()))?;
    let program = env::current_exe().context("this program cannot be found again")?;
    let mut units = Vec::new();
    for (name, unit) in &config.units {
        config.unit(name)?;
        let address = unit.listen.map_or_else(free_address, Ok).context("there is no free port")?;
        let services = unit.services.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let process = process(&program, &logs, (name, address), &flags);
        units.push(Running { name: name.clone(), address, services, process });
    }
    let stop = stop_signal()?;
    tokio::pin!(stop);
    let outcome = tokio::select! {
        outcome = run(&mut units) => outcome,
        () = &mut stop => Ok(()),
    };
    tell("stopping: what was accepted is carried out");
    let stopped = join_all(units.iter_mut().map(|unit| unit.process.stop(LONG))).await;
    for (unit, stopped) in units.iter().zip(stopped) {
        if let Err(problem) = stopped {
            tell(&format!("{}: {problem}", unit.name));
        }
    }
    outcome
}

async fn run(units: &mut [Running]) -> anyhow::Result<()> {
    let started = join_all(units.iter_mut().map(|unit| unit.process.start(LONG))).await;
    for (unit, started) in units.iter().zip(started) {
        started.map_err(|problem| anyhow::anyhow!("the unit {} does not start: {problem}", unit.name))?;
    }
    let lines = units
        .iter()
        .map(|unit| format!("  {:<14} http://{:<22} {}\n", unit.name, unit.address.to_string(), unit.services));
    say(&format!(
        "{} units run, each as a process of its own\n{}how one is  curl http://ADDRESS/health\nstop them with Ctrl-C\n",
        units.len(),
        lines.collect::<String>()
    ))?;
    loop {
        tokio::time::sleep(LOOK).await;
        for unit in units.iter_mut() {
            let Some(ended) = unit.process.ended() else { continue };
            tell(&format!("the unit {} has ended, and is started again: {ended}", unit.name));
            if let Err(problem) = unit.process.start(LONG).await {
                tell(&format!("the unit {} does not start: {problem}", unit.name));
            }
        }
    }
}

fn process(program: &Path, logs: &Path, (name, address): (&str, SocketAddr), flags: &[String]) -> Process {
    let (program, name, flags) = (program.to_owned(), name.to_owned(), flags.to_vec());
    let log = logs.join(format!("{name}.log"));
    let command = move || {
        let mut command = Command::new(&program);
        command.args(["serve", "--unit", &name, "--listen", &address.to_string()]).args(&flags);
        command
    };
    Process::new(command, address, &log, &Tally::default())
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
