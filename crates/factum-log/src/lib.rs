//! An embedded, append-only log: bytes in, bytes out.
//!
//! A log is a directory of segments. A [`Batch`] of entries and cell changes becomes one frame, written with one write
//! and made durable with one sync: all of it, or nothing. What the bytes mean is not the log's business.
//!
//! ```text
//!   Batch ──▶ Log::append ──▶ frame ──▶ 00000000000000000001.segment      Reader::scan    by position
//!                 │                     00000000000000044021.segment  ──▶ Reader::stream  along one stream
//!                 └─ after the sync ──▶ heads and cells in memory     ──▶ Reader::cells
//! ```
//!
//! - An **entry** has a position in the log (1, 2, 3 …, no gaps, never used again) and a version in its stream
//!   (likewise). It knows where its stream's entry before stands, so that a stream is read without an index.
//! - A **cell** is a live value under a key. Only the last value counts; its revision is the number of the frame that
//!   wrote it.
//! - A **mark** is a frame that only says how far everything is synced. [`Log::idle`] and [`Log::close`] write one.
//!
//! # What it promises
//!
//! - An append that returned survives a loss of power ([`Durability::Sync`]). Readers never see one before it does.
//! - A failed write or sync is final ([`LogError::Failed`]): that append's outcome is unknown until the log is opened
//!   again, and no later one is tried. A full disk is not a failure ([`LogError::Full`]).
//! - Opening tells the remains of an unfinished append from damage. Remains are cut off, kept in a file and reported
//!   ([`Opened::cut`]); of anything else it says file and offset and does not start ([`LogError::Damaged`]).
//! - One process writes ([`LogError::Locked`]); others may read beside it ([`Observer`]).
//!
//! - Opening starts from the newest **checkpoint** and reads what came after. A checkpoint is derived and may be
//!   deleted at any time; damage to what it spares reading is found when that is read, or by [`verify`].
//! - Sealed segments can be moved to an archive ([`archive()`]) and are read there as before. A [`backup()`] is taken
//!   while the log is written; [`restore`] makes a log of it, of another epoch, so that no position of the original is
//!   taken for one of the copy.
//!
//! What it cannot notice: that everything behind the newest checkpoint was removed from the end of the log or replaced
//! by zeroes. Whoever keeps a position outside notices: it is ahead of the head.
//!
//! In memory it keeps 25 to 50 bytes a stream, and the live cells. It has at most 64 files of sealed segments open,
//! and five of its own beside them: the lock, the segment that is written, one filled ahead, the next one, a checkpoint.
//! A reader beside has as many of its own.
//!
//! # Example
//!
//! ```
//! use factum_log::{Batch, Log, Options};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let parent = tempfile::tempdir()?;
//! # let dir = parent.path().join("log");
//! let (mut log, _) = Log::open(&dir, Options::default())?;
//! let mut batch = Batch::new();
//! batch.entry("order-1", "order.created", "shop", b"{}");
//! batch.put(b"cursor", b"17");
//! let appended = log.append(&batch)?;
//! assert_eq!((appended.first, log.version("order-1")), (1, 1));
//!
//! let reader = log.reader();
//! reader.stream("order-1", 0, &mut |entry| assert_eq!(entry.kind, "order.created"))?;
//! log.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! The format of the files is described byte by byte in `docs/log-format.md`.

mod ahead;
mod archive;
mod backup;
mod batch;
mod checkpoint;
mod checkpointer;
mod directory;
pub mod disk;
mod error;
mod files;
mod frame;
mod heads;
mod info;
mod lock;
mod newest;
mod observer;
mod options;
mod reader;
mod recovery;
mod sabotage;
mod segment;
mod staged;
mod verify;
mod writer;

pub use archive::{Moved, archive};
pub use backup::{Copied, backup, restore};
pub use batch::Batch;
pub use directory::{NOTE, UNFINISHED_NOTE};
pub use disk::{Disk, DiskFile, RealDisk};
pub use error::LogError;
pub use heads::Cell;
pub use info::{FileInfo, Info, SegmentInfo, info};
pub use lock::{is_open, lock_file};
pub use observer::Observer;
pub use options::{Appended, Cut, Durability, Lineage, Opened, Options};
pub use reader::{EntryRef, Reader};
pub use verify::{Damage, Report, verify};
pub use writer::Log;
