//! How a log is opened, and what opening and appending answer.

use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::{Disk, RealDisk};

/// When an append counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// After it is synced: it survives a loss of power.
    #[default]
    Sync,
    /// After the operating system has it: it survives the process, not a loss of power. After one, the log may refuse
    /// to start, since frames written out of order look like damage.
    Os,
}

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Length at which a new segment is begun, in bytes; 64 MiB if not said.
    pub segment_bytes: u64,
    /// A checkpoint is written when the log has grown by so many bytes since the last one, and by four times that one's
    /// size; 256 MiB if not said. The less, the faster the log opens.
    pub checkpoint_bytes: u64,
    /// When an append counts as done.
    pub durability: Durability,
    /// The identity of a log that is made: that of another one, whose entries it takes in. A fresh one if not said; of no
    /// account where there is a log.
    pub lineage: Option<Lineage>,
    /// The disk it lies on.
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            checkpoint_bytes: 256 << 20,
            durability: Durability::Sync,
            lineage: None,
            disk: Arc::new(RealDisk),
        }
    }
}

/// The identity of a log. A position means something only together with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lineage {
    /// Random, made with the log.
    pub log_id: [u8; 16],
    /// Grows when the log is restored from a backup, so that positions after it are not taken for the lost ones.
    pub epoch: u32,
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Whether there was no log and one was made.
    pub created: bool,
    /// Entries in the log.
    pub entries: u64,
    /// Segments it consists of.
    pub segments: usize,
    /// The position of the checkpoint that it started from; `None` if everything was read.
    pub checkpoint: Option<u64>,
    /// Checkpoints that could not be used: opening took longer, and nothing is lost. They are removed in time.
    pub unusable: Vec<PathBuf>,
    /// What was cut off its end and where it is kept now.
    pub cut: Option<Cut>,
    /// Whether the last owner did not close it.
    pub unclean: bool,
}

/// What was cut off the end of the log when it was opened: the remains of an append that nobody was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub file: PathBuf,
    /// Where in it the remains began.
    pub offset: u64,
    /// How many bytes they were.
    pub bytes: u64,
    /// The file that holds them now.
    pub kept_as: PathBuf,
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Position of the first entry.
    pub first: u64,
    /// Position of the last entry; `first - 1` if the batch had none.
    pub last: u64,
    /// Number of the frame, the revision of the cells it wrote.
    pub frame: u64,
}
