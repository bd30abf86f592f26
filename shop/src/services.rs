//! Which services the shop runs, and with what.

use std::time::Duration;

use factum::prelude::*;

use crate::{catalog, customer, fraud, inventory, order, payment, shipping};

/// What differs between a shop that serves and one that imports.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The share of payments that the simulated provider declines, 0 to 1.
    pub declines: f64,
    /// Whether an order that looks like fraud is held for a person.
    pub hold_suspicious: bool,
    /// How long the simulated carrier's day takes.
    pub day: Duration,
    /// How long provider and carrier take to answer.
    pub latency: Duration,
}

/// All services of the shop.
pub fn services(options: &Options) -> Vec<Service> {
    let Options { declines, hold_suspicious, day, latency } = *options;
    let policy = if hold_suspicious { fraud::reactions::Policy::Hold } else { fraud::reactions::Policy::NoteOnly };
    vec![
        catalog::service(),
        customer::service(),
        order::service(),
        inventory::service(),
        payment::service(payment::gateway::Provider::Simulated { declines, latency }),
        shipping::service(shipping::gateway::Carrier::Simulated { day, latency }),
        fraud::service(policy),
    ]
}
