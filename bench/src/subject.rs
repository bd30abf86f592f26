//! Who is compared: Factum's store and its rivals, and what is said of one that is not there.

use std::{fs, path::Path};

use anyhow::bail;

use crate::{figure::Figure, ours, work::Store};

/// A store on the same work.
pub struct Subject {
    /// What its figures are called.
    pub name: &'static str,
    /// Which one exactly.
    pub version: Option<String>,
    /// Opens a fresh one in an empty directory, or says why there is none.
    pub open: fn(&Path) -> anyhow::Result<Box<dyn Store>>,
}

/// Which of them a run is about.
#[derive(Debug, Default)]
pub struct Choice(Vec<String>);

impl Choice {
    /// Those of these names; all if there are none.
    ///
    /// # Errors
    /// If nobody has such a name.
    pub fn of(names: &[String]) -> anyhow::Result<Self> {
        let known: Vec<&str> = Self::default().all().into_iter().map(|subject| subject.name).collect();
        let unknown = names.iter().find(|name| !known.iter().any(|known| known.eq_ignore_ascii_case(name)));
        if let Some(name) = unknown {
            let hint = if cfg!(feature = "rivals") { "" } else { "; rivals need `--features rivals`" };
            bail!("nobody is called `{name}` here: there are {}{hint}", known.join(", "));
        }
        Ok(Self(names.iter().map(|name| name.to_lowercase()).collect()))
    }

    /// Whether this one is to run.
    pub fn has(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.contains(&name.to_lowercase())
    }

    /// Factum's store, then the rivals.
    pub fn all(&self) -> Vec<Subject> {
        let ours = Subject { name: ours::NAME, version: None, open: ours::open };
        [ours].into_iter().filter(|ours| self.has(ours.name)).chain(self.rivals()).collect()
    }

    /// The rivals alone.
    #[cfg(feature = "rivals")]
    pub fn rivals(&self) -> Vec<Subject> {
        crate::rivals::all().into_iter().filter(|rival| self.has(rival.name)).collect()
    }

    /// None: this program was built without them.
    #[cfg(not(feature = "rivals"))]
    pub fn rivals(&self) -> Vec<Subject> {
        Vec::new()
    }
}

impl Subject {
    /// Runs something with a fresh store in a directory of its own. Where that fails for a rival, its figures under
    /// these names are lines that say so; where it fails for us, everything ends.
    ///
    /// # Errors
    /// If it is Factum's store that failed, or a line cannot be printed.
    pub fn run(
        &self,
        dir: &Path,
        names: &[&str],
        run: impl FnOnce(&mut Box<dyn Store>, &Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        in_a_place(dir, self.name, names, |place| run(&mut (self.open)(place)?, place))
    }
}

/// Runs something in a directory of its own, as [`Subject::run`] does.
///
/// # Errors
/// As there.
pub fn in_a_place(
    dir: &Path,
    subject: &'static str,
    names: &[&str],
    run: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let place = dir.join("store");
    fs::create_dir(&place)?;
    let outcome = run(&place);
    fs::remove_dir_all(&place)?;
    match outcome {
        Err(error) if subject != ours::NAME => {
            names.iter().try_for_each(|name| Figure::missing(*name, subject, format!("{error:#}")).print())
        }
        outcome => outcome,
    }
}
