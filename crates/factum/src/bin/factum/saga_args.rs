//! What the command understands of sagas.

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use factum::sagas::{Query, STATES};
use jiff::SignedDuration;

use crate::{args::Signed, target::Target};

#[derive(Debug, Subcommand)]
pub enum SagasCommand {
    /// List processes that are under way: their version, state, step and age, and what they are stuck by.
    List {
        /// The app's address, or a data directory.
        target: Target,
        #[command(flatten)]
        which: Which,
    },
    /// Show one whole, open or ended: its steps, what people did, and what can be done about it.
    Show {
        /// The app's address, or a data directory.
        target: Target,
        /// As the list names it, such as fulfilment-1042.
        id: String,
    },
    /// Send the command of the step that waits again, or of its undo, with all its time.
    Retry {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        on: OnStep,
    },
    /// Treat the step that waits as done, or as undone, because somebody has seen to it. Needs --why.
    Resolve {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        on: OnStep,
    },
    /// Have everything undone that was sent; refused behind the pivot. Needs --why.
    Undo {
        #[command(flatten)]
        one: One,
    },
    /// Have one, or all that a version runs, run by another version's table from now on.
    ///
    /// The newer table says how (`moves_from`). What it does not explain is left as it is, and named with the reason. Each is
    /// moved for good. All are moved by a plan, which the app carries out, also when this command has ended.
    Move {
        /// The app's address.
        target: Target,
        /// As the list names it.
        #[arg(required_unless_present = "from", conflicts_with = "from")]
        id: Option<String>,
        /// Of all that are moved: the definition's name, such as fulfilment.
        #[arg(long, value_name = "NAME", requires = "from")]
        saga: Option<String>,
        /// Move all that this version runs.
        #[arg(long, value_name = "VERSION", requires = "saga")]
        from: Option<u32>,
        /// The version that runs them from now on.
        #[arg(long, value_name = "VERSION")]
        to: u32,
        /// Of all, not more than so many a second.
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000), requires = "from")]
        rate: Option<u32>,
        #[command(flatten)]
        how: How,
    },
}

/// One process, and what is done about it.
#[derive(Debug, Args)]
pub struct One {
    /// The app's address.
    pub target: Target,
    /// As the list names it.
    pub id: String,
    #[command(flatten)]
    pub how: How,
}

/// Whether it is done, by whom, and why.
#[derive(Debug, Args)]
pub struct How {
    /// Only show what would follow, or what stands against it.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub signed: Signed,
}

/// Which step.
#[derive(Debug, Args)]
pub struct OnStep {
    /// The step; if you do not say, the one that needs a person, or the only one that waits.
    #[arg(long, value_name = "NAME")]
    pub step: Option<String>,
}

/// Which processes.
#[derive(Clone, Debug, Default, Args)]
pub struct Which {
    /// Only of this definition, such as fulfilment.
    #[arg(long, value_name = "NAME")]
    pub saga: Option<String>,
    /// Only those that this version runs.
    #[arg(long, value_name = "VERSION")]
    pub version: Option<u32>,
    /// Only in this state.
    #[arg(long, value_name = "STATE", value_parser = PossibleValuesParser::new(STATES))]
    pub status: Option<String>,
    /// Only those that wait for this step's answer, or its undo's.
    #[arg(long, value_name = "NAME")]
    pub step: Option<String>,
    /// Only those that have been open for so long, such as 90s, 30m or 2h.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub older_than: Option<u64>,
    /// Only those that do not go on by themselves: they need a person, or nothing of theirs has time left.
    #[arg(long)]
    pub stuck: bool,
    /// So many at most, the first ones; 100 if you do not say.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
}

impl Which {
    /// Whether it leaves anything out.
    pub fn is_any(&self) -> bool {
        self.query() != Query::default()
    }

    /// As an app takes it.
    pub fn query(&self) -> Query {
        let Self { saga, version, status, step, older_than, stuck, limit: _ } = self.clone();
        Query { saga, version, status, step, older_than_secs: older_than, stuck, after: None, limit: None }
    }
}

fn seconds(text: &str) -> Result<u64, String> {
    let time = text.parse::<SignedDuration>().ok().and_then(|time| u64::try_from(time.as_secs()).ok());
    time.ok_or_else(|| "use a time such as 90s, 30m or 2h".to_owned())
}
