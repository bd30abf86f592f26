//! What the command understands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use factum::stream::Position;

const LEARN: &str = "\
DIR is an app's data directory, its log's own, or a backup. Every command works beside the
process that runs the app.

Exit codes:
  0  done; what was looked at is sound
  1  something is damaged, and was named with file and offset
  2  it could not be done";

/// Looks after the data of an app on Factum.
#[derive(Debug, Parser)]
#[command(name = "factum", version, after_help = LEARN, arg_required_else_help = true)]
pub struct Cli {
    /// Answer as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at a log: what it consists of, whether it is sound, its messages.
    Log {
        #[command(subcommand)]
        command: LogCommand,
    },
    /// Copy a log as it is now, also while the app runs; into an earlier backup only what is new.
    ///
    /// Sealed segments are hard links where the file system allows it, which takes no room and no time, but is no second
    /// copy. The rows of views are not copied: they are rebuilt.
    Backup {
        /// The app's data directory.
        dir: PathBuf,
        /// Where to: a new directory, or an earlier backup of the same log.
        to: PathBuf,
        /// Copy all, link nothing: for another disk's sake.
        #[arg(long)]
        copy: bool,
        /// Do not read the backup through afterwards.
        #[arg(long)]
        no_verify: bool,
    },
    /// Make a data directory of a backup, which stays as it is.
    ///
    /// The log gets a new epoch, so that a position kept from the original is not taken for one of the copy. Views are
    /// rebuilt when the app starts.
    Restore {
        /// The backup.
        from: PathBuf,
        /// A directory that is new or empty.
        dir: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// What a log consists of: segments, checkpoints, sizes, its identity.
    Info {
        /// The data directory.
        dir: PathBuf,
    },
    /// Read all of a log and name every damaged place. Changes nothing.
    Verify {
        /// The data directory.
        dir: PathBuf,
    },
    /// Print messages, one JSON object a line, as the HTTP API would.
    Dump {
        /// The data directory.
        dir: PathBuf,
        #[command(flatten)]
        which: Which,
    },
    /// Print the last messages, one a line.
    Tail {
        /// The data directory.
        dir: PathBuf,
        /// How many.
        #[arg(short = 'n', long = "count", default_value = "10", value_name = "COUNT")]
        count: u64,
        /// Go on with what is written from now on, until Ctrl-C.
        #[arg(short, long)]
        follow: bool,
    },
    /// Move sealed segments, compressed, to another directory, where they are still read.
    Archive {
        /// The data directory.
        dir: PathBuf,
        /// The archive; a log has one, and remembers it.
        #[arg(long, value_name = "ARCHIVE")]
        to: PathBuf,
        /// Sealed segments that stay, the newest ones.
        #[arg(long, default_value = "0", value_name = "COUNT")]
        keep: usize,
    },
}

/// Which messages.
#[derive(Debug, Args)]
pub struct Which {
    /// Only behind this position.
    #[arg(long, default_value = "0", value_name = "POSITION", value_parser = position, hide_default_value = true)]
    pub after: Position,
    /// Only up to this position.
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub until: Option<Position>,
    /// Only of this stream, such as order-1042.
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<String>,
    /// Only of this type, such as order.created; may be given several times.
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<String>,
    /// So many at most.
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
    /// Refuse if the log is not this one, as `info` names it: for whoever keeps a position to go on from.
    #[arg(long, value_name = "LINEAGE")]
    pub of: Option<String>,
}

fn position(text: &str) -> Result<Position, String> {
    let problem = "use a position: a whole number, as messages and `factum log info` name it";
    text.parse().map(Position).map_err(|_| problem.to_owned())
}
