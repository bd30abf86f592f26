//! Which services the shop runs, and with what.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context as _;
use factum::{AppBuilder, Archive, Broker, OpenError, http::client::Remote, prelude::*};

use crate::{
    analytics, cart, catalog,
    contracts::{
        process::{ANSWER_WITHIN, PATIENCE, Process},
        spellings::spellings,
    },
    customer,
    data::Data,
    fraud, inventory, loyalty,
    notification::{self, gateway::Channels},
    order,
    partners::{self, Partners},
    payment::{self, gateway::Provider},
    reconciliations,
    shipping::{self, gateway::Carrier, signature::Secret},
};

/// What differs between a shop that serves and one that imports.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the payment provider is; without it, it is simulated.
    pub provider: Option<Remote>,
    /// Where the carrier is; without it, it is simulated.
    pub carrier: Option<Remote>,
    /// What the carrier signs its news with; without it nobody can tell them, and there is no route for them.
    pub carrier_secret: Option<Secret>,
    /// How long an order waits for a provider or a carrier that does not answer, before it is undone.
    pub patience: Duration,
    /// How long the provider and the carrier may take to answer a request.
    pub answer_within: Duration,
    /// How an order is run.
    pub process: Process,
    /// The share of payments that the simulated provider declines, 0 to 1.
    pub declines: f64,
    /// Whether an order that looks like fraud is held for a person.
    pub hold_suspicious: bool,
    /// How long the simulated carrier's day takes.
    pub day: Duration,
    /// How long the simulated provider and carrier take to answer.
    pub latency: Duration,
    /// When orders bring points.
    pub points: loyalty::reactions::Policy,
    /// Who brings notifications; those without an address are simulated.
    pub channels: Channels,
    /// Whether the payment provider lists its payments, so that ours can be compared with them.
    pub provider_lists: bool,
    /// How long nobody changes a cart before it is abandoned.
    pub cart_abandoned_after: Duration,
    /// The part of the shop that runs here, if it is one of several.
    pub part: Option<Part>,
}

/// How long an order waits for other units, at least.
const APART: Duration = Duration::from_secs(600);

/// A part of the shop, as a unit of its own.
#[derive(Clone, Debug)]
pub struct Part {
    /// What the unit is called.
    pub unit: String,
    /// The names of its services.
    pub services: BTreeSet<String>,
    /// What carries messages between it and the others.
    pub broker: Broker,
}

impl Default for Options {
    /// Everything simulated, nothing declined or held, answers at once, real days; a cart is abandoned after one.
    fn default() -> Self {
        let (day, latency) = (Duration::from_secs(86_400), Duration::ZERO);
        Self {
            provider: None,
            carrier: None,
            carrier_secret: None,
            patience: PATIENCE,
            answer_within: ANSWER_WITHIN,
            process: Process::default(),
            declines: 0.0,
            hold_suspicious: false,
            day,
            latency,
            points: loyalty::reactions::Policy::default(),
            channels: Channels::default(),
            provider_lists: false,
            cart_abandoned_after: day,
            part: None,
        }
    }
}

/// A shop's log, read as the shop reads it.
///
/// # Errors
/// [`OpenError`] if there is no log, or it is damaged.
pub fn archive(data: impl Into<Data>) -> Result<Archive, OpenError> {
    Archive::open(data.into().place(), &services(&Options::default()))
}

/// The same; `None` if no shop has ever run there.
///
/// # Errors
/// [`OpenError`] if the log is damaged.
pub fn archive_if_any(data: impl Into<Data>) -> Result<Option<Archive>, OpenError> {
    Archive::open_if_any(data.into().place(), &services(&Options::default()))
}

/// An app over these data, with what is defined beside them.
///
/// # Errors
/// If the data or one of the files cannot be used.
pub fn open(data: &Data) -> anyhow::Result<AppBuilder> {
    defined(App::on(data.stores.clone())?, data)
}

/// An app with the definitions of its data, if there are any.
///
/// # Errors
/// If one of the files cannot be used.
pub fn defined(app: AppBuilder, data: &Data) -> anyhow::Result<AppBuilder> {
    Ok(match data.definitions() {
        Some(folder) => app
            .definitions(&folder)
            .with_context(|| format!("the definitions in {} cannot be read", folder.display()))?,
        None => app,
    })
}

/// An app with all that serves customers: the services, the record of the partners, and what health says of them.
pub fn equipped(app: AppBuilder, options: &Options) -> AppBuilder {
    let Partners { provider, carrier, .. } = Partners::of(options.provider.as_ref(), options.carrier.as_ref());
    let app = app.with(partners::service()).about("provider", provider).about("carrier", carrier);
    let app = app.about("process", options.process.to_string());
    let app = options.channels.addresses().into_iter().fold(app, |app, (channel, address)| app.about(channel, address));
    let lists = options.provider.as_ref().filter(|_| options.provider_lists);
    let (own, app) = match &options.part {
        None => (services(options), app),
        Some(Part { unit, services: names, broker }) => {
            let is_own = |service: &Service| names.contains(service.name.as_str());
            let (own, others) = services(options).into_iter().partition(is_own);
            (own, app.unit(unit, broker, others).about("unit", unit))
        }
    };
    let own = reconciliations::added(own, options.points, lists);
    own.into_iter().fold(app.spellings(spellings()), AppBuilder::with)
}

/// The names of all services of the shop.
pub fn names() -> Vec<String> {
    services(&Options::default()).iter().map(|service| service.name.to_string()).collect()
}

/// All services of the shop.
pub fn services(options: &Options) -> Vec<Service> {
    let Options {
        provider,
        carrier,
        carrier_secret,
        patience,
        answer_within,
        process,
        declines,
        hold_suspicious,
        day,
        latency,
        points,
        channels,
        cart_abandoned_after,
        provider_lists: _,
        part,
    } = options.clone();
    // Another unit, or what carries messages to it, may be away for a while.
    let answered_within = if part.is_some() { patience.max(APART) } else { patience };
    let policy = if hold_suspicious { fraud::reactions::Policy::Hold } else { fraud::reactions::Policy::NoteOnly };
    let provider = match provider {
        Some(url) => Provider::Http { url, patience },
        None => Provider::Simulated { declines, latency },
    };
    let carrier = match carrier {
        Some(url) => Carrier::Http { url, patience },
        None => Carrier::Simulated { day, latency },
    };
    vec![
        catalog::service(process),
        customer::service(),
        order::service(process, answered_within),
        inventory::service(process),
        answering(payment::service(provider, process), answer_within),
        answering(shipping::service(carrier, carrier_secret, process), answer_within),
        fraud::service(policy, process),
        loyalty::service(points),
        analytics::service(),
        notification::service(channels),
        cart::service(cart_abandoned_after),
    ]
}

/// A service whose calls wait so long for an answer.
fn answering(mut service: Service, within: Duration) -> Service {
    service.calls.iter_mut().for_each(|call| call.policy.timeout = within);
    service
}
