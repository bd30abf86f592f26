//! Where the data of an app are that is measured.

use std::path::Path;

use factum::Location;

/// Below a directory, or in a database whose files are below it.
#[derive(Clone, Copy)]
pub struct Home<'a> {
    /// On the disk that is measured.
    pub dir: &'a Path,
    /// The URL of the database, without a schema.
    database: Option<&'a str>,
}

impl<'a> Home<'a> {
    pub const fn below(dir: &'a Path) -> Self {
        Self { dir, database: None }
    }

    #[cfg(feature = "rivals")]
    pub const fn in_database(dir: &'a Path, url: &'a str) -> Self {
        Self { dir, database: Some(url) }
    }

    /// A fresh place of this name.
    pub fn place(&self, name: &str) -> Location {
        match self.database {
            None => self.dir.join(name).into(),
            Some(url) => format!("{url}?schema={}", name.replace('-', "_")).into(),
        }
    }

    /// What a figure is called there.
    pub fn named(&self, figure: &str) -> String {
        match self.database {
            None => figure.to_owned(),
            Some(_) => format!("{figure}, on PostgreSQL"),
        }
    }
}
