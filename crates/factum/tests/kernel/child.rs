//! A writer as a process of its own: starting it, hearing it, ending it at a chosen moment.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use crate::{bank, log_writer, report::Report};

/// What is written to: the bare log, or an app over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Log,
    App,
}

/// What a writer is to do.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    pub level: Level,
    pub dir: &'a Path,
    /// The first number that it gives; no other writer of the directory gives one from there on.
    pub first: u64,
    /// It closes after so many writes.
    pub writes: u64,
    /// Numbers of commands whose outcome is unknown, to be tried again. Only of the app.
    pub again: Vec<u64>,
}

/// The most that a writer may take for a step of its life, whatever happens: a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(120);

impl Order<'_> {
    /// The command line; `before` is put in front of it.
    fn command(&self, before: &[String]) -> Command {
        let program = std::env::current_exe().unwrap();
        let mut line = before.to_vec();
        line.extend([program.to_string_lossy().into_owned(), "writer".to_owned()]);
        line.push(if self.level == Level::Log { "log" } else { "app" }.to_owned());
        line.push(self.dir.to_string_lossy().into_owned());
        line.extend([self.first, self.writes].iter().chain(&self.again).map(u64::to_string));
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts the writer, `before` in front of its command line.
    pub fn start(&self, before: &[String]) -> Writer {
        let mut child = self.command(before).spawn().unwrap();
        let (told, heard) = mpsc::channel();
        let out = child.stdout.take().unwrap();
        let errors = child.stderr.take().unwrap();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(report) = Report::read(&line)
                    && told.send(report).is_err()
                {
                    break;
                }
            }
        });
        let errors = thread::spawn(move || {
            let mut text = String::new();
            BufReader::new(errors).read_to_string(&mut text).map(|_| text).unwrap_or_default()
        });
        Writer { child, heard, errors, reports: Vec::new() }
    }
}

/// A running writer.
pub struct Writer {
    child: Child,
    heard: Receiver<Report>,
    errors: thread::JoinHandle<String>,
    reports: Vec<Report>,
}

/// A writer that has ended.
pub struct Ended {
    pub reports: Vec<Report>,
    pub status: ExitStatus,
    /// What it wrote as errors.
    pub errors: String,
}

impl Ended {
    /// How far it had come.
    pub fn phase(&self) -> Phase {
        let phase = |report: &Report| match report {
            Report::Open { .. } => Some(Phase::Running),
            Report::Closing => Some(Phase::Closing),
            Report::End { .. } | Report::Closed { .. } => Some(Phase::Ended),
            _ => None,
        };
        self.reports.iter().rev().find_map(phase).unwrap_or(Phase::Opening)
    }
}

/// The phases of a writer's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Opening,
    Running,
    Closing,
    Ended,
}

impl Writer {
    /// Waits until it has told of the phase, or ended before; answers how long that took.
    pub fn wait_for(&mut self, phase: Phase) -> Duration {
        let start = Instant::now();
        let wanted = |report: &Report| match phase {
            Phase::Opening => true,
            Phase::Running => matches!(report, Report::Open { .. }),
            Phase::Closing => matches!(report, Report::Closing),
            Phase::Ended => false,
        };
        self.wait_until(|reports| reports.last().is_some_and(wanted));
        start.elapsed()
    }

    /// Waits until its reports are as wanted, or it has ended before.
    pub fn wait_until(&mut self, is_wanted: impl Fn(&[Report]) -> bool) {
        while !is_wanted(&self.reports) {
            match self.heard.recv_timeout(PATIENCE) {
                Ok(report) => self.reports.push(report),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.child.kill().unwrap();
                    panic!("a writer told nothing for {PATIENCE:?}; last: {:?}", self.reports.last());
                }
            }
        }
    }

    /// Its number, for others to kill it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it (SIGKILL).
    pub fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.end()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        self.wait_for(Phase::Ended);
        let status = self.child.wait().unwrap();
        Ended { reports: self.reports, status, errors: self.errors.join().unwrap() }
    }
}

/// The writer itself: what this program does when it is started as one.
pub fn write(arguments: &[String]) {
    let number = |text: &String| text.parse().unwrap();
    let (level, dir) = (arguments[0].as_str(), Path::new(&arguments[1]));
    let numbers: Vec<u64> = arguments[2..].iter().map(number).collect();
    let level = if level == "log" { Level::Log } else { Level::App };
    let order = Order { level, dir, first: numbers[0], writes: numbers[1], again: numbers[2..].to_vec() };
    match level {
        Level::Log => log_writer::run(&order),
        Level::App => bank::run(&order),
    }
}
