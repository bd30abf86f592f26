//! The key of digests as a file in an app's directory, beside its log and in no backup of it.
//!
//! It is made at the first start, whole and durable before anybody uses it. Where it cannot be kept, as on a full disk, the
//! process works under a key of its own: digests of two processes cannot be compared then, and nothing else is different.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use factum_core::{digest_key::DigestKey, error::StoreError};
use factum_log::{Disk, DiskFile, disk::Access};

/// The file's name in an app's directory. It holds the key and nothing else; on Unix only its owner may read it.
pub const FILE: &str = "digest.key";
/// Its name until it is whole.
const UNFINISHED: &str = "digest.key.unfinished";

/// A key to work under.
#[derive(Debug)]
pub struct OpenedKey {
    /// The key.
    pub key: DigestKey,
    /// Why the next start may have another one, if it may.
    pub unkept: Option<io::Error>,
}

/// The key in `dir`; if there is none, makes one. Only one process at a time may, which the lock of the log sees to.
///
/// # Errors
/// [`StoreError::Permanent`] if there is a file that cannot be read or is no key, [`StoreError::Transient`] if the system
/// gives no random bytes.
pub fn open(dir: &Path, disk: &dyn Disk) -> Result<OpenedKey, StoreError> {
    let path = dir.join(FILE);
    let (bytes, kept) = match disk.open(&path, Access::Read) {
        Ok(file) => (read(&*file, &path)?, Ok(())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let random = disk.fresh_id();
            let bytes = random.map_err(|error| StoreError::Transient(format!("there are no random bytes: {error}")))?;
            (bytes, write(disk, dir, &bytes))
        }
        Err(error) => return Err(unreadable(&path, &format!("cannot be read ({error})"))),
    };
    // Whoever made it may have died before its name was durable.
    let kept = kept.and_then(|()| disk.sync_dir(dir));
    Ok(OpenedKey { key: DigestKey::new(bytes), unkept: kept.err() })
}

/// Keeps a key in the place of the one that is there, durably on return. Only one process at a time may, as above.
///
/// # Errors
/// [`StoreError::Transient`] if it cannot be kept.
pub fn keep(dir: &Path, disk: &dyn Disk, key: &DigestKey) -> Result<(), StoreError> {
    let kept = write(disk, dir, &key.to_bytes()).and_then(|()| disk.sync_dir(dir));
    kept.map_err(|error| {
        StoreError::Transient(format!("the key of digests cannot be kept in {}: {error}", dir.display()))
    })
}

fn read(file: &dyn DiskFile, path: &Path) -> Result<[u8; DigestKey::BYTES], StoreError> {
    let mut bytes = [0; DigestKey::BYTES];
    let length = file.size().map_err(|error| unreadable(path, &format!("cannot be read ({error})")))?;
    if length != DigestKey::BYTES as u64 {
        return Err(unreadable(path, &format!("has {length} bytes and not {}", DigestKey::BYTES)));
    }
    let read = file.read_full(&mut bytes, 0);
    read.map(|_| bytes).map_err(|error| unreadable(path, &format!("cannot be read ({error})")))
}

fn write(disk: &dyn Disk, dir: &Path, bytes: &[u8; DigestKey::BYTES]) -> io::Result<()> {
    let unfinished = dir.join(UNFINISHED);
    match disk.remove(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.open(&unfinished, Access::CreatePrivate)?;
    file.write_full(bytes, 0)?;
    file.sync_data()?;
    disk.rename(&unfinished, &dir.join(FILE))
}

fn unreadable(path: &Path, problem: &str) -> StoreError {
    StoreError::Permanent(format!(
        "the key of digests in {} {problem}: put it back from where it was copied to, or remove the file, which makes \
         another; then commands that are sent again from before are told by their senders' keys alone",
        path.display()
    ))
}
