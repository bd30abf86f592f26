//! Definitions in YAML: pipelines, sagas and consumer groups that run, services that are compared with the program. How they are
//! written: `docs/streams.md`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use factum_core::{envelope::Spellings, service::Service};
pub use factum_definitions::{Definitions, GROUPS, Problem, SAGAS, SERVICE, describe};

/// All that is wrong with the definitions in these files and folders, for a program of these services, in which commands are
/// spelled so too; of a folder its files `*.yaml` and `*.yml`, by name.
///
/// # Errors
/// If one of them cannot be read; the error names it.
pub fn check(services: &[Service], spellings: &Spellings, paths: &[PathBuf]) -> io::Result<Vec<Problem>> {
    let read = paths.iter().try_fold(Definitions::new(), |definitions, path| add(definitions, path))?;
    Ok(read.resolve(services, spellings).err().unwrap_or_default())
}

/// Adds a file, or the files of a folder.
pub(crate) fn add(definitions: Definitions, path: &Path) -> io::Result<Definitions> {
    files(path)?.iter().try_fold(definitions, |definitions, file| {
        let text = fs::read_to_string(file).map_err(|error| named(file, &error))?;
        Ok(definitions.add(&file.display().to_string(), &text))
    })
}

fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| named(path, &error))? {
        let file = entry.map_err(|error| named(path, &error))?.path();
        if file.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the definitions in {} cannot be read: {error}", path.display()))
}
