//! How a unit stands with the others, for health and for people.

use factum_core::lane::Verdict;
use serde::Serialize;

use super::{Arrivals, Relay, arrivals::Stuck};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BetweenShown {
    /// The unit.
    pub unit: String,
    /// What carries messages.
    pub transport: &'static str,
    /// What a message survives that the broker has acknowledged: `sync`, `copies`, `os`, `memory`.
    pub durability: &'static str,
    /// What is published.
    pub relay: RelayShown,
    /// What is taken in.
    pub lanes: Vec<LaneShown>,
    /// Messages that were taken in since the start.
    pub taken: u64,
    /// Messages that came once more, or wait behind a gap, since the start.
    pub again: u64,
    /// Why nothing is taken in now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
}

/// How far the relay is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayShown {
    /// Everything up to here was published, or is for nobody.
    pub position: u64,
    /// Messages that were published since the start.
    pub published: u64,
    /// Why nothing is published now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
}

/// A unit that stands still on a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneShown {
    /// The lane.
    pub lane: String,
    /// The unit.
    pub unit: String,
    /// Why, and what can be done.
    pub problem: String,
}

impl BetweenShown {
    /// Takes over how far the relay is.
    pub fn relay(&mut self, relay: &Relay, waits: Option<String>) {
        self.relay = RelayShown { position: relay.position().0, published: relay.published(), waits };
    }

    /// Takes over how far the lanes are.
    pub fn arrivals(&mut self, arrivals: &Arrivals) {
        let of = |lane: &factum_core::ports::transport::Lane, stuck: &Stuck| LaneShown {
            lane: lane.to_string(),
            unit: stuck.unit.to_string(),
            problem: problem(stuck),
        };
        let lanes = arrivals.lanes().flat_map(|(lane, reading)| reading.stuck.iter().map(move |stuck| of(lane, stuck)));
        self.lanes = lanes.collect();
        (self.taken, self.again) = arrivals.counts();
        self.waits = None;
    }
}

fn problem(Stuck { unit, home, verdict, .. }: &Stuck) -> String {
    match verdict {
        Verdict::Gap { seen, before } => format!(
            "after position {seen} of unit {unit} came {}, and {before} between them did not: it is waited for; if it is lost, take \
             it from the unit itself, or accept the loss by name",
            home.position
        ),
        Verdict::Stranger { known, seen } => format!(
            "unit {unit} was known as log {known} up to {seen}, and is {} now: say whether it was restored at a position, or is a \
             new one",
            home.lineage
        ),
        Verdict::Next | Verdict::Again => String::new(),
    }
}
