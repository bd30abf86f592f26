//! Runs a script on a disk, with the model beside it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use factum_log::{Log, LogError, Opened, Options};
use factum_testing::sim::disk::SimDisk;

use crate::model::{Model, Part, Problem, batch};
use crate::workload::{Step, Workload};

/// Where the log lies.
pub fn dir() -> &'static Path {
    Path::new("/data/log")
}

/// A model that a watcher can look at while the log works.
pub type Shared = Arc<Mutex<Model>>;

/// Opens the log on this disk.
pub fn open(disk: &SimDisk, options: &Options) -> Result<(Log, Opened), LogError> {
    Log::open(dir(), Options { disk: Arc::new(disk.clone()), ..options.clone() })
}

/// A script under way.
pub struct Run {
    pub disk: SimDisk,
    options: Options,
    pub model: Shared,
    log: Option<Log>,
    /// How often the log said no, in each way.
    pub refusals: u64,
}

impl Run {
    pub fn new(disk: &SimDisk, workload: &Workload) -> Self {
        let (options, model) = (workload.options(), Shared::default());
        Self { disk: disk.clone(), options, model, log: None, refusals: 0 }
    }

    fn model<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        change(&mut self.model.lock().unwrap())
    }

    /// Does one step. An error is what the log must never do or, on a disk that lies, a refusal to go on.
    pub fn step(&mut self, step: &Step) -> Result<(), Problem> {
        match step {
            Step::Append(parts) => self.append(parts),
            Step::Idle => {
                let idle = self.log()?.idle();
                self.cover(&idle);
                self.after(idle)
            }
            Step::Close => {
                self.log()?;
                let closed = self.log.take().map_or(Ok(()), Log::close);
                self.leave();
                self.cover(&closed);
                self.after(closed)
            }
            Step::Kill => {
                self.leave();
                self.log().map(|_| ())
            }
            Step::Space(beyond) => {
                self.disk.set_space(beyond.map(|bytes| self.disk.used() + bytes));
                Ok(())
            }
        }
    }

    fn cover(&self, marked: &Result<(), LogError>) {
        if marked.is_ok() {
            self.model(Model::cover);
        }
    }

    fn append(&mut self, parts: &[Part]) -> Result<(), Problem> {
        self.log()?;
        self.model(|model| model.begin(parts));
        let done = self.log()?.append(&batch(parts));
        match done {
            Ok(appended) => {
                self.model(|model| model.acknowledge(appended.frame));
                let (head, last) = (self.model(|model| model.certain.head()), appended.last);
                if last == head {
                    return Ok(());
                }
                Err(Problem::Wrong(format!("I3: the last position was to be {head} and is {last}")))
            }
            // Nothing was changed, and the log goes on.
            Err(LogError::Full | LogError::Io { .. }) => {
                self.refusals += 1;
                self.model(Model::refuse);
                Ok(())
            }
            failed => self.after(failed.map(|_| ())),
        }
    }

    /// What a refusal means for who uses the log.
    fn after(&mut self, done: Result<(), LogError>) -> Result<(), Problem> {
        match done {
            Ok(()) | Err(LogError::Full) => Ok(()),
            Err(LogError::Failed) => {
                self.refusals += 1;
                if let Some(log) = &mut self.log {
                    let again = log.append(&batch(&[Part::Delete { key: b"k".to_vec() }]));
                    if log.failure().is_none() || !matches!(again, Err(LogError::Failed)) {
                        return Err(Problem::Wrong("I1: after a failure the log takes another append".into()));
                    }
                }
                self.leave();
                Ok(())
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Ends without closing the log; answers what it must hold.
    pub fn end(mut self) -> Model {
        self.leave();
        self.model(|model| model.clone())
    }

    /// Leaves the log without closing it.
    fn leave(&mut self) {
        self.model(|model| model.reader = None);
        self.log = None;
    }

    /// The log, opened and checked if it is not open. What fails without a lie is tried again, and on a disk that fails
    /// for good only once it is whole again.
    fn log(&mut self) -> Result<&mut Log, Problem> {
        for attempt in 0..4 {
            if self.log.is_some() {
                break;
            }
            match self.open() {
                Ok(log) => self.log = Some(log),
                Err(Problem::Refused(LogError::Io { .. } | LogError::Full | LogError::Failed)) if attempt < 3 => {
                    self.refusals += 1;
                    if attempt > 0 {
                        self.disk.heal();
                        self.disk.set_space(None);
                    }
                }
                Err(problem) => return Err(problem),
            }
        }
        self.log.as_mut().ok_or_else(|| Problem::Wrong("I1: the log does not open on a whole disk".into()))
    }

    fn open(&mut self) -> Result<Log, Problem> {
        let (mut log, _) = open(&self.disk, &self.options)?;
        // A copy: while the log is read, a watcher may ask for the model.
        let mut model = self.model(|model| model.clone());
        model.check(&mut log)?;
        model.reader = Some(log.reader());
        self.model(|now| *now = model);
        Ok(log)
    }
}

/// Panics with the sentence and how to come here again.
pub fn hold(checked: Result<(), Problem>, replay: &dyn Fn() -> String) {
    match checked {
        Ok(()) => {}
        Err(Problem::Wrong(sentence) | Problem::LastLost(sentence)) => panic!("{sentence} ({})", replay()),
        Err(Problem::Refused(error)) => panic!("I1: the log refuses without a cause: {error} ({})", replay()),
    }
}
