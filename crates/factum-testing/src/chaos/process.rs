//! The program under test: started, killed, started again, and stopped in order at the end.

use std::{
    fs::{self, File},
    io,
    net::{SocketAddr, TcpListener},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::tally::Tally;

/// The number of SIGKILL.
const KILLED: i32 = 9;
/// How often it is asked whether it is ready.
const ASKED: Duration = Duration::from_millis(20);
/// Bytes of its last words that an error repeats.
const LAST_WORDS: usize = 4_096;

/// An address on this machine that nobody listens on now.
///
/// # Errors
/// The system gives none.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// A program that serves HTTP. It is killed when this is dropped; nothing else is.
pub struct Process {
    command: Box<dyn Fn() -> std::process::Command + Send + Sync>,
    url: String,
    log: PathBuf,
    tally: Tally,
    client: Client,
    child: Option<Child>,
}

impl Process {
    /// A program that `command` starts and that listens at `address`; what it says is appended to the file `log`. It
    /// answers 200 at `/ready` when it takes requests, as every app of Factum does.
    pub fn new(
        command: impl Fn() -> std::process::Command + Send + Sync + 'static,
        address: SocketAddr,
        log: &Path,
        tally: &Tally,
    ) -> Self {
        let (url, log, tally) = (format!("http://{address}"), log.to_owned(), tally.clone());
        Self { command: Box::new(command), url, log, tally, client: Client::new(), child: None }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Starts it, and does not wait.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn begin(&mut self) -> io::Result<()> {
        let said = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::from((self.command)());
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said).kill_on_drop(true);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// Waits until it is ready; answers how long that took.
    ///
    /// # Errors
    /// A sentence with its last words: it has ended, or is not ready within the time.
    pub async fn ready(&mut self, within: Duration) -> Result<Duration, String> {
        let begun = Instant::now();
        loop {
            if let Some(ended) = self.ended() {
                return Err(ended);
            }
            if self.is_ready(within).await == Some(true) {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > within {
                return Err(format!("the program is not ready after {within:?}; {}", self.last_words()));
            }
            sleep(ASKED).await;
        }
    }

    /// Whether it says that it carries out commands now; nothing if it does not answer within the time.
    pub async fn is_ready(&self, within: Duration) -> Option<bool> {
        let answer = self.client.get(format!("{}/ready", self.url)).timeout(within).send().await;
        answer.ok().map(|answer| answer.status().is_success())
    }

    /// Starts it, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Process::begin`] and [`Process::ready`].
    pub async fn start(&mut self, within: Duration) -> Result<Duration, String> {
        self.begin().map_err(|error| format!("the program cannot be started: {error}"))?;
        self.ready(within).await
    }

    /// Kills it (SIGKILL) at a moment that has this name in the tally.
    ///
    /// # Errors
    /// A sentence with its last words, if it had ended by itself.
    pub async fn kill(&mut self, moment: &str) -> Result<(), String> {
        self.tally.ordered("kill", moment);
        if let Some(ended) = self.ended() {
            return Err(ended);
        }
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().await.map_err(|error| format!("the program cannot be killed: {error}"))?;
        let status = child.wait().await.map_err(|error| format!("the program's end is not told: {error}"))?;
        match status.signal() {
            Some(KILLED) => self.tally.happened("kill", moment),
            _ => return Err(self.ended_by_itself(status)),
        }
        Ok(())
    }

    /// Asks it to stop (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// A sentence with its last words, if it does not within the time, or not in order.
    pub async fn stop(&mut self, within: Duration) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        // Nobody else can have its number: it is only free when the program was waited for.
        if let Some(id) = id {
            kill_process(id, Signal::TERM).map_err(|error| format!("the program cannot be told to stop: {error}"))?;
        }
        match timeout(within, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.ended_by_itself(status)),
            Ok(Err(error)) => Err(format!("the program's end is not told: {error}")),
            Err(_) => Err(format!("the program does not stop within {within:?}; {}", self.last_words())),
        }
    }

    /// A sentence, if it runs no more and nobody has ended it.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        Some(self.ended_by_itself(status))
    }

    fn ended_by_itself(&self, status: ExitStatus) -> String {
        format!("the program has ended by itself ({status}); {}", self.last_words())
    }

    fn last_words(&self) -> String {
        let said = fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said[said.len().saturating_sub(LAST_WORDS)..]).into_owned();
        format!("it said last, in {}:\n{}", self.log.display(), said.trim_end())
    }
}
