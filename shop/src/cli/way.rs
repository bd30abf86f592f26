//! How orders are run, as `serve` and `import` understand it.

use clap::Args;
use shop::contracts::process::Process;

/// See [`Process`].
#[derive(Clone, Copy, Debug, Args)]
pub struct Way {
    /// How an order is run: orchestrated by one process that asks each service in turn, as if nothing is said, or choreographed,
    /// where services answer each other. Another one is refused while orders are under way.
    #[arg(long, value_name = "WAY")]
    pub process: Option<Process>,
}
