//! Notes as files, one for each loop: the port [`Notes`] over a directory.
//!
//! | promise of the port | how it is kept here |
//! |---|---|
//! | answered after any end of the process | each `put` is one write to a file that stays open; the system keeps it |
//! | cheap | no sync, no rename, no new file |
//! | unreadable is none | a length and a checksum in front of the note |

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use factum_core::ports::{Note, Notes};
use xxhash_rust::xxh3::xxh3_64;

/// The directory's name in its directory.
const DIRECTORY: &str = "notes";
/// Length and checksum.
const HEADER: usize = 4 + 8;

/// Notes in a directory.
#[derive(Debug)]
pub struct FileNotes {
    dir: PathBuf,
    open: Mutex<BTreeMap<String, File>>,
}

impl FileNotes {
    /// The notes in `dir`. Without room or rights there are none: then a message that ends processes is not found, and
    /// nothing else is different.
    pub fn open(dir: &Path) -> Self {
        let dir = dir.join(DIRECTORY);
        let _ = fs::create_dir_all(&dir);
        Self { dir, open: Mutex::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.note"))
    }
}

impl Notes for FileNotes {
    fn get(&self, name: &str) -> Option<Note> {
        let bytes = fs::read(self.path(name)).ok()?;
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (sum, rest) = rest.split_first_chunk::<8>()?;
        let body = rest.get(..u32::from_le_bytes(*length) as usize)?;
        (xxh3_64(body) == u64::from_le_bytes(*sum)).then(|| serde_json::from_slice(body).ok()).flatten()
    }

    fn put(&self, name: &str, note: &Note) {
        let Ok(body) = serde_json::to_vec(note) else { return };
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&xxh3_64(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.contains_key(name) {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.path(name));
            let Ok(file) = file else { return };
            open.insert(name.to_owned(), file);
        }
        if let Some(file) = open.get_mut(name) {
            // A note that cannot be written protects nothing and harms nothing.
            let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use factum_core::stream::Position;

    use super::*;

    #[test]
    fn the_last_note_is_read_back_and_a_torn_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let notes = FileNotes::open(dir.path());
        assert_eq!(notes.get("engine"), None);
        let long = Note {
            running: Some("x".repeat(500)),
            suspect: Some(("y".to_owned(), 2)),
            stood: Some((Position(7), 1)),
            ..Note::default()
        };
        notes.put("engine", &long);
        let short = Note { ended: true, ..Note::default() };
        notes.put("engine", &short);
        notes.put("views", &long);
        // Another process finds them.
        let other = FileNotes::open(dir.path());
        assert_eq!((other.get("engine"), other.get("views")), (Some(short), Some(long)));
        let path = notes.path("views");
        let bytes = fs::read(&path).unwrap();
        for end in 0..bytes.len() {
            fs::write(&path, &bytes[..end]).unwrap();
            assert_eq!(other.get("views"), None, "cut at {end}");
        }
    }
}
