//! What the command understands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use factum::{By, Location, letters::Query, prelude::Timestamp, stream::Position};

use crate::{
    groups::GroupsCommand,
    log_args::{LogCommand, position},
    saga_args::SagasCommand,
    schedules::SchedulesCommand,
    target::Target,
};

const LEARN: &str = "\
DATA is an app's data directory, its log's own, a backup, or a database such as
postgres://shop@db/shop?schema=shop. Every command works beside the process that runs the app.

TARGET is the address of a running app, such as http://127.0.0.1:8080, or its data.
In data letters and processes can be looked at, and letters discarded if the app is
stopped; all else runs the app's handlers, and needs its address.

Exit codes:
  0  done; what was looked at is sound
  1  something is damaged, and was named with file and offset
  2  it could not be done; of letters also: it failed again, or would; of a plan that is
     followed to its end also: something failed, or was left out though it is still there;
     of processes also: it would be refused, or some of those to be moved were left out";

const PLANS: &str = "\
Examples:
  factum plans make ADDRESS redrive --consumer order.notify
  factum plans make ADDRESS discard --key 1042 --why 'test data'
  factum plans make ADDRESS redeliver order.notify --from-time 2030-01-01T00:00:00Z --rate 50
  factum plans make ADDRESS move fulfilment --from 1 --to 2 --why 'version 1 goes'
  factum plans approve ADDRESS PLAN --hash HASH --watch

A plan is carried out by the app, also when this command has ended and after a restart. What
has changed since it was made is left out, and named with the reason. A process goes on all the
time: it is moved as it stands then, if it still can be.";

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
        data: Location,
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
        data: Location,
    },
    /// Move an app's data to another place: from a directory into a database, or back; also while the app runs.
    ///
    /// All is copied, compared message by message, and then the app goes over: it stands still for about a second. Positions,
    /// timers, open calls, letters and repeated requests stay what they are. What was moved is sealed where it was: whoever
    /// starts there is told where it went. Cut off at any moment, the same words go on with it.
    Move {
        /// The app's data directory, its database, or the running app's address.
        #[arg(long)]
        from: Target,
        /// Where to: a new or empty directory, a database, or where the data have come from once.
        #[arg(long)]
        to: Location,
        /// Give up a move that has not come to its end: what has arrived is removed, and the app stays where it was.
        #[arg(long)]
        give_up: bool,
    },
    /// What has failed and waits for a person: look, try, and end it.
    Letters {
        #[command(subcommand)]
        command: LettersCommand,
    },
    /// Acts on many letters, messages or processes: made and shown first, then approved, then carried out by the app.
    #[command(after_help = PLANS)]
    Plans {
        #[command(subcommand)]
        command: PlansCommand,
    },
    /// Processes (sagas): those under way, what they are stuck by; help them on, move them to another version.
    Sagas {
        #[command(subcommand)]
        command: SagasCommand,
    },
    /// Pull groups: who fetches events at its own pace, how far each is, what waits for a person.
    Groups {
        #[command(subcommand)]
        command: GroupsCommand,
    },
    /// Schedules: what is sent at planned times, when next, what became of the last; pause, resume, run, backfill.
    Schedules {
        #[command(subcommand)]
        command: SchedulesCommand,
    },
    /// Every reader of the log, and where it stands; let one that has stopped try again.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Consumers {
        /// The running app's address.
        #[arg(required = true)]
        target: Option<Target>,
        #[command(subcommand)]
        command: Option<ConsumersCommand>,
    },
}

#[derive(Debug, Subcommand)]
pub enum LettersCommand {
    /// List letters: what failed, how often, what waits behind it.
    List {
        /// The app's address, or a data directory.
        target: Target,
        #[command(flatten)]
        filter: Filter,
    },
    /// Show one whole: its message, its failures, and what can be done about it.
    Show {
        /// The app's address, or a data directory.
        target: Target,
        /// As the list names it, such as order.notify@42.
        id: String,
    },
    /// Run today's handler on a letter's message and show what would follow. Stores nothing.
    Try {
        /// The app's address.
        target: Target,
        /// As the list names it.
        id: String,
        #[command(flatten)]
        signed: Signed,
    },
    /// Run today's handler for good. If it goes well the letter ends, and what waits behind it follows in order.
    Redrive {
        /// The app's address.
        target: Target,
        #[command(flatten)]
        many: Many,
        #[command(flatten)]
        signed: Signed,
    },
    /// End letters without running anything; what waits behind them follows. Needs --why.
    Discard {
        /// The app's address; or a data directory, if the app is stopped.
        target: Target,
        #[command(flatten)]
        many: Many,
        #[command(flatten)]
        signed: Signed,
    },
    /// Leave a letter as it is, and let follow what waits behind it.
    Release {
        /// The app's address.
        target: Target,
        /// As the list names it.
        id: String,
        #[command(flatten)]
        signed: Signed,
    },
}

#[derive(Debug, Subcommand)]
pub enum ConsumersCommand {
    /// Let a consumer that has stopped try again from where it stands.
    TryAgain {
        /// The app's address.
        target: Target,
        /// As the list names it, such as order.notify or view:orders.
        name: String,
        #[command(flatten)]
        signed: Signed,
    },
}

#[derive(Debug, Subcommand)]
pub enum PlansCommand {
    /// List the plans that wait to be approved, or are being carried out.
    List {
        /// The app's address.
        target: Target,
    },
    /// Show one as it stands, also when it has ended: what was done, what failed, what was left out.
    Show {
        /// The app's address.
        target: Target,
        /// As the list names it.
        id: String,
        /// Show how far it is until it has ended.
        #[arg(long)]
        watch: bool,
    },
    /// Make a plan and show what it would do. Nothing is done until it is approved.
    #[command(after_help = PLANS)]
    Make {
        /// The app's address.
        target: Target,
        #[command(subcommand)]
        act: MakeCommand,
    },
    /// Approve a plan: from now on the app carries it out.
    Approve {
        /// The app's address.
        target: Target,
        /// As the list names it.
        id: String,
        /// What was approved, as `make` and `show` name it: a plan over other items has another hash.
        #[arg(long)]
        hash: String,
        /// Show how far it is until it has ended; Ctrl-C ends the showing, not the plan.
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        signed: Signed,
    },
    /// Take a plan back. What it has done stays done.
    Cancel {
        /// The app's address.
        target: Target,
        /// As the list names it.
        id: String,
        #[command(flatten)]
        signed: Signed,
    },
}

/// What a plan does.
#[derive(Debug, Subcommand)]
pub enum MakeCommand {
    /// Run today's handler on all letters that fit, for good; what waits behind each follows in order.
    Redrive {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        paced: Paced,
        #[command(flatten)]
        signed: Signed,
    },
    /// End all letters that fit without running anything; what waits behind them follows. Needs --why.
    Discard {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        paced: Paced,
        #[command(flatten)]
        signed: Signed,
    },
    /// Let a reaction act AGAIN on messages that it has had: its commands and events are new messages.
    Redeliver {
        /// The reaction, such as order.notify.
        consumer: String,
        #[command(flatten)]
        which: Past,
        #[command(flatten)]
        paced: Paced,
        #[command(flatten)]
        signed: Signed,
    },
    /// Have all processes that a version runs run by another version's table from then on, as its `moves_from` says.
    Move {
        /// The definition's name, such as fulfilment.
        saga: String,
        /// The version that runs them now.
        #[arg(long, value_name = "VERSION")]
        from: u32,
        /// The later version that runs them then.
        #[arg(long, value_name = "VERSION")]
        to: u32,
        #[command(flatten)]
        paced: Paced,
        #[command(flatten)]
        signed: Signed,
    },
    /// Run occurrences of a schedule that were skipped, or were before it was declared; each once.
    Backfill {
        /// The schedule, such as stock.nightly-stock-take.
        schedule: String,
        /// The first time that is meant, such as 2030-01-01T00:00:00Z.
        #[arg(long, value_name = "TIME")]
        from: Timestamp,
        /// The last one.
        #[arg(long, value_name = "TIME")]
        to: Timestamp,
        #[command(flatten)]
        paced: Paced,
        #[command(flatten)]
        signed: Signed,
    },
}

/// Which messages that a reaction has had.
#[derive(Debug, Args)]
pub struct Past {
    /// Only behind this position.
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub after: Option<Position>,
    /// Only up to this position; up to where the reaction stands if you do not say.
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub until: Option<Position>,
    /// Not before this time, such as 2030-01-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub from_time: Option<Timestamp>,
    /// Only of this type, such as order.created.
    #[arg(long = "type", value_name = "TYPE")]
    pub type_name: Option<String>,
    /// Only of this partition key.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Only of this business transaction.
    #[arg(long, value_name = "ID")]
    pub correlation: Option<String>,
}

/// How fast, and who approves.
#[derive(Debug, Args)]
pub struct Paced {
    /// Not more than so many a second.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: Option<u32>,
    /// Somebody else than its maker must approve it.
    #[arg(long)]
    pub second_person: bool,
}

/// Which letters.
#[derive(Clone, Debug, Default, Args)]
pub struct Filter {
    /// Only of this consumer, such as order.notify.
    #[arg(long, value_name = "NAME")]
    pub consumer: Option<String>,
    /// Only about messages of this type, such as order.created.
    #[arg(long = "type", value_name = "TYPE")]
    pub type_name: Option<String>,
    /// Only those that hold this key.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Only of this business transaction.
    #[arg(long, value_name = "ID")]
    pub correlation: Option<String>,
    /// Only those whose last reason has this in it.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// So many at most, the first ones; a list has 100 if you do not say.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
}

impl Filter {
    /// Whether it leaves anything out.
    pub fn is_any(&self) -> bool {
        let Self { consumer, type_name, key, correlation, reason, limit: _ } = self;
        [consumer, type_name, key, correlation, reason].iter().any(|part| part.is_some())
    }

    /// As an app takes it.
    pub fn query(&self) -> Query {
        let Self { consumer, type_name, key, correlation, reason, limit } = self.clone();
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Query { consumer, type_name, key, correlation, reason, after: None, limit }
    }
}

/// One letter, or all that fit.
#[derive(Debug, Args)]
pub struct Many {
    /// As the list names it.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub id: Option<String>,
    /// All that fit, in the order of the list. A running app carries it out as a plan, which goes on without this command.
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub filter: Filter,
    /// With --all, not more than so many a second.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000), requires = "all")]
    pub rate: Option<u32>,
    /// Only show what would be done.
    #[arg(long)]
    pub dry_run: bool,
}

/// Who does it, and why: it stands in the log.
#[derive(Debug, Args)]
pub struct Signed {
    /// Who does it; the name of your account if you do not say.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why; required to discard letters, and to resolve and undo processes.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    why: String,
}

impl Signed {
    /// As the log takes it.
    pub fn by(&self) -> By {
        let account = || std::env::var("USER").ok().filter(|name| !name.is_empty());
        let who = self.by.clone().or_else(account).unwrap_or_else(|| "operator".to_owned());
        By::new(who, self.why.clone())
    }
}
