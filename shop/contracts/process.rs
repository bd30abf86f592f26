//! How an order is run from its placing to its end.

use std::{fmt, str::FromStr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long an order waits for a payment provider or a carrier that does not answer, if nothing is said.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long a payment provider or a carrier may take to answer one request, if nothing is said.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The two ways: the same participants, the same contracts, the same end states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    /// The saga `fulfilment` in the order room asks each participant in turn, and undoes what came before when one refuses.
    #[default]
    Orchestrated,
    /// Each room answers what others say: payment acts on `order.validated`, inventory on `payment.captured`, shipping on
    /// `order.released_for_shipping`.
    Choreographed,
}

impl Process {
    /// Whether rooms answer each other.
    pub fn is_choreographed(self) -> bool {
        self == Self::Choreographed
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Orchestrated => "orchestrated",
            Self::Choreographed => "choreographed",
        })
    }
}

impl FromStr for Process {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "orchestrated" => Ok(Self::Orchestrated),
            "choreographed" => Ok(Self::Choreographed),
            _ => Err("use orchestrated or choreographed"),
        }
    }
}
