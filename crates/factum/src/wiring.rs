//! Which technology stands behind which port. No other file of the project names an adapter.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

#[cfg(feature = "kafka")]
use factum_adapters::kafka;
#[cfg(feature = "postgres")]
use factum_adapters::postgres as database;
use factum_adapters::{embedded, files, sqlite};
use factum_core::{
    commit::Owners,
    digest_key::DigestKey,
    error::StoreError,
    memory::Memory,
    memory_notes::MemoryNotes,
    memory_rows::MemoryRows,
    memory_snapshots::MemorySnapshots,
    moving::Marks,
    ports::{Backend, Notes, Reader, RowReader, RowStore, Snapshots, transport::Transport},
    stream::Lineage,
    upkeep::{About, Copied, Findings, Follow, Moved, Progress},
};
use factum_runtime::committer::Committer;

use crate::{
    broker::BrokerError,
    location::{Kind, Location, unknown},
    stores::{Lead, LogSizes, OpenError, Stores},
};

#[cfg(feature = "postgres")]
pub(crate) use database::shown;

/// For services that keep their own tables beside a unit in PostgreSQL: their ways in and out.
#[cfg(feature = "postgres")]
pub mod classical {
    pub use factum_adapters::postgres::{inbox, outbox, tokio_postgres};
}

/// Where in an app's directory its log is.
const LOG: &str = "log";

/// The broker at an address.
pub(crate) fn broker(address: &str) -> Result<Arc<dyn Transport>, BrokerError> {
    match address.split_once("://") {
        #[cfg(feature = "kafka")]
        Some(("kafka", brokers)) => {
            let kafka = kafka::open(kafka::Options::at(brokers)).map_err(|error| BrokerError(error.to_string()))?;
            Ok(Arc::new(kafka))
        }
        #[cfg(not(feature = "kafka"))]
        Some(("kafka", _)) => Err(BrokerError("this program was built without the feature `kafka`".to_owned())),
        Some((scheme, _)) => Err(BrokerError(format!("no broker is reached by {scheme}://: kafka://host:port is"))),
        None => Err(BrokerError("its address has no scheme: write kafka://host:port, several by commas".to_owned())),
    }
}

/// What a unit works on.
pub(crate) struct Opened {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) rows: Box<dyn RowStore>,
    pub(crate) snapshots: Arc<dyn Snapshots>,
    pub(crate) notes: Arc<dyn Notes>,
    pub(crate) digest_key: DigestKey,
}

/// What is read of a unit that another process leads.
pub(crate) struct Followed {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) rows: Arc<dyn RowReader>,
}

/// What can be read beside the process that leads; `None` where log or rows are in a directory, which has one process.
pub(crate) fn followed(stores: &Stores) -> Result<Option<Followed>, OpenError> {
    match (stores.log.kind(), stores.rows.as_ref().unwrap_or(&stores.log).kind()) {
        #[cfg(feature = "postgres")]
        (Kind::Postgres(log), Kind::Postgres(rows)) => {
            let (backend, rows) = (Box::new(database::follow(log)?), database::rows::open_read_only(rows)?);
            Ok(Some(Followed { backend, rows }))
        }
        _ => Ok(None),
    }
}

/// Nothing outlives the process.
pub(crate) fn memory(log: Memory) -> Opened {
    let snapshots = Arc::new(MemorySnapshots::new());
    let notes = Arc::new(MemoryNotes::new());
    let rows = Box::new(MemoryRows::default());
    Opened { backend: Box::new(log), rows, snapshots, notes, digest_key: DigestKey::KNOWN }
}

/// Everything where it is wanted. The log is first: who has it has the rest.
pub(crate) fn open(stores: &Stores) -> Result<Opened, OpenError> {
    let Stores { log, rows, snapshots, .. } = stores;
    let (backend, notes, digest_key) = opened_log(stores)?;
    let rows = opened_rows(rows.as_ref().unwrap_or(log))?;
    let snapshots = opened_snapshots(snapshots.as_ref().unwrap_or(log))?;
    Ok(Opened { backend, rows, snapshots, notes, digest_key })
}

/// A log with what lies beside it.
type Log = (Box<dyn Backend>, Arc<dyn Notes>, DigestKey);

fn opened_log(stores: &Stores) -> Result<Log, OpenError> {
    match stores.log.kind() {
        Kind::Directory(dir) => {
            let log = embedded_log(dir, stores.sizes)?;
            say_who_leads(dir, stores.lead.name.as_deref());
            // Behind the lock of the log.
            let embedded::digest_key::OpenedKey { key, unkept } = embedded::digest_key::open(dir, &embedded::RealDisk)?;
            if let Some(error) = unkept {
                tracing::warn!(
                    %error,
                    "the key of digests cannot be kept: behind the next start the body of a command that is sent again may not be \
                     compared with the first"
                );
            }
            Ok((Box::new(log), Arc::new(files::FileNotes::open(dir)), key))
        }
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => {
            let log = database::open(url, options(stores))?;
            let (notes, key) = (log.notes(), log.digest_key()?);
            Ok((Box::new(log), notes, key))
        }
        Kind::Unknown(scheme) => Err(unknown(scheme).into()),
    }
}

/// For who looks for the process that runs an app; it can do without.
fn say_who_leads(dir: &Path, name: Option<&str>) {
    let said = match name {
        Some(name) => fs::write(dir.join(LEADER), name),
        None => fs::remove_file(dir.join(LEADER)),
    };
    match said {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "who runs this app cannot be noted in its directory");
        }
        _ => {}
    }
}

#[cfg(feature = "postgres")]
fn options(stores: &Stores) -> database::Options {
    let usual = database::Options::default();
    let Lead { name, lease } = stores.lead.clone();
    database::Options { leader: name.unwrap_or(usual.leader), lease: lease.unwrap_or(usual.lease), ..usual }
}

/// Asks who leads a unit; `None` where there is no asking: a directory has one process.
pub(crate) type Watch = Box<dyn FnMut() -> Result<Option<String>, StoreError> + Send>;

/// Says, each time it is called, who leads the unit, or nobody.
pub(crate) fn watch(stores: &Stores) -> Result<Option<Watch>, StoreError> {
    match stores.log.kind() {
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => {
            let mut watch = database::upkeep::Watch::over(url, options(stores).lease)?;
            Ok(Some(Box::new(move || {
                Ok(match watch.leads()? {
                    database::Leads::Nobody => None,
                    database::Leads::Process(name) => Some(name),
                })
            })))
        }
        _ => Ok(None),
    }
}

fn embedded_log(dir: &Path, sizes: LogSizes) -> Result<embedded::Embedded, StoreError> {
    let LogSizes { segment_bytes, checkpoint_bytes } = sizes;
    let options = embedded::Options { segment_bytes, checkpoint_bytes, ..embedded::Options::default() };
    let (log, opened) = embedded::open_with(&dir.join(LOG), options)?;
    if let Some(cut) = &opened.cut {
        tracing::warn!(?cut, "the log's last write was cut short by a crash; what was cut is kept aside");
    }
    if !opened.unusable.is_empty() {
        let checkpoints = &opened.unusable;
        tracing::warn!(?checkpoints, "checkpoints could not be used: the start took longer, and nothing is lost");
    }
    Ok(log)
}

fn opened_rows(place: &Location) -> Result<Box<dyn RowStore>, OpenError> {
    match place.kind() {
        Kind::Directory(dir) => {
            let rows = sqlite::open(dir)?;
            if rows.keeps_others_out() {
                tracing::warn!("the disk is full: no other process can read the rows until the next start");
            }
            Ok(Box::new(rows))
        }
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => Ok(Box::new(database::rows::open(url, database::Options::default())?)),
        Kind::Unknown(scheme) => Err(unknown(scheme).into()),
    }
}

fn opened_snapshots(place: &Location) -> Result<Arc<dyn Snapshots>, OpenError> {
    let opened: Result<Arc<dyn Snapshots>, _> = match place.kind() {
        Kind::Directory(dir) => files::open(dir).map(|files| Arc::new(files) as _),
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => {
            database::snapshots::open(url, database::Options::default()).map(|kept| Arc::new(kept) as _)
        }
        Kind::Unknown(scheme) => return Err(unknown(scheme).into()),
    };
    Ok(opened.unwrap_or_else(|error| {
        tracing::warn!(%error, "starts take longer");
        Arc::new(MemorySnapshots::new())
    }))
}

/// A log, for reading only; also while another process writes it.
pub(crate) fn read_only(place: &Location) -> Result<Arc<dyn Reader>, OpenError> {
    Ok(match place.kind() {
        Kind::Directory(dir) => embedded::open_read_only(&dir.join(LOG)),
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => database::upkeep::open_read_only(url),
        Kind::Unknown(scheme) => Err(unknown(scheme)),
    }?)
}

/// The same; `None` if none was ever made.
pub(crate) fn read_only_if_any(place: &Location) -> Result<Option<Arc<dyn Reader>>, OpenError> {
    Ok(match place.kind() {
        Kind::Directory(dir) => embedded::open_read_only_if_any(&dir.join(LOG)),
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => database::upkeep::open_read_only_if_any(url),
        Kind::Unknown(scheme) => Err(unknown(scheme)),
    }?)
}

/// The log of a directory, which may be the log's own.
fn log_of(dir: &Path) -> PathBuf {
    let below = dir.join(LOG);
    if below.is_dir() { below } else { dir.to_owned() }
}

pub(crate) fn is_open(place: &Location) -> Result<bool, StoreError> {
    match place.kind() {
        Kind::Directory(dir) => embedded::upkeep::is_open(&log_of(dir)),
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => database::upkeep::is_open(url),
        Kind::Unknown(scheme) => Err(unknown(scheme)),
    }
}

pub(crate) fn about(place: &Location) -> Result<About, StoreError> {
    match place.kind() {
        Kind::Directory(dir) => embedded::upkeep::about(&log_of(dir)),
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => database::upkeep::about(url),
        Kind::Unknown(scheme) => Err(unknown(scheme)),
    }
}

pub(crate) fn verify(place: &Location, progress: Progress<'_>) -> Result<Findings, StoreError> {
    match place.kind() {
        Kind::Directory(dir) => embedded::upkeep::verify(&log_of(dir), progress),
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => database::upkeep::verify(url, progress),
        Kind::Unknown(scheme) => Err(unknown(scheme)),
    }
}

/// A log that another process writes, followed.
pub(crate) fn follow(place: &Location) -> Result<Box<dyn Follow>, StoreError> {
    match place.kind() {
        Kind::Directory(dir) => embedded::upkeep::follow(&log_of(dir)),
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => database::upkeep::follow(url),
        Kind::Unknown(scheme) => Err(unknown(scheme)),
    }
}

pub(crate) fn migrate(place: &Location) -> Result<i32, StoreError> {
    match place.kind() {
        Kind::Directory(_) => Err(no_tables("migrate")),
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => database::roles::migrate(url),
        Kind::Unknown(scheme) => Err(unknown(scheme)),
    }
}

pub(crate) fn roles(place: &Location, writer: Option<&str>, reader: Option<&str>) -> Result<String, StoreError> {
    match place.kind() {
        Kind::Directory(_) => Err(no_tables("give rights on")),
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => database::roles::statements(url, writer, reader),
        Kind::Unknown(scheme) => Err(unknown(scheme)),
    }
}

/// What is said of a directory where a database is meant.
fn no_tables(act: &str) -> StoreError {
    StoreError::Permanent(format!(
        "a directory has no tables to {act}: name a database, such as postgres://owner@db/shop"
    ))
}

/// A backup has the form of an app's directory, without rows and without the key of digests: whoever gets hold of it must
/// not be able to find out by trying what was sent.
pub(crate) fn backup(place: &Location, to: &Path, links: bool, progress: Progress<'_>) -> Result<Copied, StoreError> {
    let dir = files_of(place, "a backup")?;
    embedded::upkeep::backup(&log_of(dir), &to.join(LOG), links, progress)
}

pub(crate) fn restore(from: &Path, to: &Location, progress: Progress<'_>) -> Result<Copied, StoreError> {
    let dir = files_of(to, "a restore")?;
    // What an earlier restore left unfinished is begun anew.
    let unfinished = |name: &OsStr| name == "log.restoring";
    if fs::read_dir(dir).is_ok_and(|mut there| there.any(|file| file.is_ok_and(|file| !unfinished(&file.file_name()))))
    {
        return Err(embedded::upkeep::not_empty(dir));
    }
    embedded::upkeep::restore(&log_of(from), &dir.join(LOG), progress)
}

pub(crate) fn archive(place: &Location, to: &Path, keep: usize, progress: Progress<'_>) -> Result<Moved, StoreError> {
    embedded::upkeep::archive(&log_of(files_of(place, "an archive")?), to, keep, progress)
}

/// A log for a move, whatever is noted of it; with `new`, one is made if there is none: of that lineage, arriving from there.
pub(crate) fn moving(place: &Location, new: Option<(Lineage, &str)>) -> Result<Box<dyn Backend>, StoreError> {
    match place.kind() {
        Kind::Directory(dir) => {
            let log = dir.join(LOG);
            let holds_other = || fs::read_dir(dir).is_ok_and(|mut there| there.next().is_some());
            if new.is_some() && !log.is_dir() && holds_other() {
                let problem = format!("{} is not empty: name a directory that is new or empty", dir.display());
                return Err(StoreError::Permanent(problem));
            }
            Ok(Box::new(embedded::open_moving(&log, embedded::Options::default(), new)?))
        }
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => Ok(Box::new(database::moving::open(url, database::Options::default(), new)?)),
        Kind::Unknown(scheme) => Err(unknown(scheme)),
    }
}

/// What is noted of a move; nothing if there is no store.
pub(crate) fn marks(place: &Location) -> Result<Marks, StoreError> {
    match place.kind() {
        Kind::Directory(dir) => embedded::marks(&dir.join(LOG)),
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => database::moving::marks(url),
        Kind::Unknown(scheme) => Err(unknown(scheme)),
    }
}

/// Takes what stands beside a log along: the key of digests. The target's is replaced.
pub(crate) fn take_along(from: &Location, to: &Location) -> Result<(), StoreError> {
    let key = match from.kind() {
        Kind::Directory(dir) => embedded::digest_key::open(dir, &embedded::RealDisk)?.key,
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => database::moving::digest_key(url)?,
        Kind::Unknown(scheme) => return Err(unknown(scheme)),
    };
    match to.kind() {
        Kind::Directory(dir) => embedded::digest_key::keep(dir, &embedded::RealDisk, &key),
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => database::moving::keep_digest_key(url, &key),
        Kind::Unknown(scheme) => Err(unknown(scheme)),
    }
}

/// Removes what a move that is given up has brought to its target.
pub(crate) fn remove_arriving(place: &Location) -> Result<(), StoreError> {
    match place.kind() {
        Kind::Directory(dir) => {
            let log = dir.join(LOG);
            embedded::check_arriving(&log)?;
            match fs::remove_file(dir.join(embedded::digest_key::FILE)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::Transient(format!(
                        "cannot remove the key of digests in {}: {error}",
                        dir.display()
                    )));
                }
                _ => {}
            }
            embedded::remove_arriving(&log)
        }
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => database::moving::empty(url),
        Kind::Unknown(scheme) => Err(unknown(scheme)),
    }
}

/// Where in an app's directory the process that runs it says what it calls itself.
const LEADER: &str = "leader";

/// What the process that runs an app calls itself, if one does and has said so.
pub(crate) fn leader(place: &Location) -> Result<Option<String>, StoreError> {
    match place.kind() {
        Kind::Directory(dir) if is_open(place)? => Ok(fs::read_to_string(dir.join(LEADER)).ok()),
        _ => watch(&Stores::at(place))?.map_or(Ok(None), |mut watch| watch()),
    }
}

/// The directory of what is done with files.
fn files_of<'a>(place: &'a Location, what: &str) -> Result<&'a Path, StoreError> {
    match place.kind() {
        Kind::Directory(dir) => Ok(dir),
        #[cfg(feature = "postgres")]
        Kind::Postgres(_) => Err(StoreError::Permanent(format!(
            "{what} of a store in PostgreSQL is the database's own affair: see `pg_dump`, `pg_basebackup` and docs/postgres.md"
        ))),
        Kind::Unknown(scheme) => Err(unknown(scheme)),
    }
}

/// A log, to write to it without a unit. There must be one.
pub(crate) fn committer(place: &Location) -> Result<Committer, StoreError> {
    let log: Box<dyn Backend> = match place.kind() {
        Kind::Directory(dir) => Box::new(embedded::open(&log_of(dir))?.0),
        #[cfg(feature = "postgres")]
        Kind::Postgres(url) => {
            database::upkeep::open_read_only(url)?;
            Box::new(database::open(url, database::Options::default())?)
        }
        Kind::Unknown(scheme) => return Err(unknown(scheme)),
    };
    Ok(Committer::new(log, Owners::default()))
}
