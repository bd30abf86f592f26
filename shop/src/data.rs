//! Where a shop keeps its data, and what its people have defined beside it.

use std::{fmt, path::PathBuf};

use factum::{Location, LogSizes, Stores, config::Config};

/// See the module. A directory is one, and `postgres://…`.
#[derive(Clone, Debug)]
pub struct Data {
    /// Log, rows and snapshots.
    pub stores: Stores,
    /// A folder of definitions; without it those in the folder `definitions` of a directory.
    pub definitions: Option<PathBuf>,
}

impl Data {
    /// Where a deployment says that it is; `None` if it does not.
    pub fn configured(config: &Config) -> Option<Self> {
        Some(Self { stores: config.stores()?, definitions: config.definitions.clone() })
    }

    /// Where the log is.
    pub fn place(&self) -> &Location {
        self.stores.place()
    }

    /// The same with other sizes of the log's files, if it is in a directory.
    #[must_use]
    pub fn log_sizes(self, sizes: LogSizes) -> Self {
        Self { stores: self.stores.log_sizes(sizes), ..self }
    }

    /// The folder of definitions, if there is one.
    pub fn definitions(&self) -> Option<PathBuf> {
        let beside = || self.place().directory().map(|dir| dir.join("definitions")).filter(|dir| dir.is_dir());
        self.definitions.clone().or_else(beside)
    }
}

impl<P: Into<Location>> From<P> for Data {
    fn from(place: P) -> Self {
        Self { stores: Stores::at(place), definitions: None }
    }
}

impl From<&Self> for Data {
    fn from(data: &Self) -> Self {
        data.clone()
    }
}

/// As `--data` takes it.
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place().fmt(f)
    }
}
