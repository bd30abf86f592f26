//! The calls: what each does to the disk, and how each goes wrong.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use factum_log::disk::{Access, Disk, DiskFile};
use fastrand::Rng;

use super::content::SECTOR;
use super::fault::{Call, Fault};
use super::state::State;
use super::{Io, SimDisk};

#[derive(Debug)]
struct Handle {
    disk: SimDisk,
    id: u64,
    /// The name that it was opened by.
    path: PathBuf,
    writes: bool,
    _open: Opened,
}

struct Lock {
    disk: SimDisk,
    path: PathBuf,
    _open: Opened,
}

/// Counts as an open file for as long as it is there.
#[derive(Debug)]
struct Opened(SimDisk);

impl Opened {
    fn on(disk: &SimDisk) -> Self {
        let mut open = disk.open_now();
        open.now += 1;
        open.most = open.most.max(open.now);
        drop(open);
        Self(disk.clone())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open_now().now -= 1;
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.path);
    }
}

fn broken() -> io::Error {
    io::Error::other("input/output error of the simulated disk")
}

fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

impl SimDisk {
    /// One call: counted, watched, and given the fault that is planned for it.
    fn call<T>(
        &self,
        call: Call,
        path: &Path,
        act: impl FnOnce(&mut State, Option<Fault>) -> io::Result<T>,
    ) -> io::Result<T> {
        let number = {
            let mut state = self.state();
            state.calls += 1;
            state.stamp += 1;
            state.calls
        };
        self.tell(&Io { number, call, path, done: false });
        let result = {
            let mut state = self.state();
            let fault = state.strike(call);
            let simple = match (fault, call) {
                (Some(Fault::Io), Call::Write) | (Some(Fault::Full), Call::Write | Call::Sync) => None,
                (Some(Fault::Io), _) => Some(broken()),
                (Some(Fault::Full), _) => Some(full()),
                (Some(Fault::Interrupted), _) => Some(io::ErrorKind::Interrupted.into()),
                _ => None,
            };
            match (simple, fault) {
                (Some(error), Some(fault)) => {
                    state.counts.add(fault);
                    Err(error)
                }
                _ => act(&mut state, fault),
            }
        };
        self.tell(&Io { number, call, path, done: true });
        result
    }

    fn tell(&self, io: &Io<'_>) {
        // Taken out meanwhile: what the watcher itself calls is not watched.
        let Some(watcher) = self.watcher().take() else { return };
        watcher(io);
        self.watcher().get_or_insert(watcher);
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(Call::CreateDir, dir, |state, _| {
            if state.names.contains_key(dir) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            // One that is there may have been renamed, which is made durable too.
            state.sync_dir(dir.parent().unwrap_or(Path::new("")));
            Arc::make_mut(&mut state.dirs).extend(dir.ancestors().map(Path::to_owned));
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.call(Call::List, dir, |state, _| {
            if !state.dirs.contains(dir) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let inside = state.names.keys().chain(&*state.dirs).filter(|path| path.parent() == Some(dir));
            Ok(inside.filter_map(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned()).collect())
        })
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let creates = matches!(access, Access::Create | Access::CreatePrivate);
        let call = if creates { Call::Create } else { Call::Open };
        let id = self.call(call, path, |state, _| match (creates, state.names.get(path).copied()) {
            (true, Some(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            (true, None) if path.parent().is_some_and(|dir| state.dirs.contains(dir)) => Ok(state.create(path)),
            (_, None) => Err(io::ErrorKind::NotFound.into()),
            (_, Some(id)) => Ok(id),
        })?;
        let (disk, writes, _open) = (self.clone(), access != Access::Read, Opened::on(self));
        Ok(Arc::new(Handle { disk, id, path: path.to_owned(), writes, _open }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Call::Rename, from, |state, _| {
            match state.names.get(from).copied() {
                Some(id) => state.rename(from, Some(from.to_owned()), Some((to.to_owned(), id))),
                None if state.dirs.contains(from) => state.move_dir(from, to)?,
                None => return Err(io::ErrorKind::NotFound.into()),
            }
            Ok(())
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Call::Rename, from, |state, _| {
            let id = state.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
            if state.names.contains_key(to) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.rename(to, None, Some((to.to_owned(), id)));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Remove, path, |state, _| {
            if !state.names.contains_key(path) {
                return Err(io::ErrorKind::NotFound.into());
            }
            state.rename(path, Some(path.to_owned()), None);
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(Call::SyncDir, dir, |state, _| {
            state.sync_dir(dir);
            Ok(())
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.call(Call::Lock, path, |state, _| {
            if !path.parent().is_some_and(|dir| state.dirs.contains(dir)) {
                return Err(io::ErrorKind::NotFound.into());
            }
            if !state.names.contains_key(path) {
                state.create(path);
            }
            if !state.locks.insert(path.to_owned()) {
                return Ok(None);
            }
            let lock = Lock { disk: self.clone(), path: path.to_owned(), _open: Opened::on(self) };
            Ok(Some(Box::new(lock) as Box<dyn Any + Send + Sync>))
        })
    }

    fn fresh_id(&self) -> io::Result<[u8; 16]> {
        let mut state = self.state();
        state.ids += 1;
        let mut rng = Rng::with_seed(state.seed ^ state.ids.rotate_left(32));
        Ok(rng.u128(..).to_le_bytes())
    }

    fn background(&self) -> bool {
        false
    }
}

impl DiskFile for Handle {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.call(Call::Read, &self.path, |state, fault| {
            let wanted = match fault {
                Some(Fault::ShortRead) if bytes.len() > 1 => state.rng.usize(1..bytes.len()),
                _ => bytes.len(),
            };
            let file = Arc::clone(state.files.get(&self.id).ok_or(io::ErrorKind::NotFound)?);
            let read = file.live.read(&mut bytes[..wanted], offset);
            let bytes = &mut bytes[..read];
            let end = offset + read as u64;
            let happened = match fault {
                Some(Fault::ShortRead) => read == wanted && offset + (wanted as u64) < file.live.length,
                Some(Fault::FlipRead) if read > 0 => {
                    let bit = some_bit(&mut state.rng, bytes);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    true
                }
                Some(Fault::Stale) => match file.stale(offset / SECTOR as u64, end.div_ceil(SECTOR as u64)) {
                    Some((index, sector)) => lay_over(bytes, offset, index, &sector),
                    None => false,
                },
                _ => false,
            };
            if let Some(fault) = fault.filter(|_| happened) {
                state.counts.add(fault);
            }
            Ok(read)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.disk.call(Call::Write, &self.path, |state, fault| {
            if !self.writes {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            let (stamp, length) = (state.stamp, state.file(self.id)?.live.length);
            let growth = (offset + bytes.len() as u64).saturating_sub(length.max(offset));
            let lacking = (growth - state.room(growth)) as usize;
            let taken = match fault {
                Some(Fault::Io | Fault::Full) => state.rng.usize(..=bytes.len().saturating_sub(1)),
                Some(Fault::ShortWrite) if bytes.len() > 1 => state.rng.usize(1..bytes.len()),
                _ => bytes.len(),
            };
            let taken = taken.min(bytes.len() - lacking);
            let mut stored = bytes[..taken].to_vec();
            if fault == Some(Fault::FlipStored) && taken > 0 {
                let bit = some_bit(&mut state.rng, &stored);
                stored[bit / 8] ^= 1 << (bit % 8);
            }
            if taken > 0 {
                state.file(self.id)?.write(stamp, &stored, offset);
            }
            if let Some(fault) = fault {
                let happened = match fault {
                    Fault::ShortWrite => taken < bytes.len(),
                    Fault::FlipStored => taken > 0,
                    _ => true,
                };
                if happened {
                    state.counts.add(fault);
                }
            }
            match fault {
                Some(Fault::Io) => Err(broken()),
                Some(Fault::Full) => Err(full()),
                _ if taken == 0 && !bytes.is_empty() => {
                    state.counts.add(Fault::Full);
                    Err(full())
                }
                _ => Ok(taken),
            }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.call(Call::Sync, &self.path, |state, fault| {
            let file = state.file(self.id)?;
            let error = match fault {
                Some(Fault::SyncForgets) => broken(),
                Some(Fault::Full) => full(),
                _ => {
                    file.sync();
                    return Ok(());
                }
            };
            file.forget();
            if let Some(fault) = fault {
                state.counts.add(fault);
            }
            Err(error)
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.call(Call::SetLen, &self.path, |state, _| {
            if !self.writes {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            let growth = length.saturating_sub(state.file(self.id)?.live.length);
            if state.room(growth) < growth {
                state.counts.add(Fault::Full);
                return Err(full());
            }
            let stamp = state.stamp;
            state.file(self.id)?.set_len(stamp, length);
            Ok(())
        })
    }

    fn size(&self) -> io::Result<u64> {
        self.disk.call(Call::Size, &self.path, |state, _| Ok(state.file(self.id)?.live.length))
    }
}

/// A bit of these bytes: mostly in a part that is not zeroes, since most of a segment is.
fn some_bit(rng: &mut Rng, bytes: &[u8]) -> usize {
    let used: Vec<usize> =
        bytes.chunks(64).enumerate().filter(|(_, part)| part.iter().any(|byte| *byte != 0)).map(|(i, _)| i).collect();
    let anywhere = rng.u8(..8) == 0;
    match rng.choice(&used) {
        Some(part) if !anywhere => (part * 64 * 8 + rng.usize(..64 * 8)).min(bytes.len() * 8 - 1),
        _ => rng.usize(..bytes.len() * 8),
    }
}

/// Puts a sector over what was read; says whether that changed anything.
fn lay_over(bytes: &mut [u8], offset: u64, index: u64, sector: &[u8; SECTOR]) -> bool {
    let start = index * SECTOR as u64;
    let (from, to) = (start.max(offset), (start + SECTOR as u64).min(offset + bytes.len() as u64));
    if from >= to {
        return false;
    }
    let (new, old) = (
        &mut bytes[(from - offset) as usize..(to - offset) as usize],
        &sector[(from - start) as usize..(to - start) as usize],
    );
    let changes = new != old;
    new.copy_from_slice(old);
    changes
}
