//! What the command understands of a log.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use factum::{Location, stream::Position};

#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// What a log consists of: segments, checkpoints, sizes, its identity.
    Info {
        /// The data directory, or a database: postgres://…
        data: Location,
    },
    /// Read all of a log and name every damaged place. Changes nothing.
    Verify {
        /// The data directory, or a database: postgres://…
        data: Location,
    },
    /// Print messages, one JSON object a line, as the HTTP API would.
    Dump {
        /// The data directory, or a database: postgres://…
        data: Location,
        #[command(flatten)]
        which: Which,
    },
    /// Print the last messages, one a line.
    Tail {
        /// The data directory, or a database: postgres://…
        data: Location,
        /// How many.
        #[arg(short = 'n', long = "count", default_value = "10", value_name = "COUNT")]
        count: u64,
        /// Go on with what is written from now on, until Ctrl-C.
        #[arg(short, long)]
        follow: bool,
    },
    /// Make the tables of a unit in a database, or bring them to this program's version, as the role that owns them.
    ///
    /// The app's start does the same if its role may. Where it may not, this comes first, with each new version of the program.
    Migrate {
        /// The database: postgres://…, with the role that owns the tables.
        data: Location,
    },
    /// Print the statements that give roles their rights on a unit in a database; its owner carries them out, as by `psql`.
    #[command(group = clap::ArgGroup::new("who").required(true).multiple(true).args(["writer", "reader"]))]
    Roles {
        /// The database: postgres://…
        data: Location,
        /// The role that the app has: it writes, and owns nothing but the tables of rows.
        #[arg(long, value_name = "ROLE")]
        writer: Option<String>,
        /// A role that looks at the log and at rows.
        #[arg(long, value_name = "ROLE")]
        reader: Option<String>,
    },
    /// Move sealed segments, compressed, to another directory, where they are still read.
    Archive {
        /// The data directory.
        data: Location,
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

pub fn position(text: &str) -> Result<Position, String> {
    let problem = "use a position: a whole number, as messages and `factum log info` name it";
    text.parse().map(Position).map_err(|_| problem.to_owned())
}
