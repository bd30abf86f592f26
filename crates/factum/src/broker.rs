//! What carries messages between the units of a business.

use std::{fmt, sync::Arc};

use factum_core::{
    carried::{CORRELATION_ID, EVENT_TYPE},
    envelope::{Defaults, Kind, NoId, Spellings, read},
    error::NameError,
    id::{MessageId, Name},
    memory_transport::MemoryTransport,
    ports::{Clock, transport::Transport},
    service::Service,
};
use factum_runtime::{
    between::{Between, LANES, Neighbours},
    clock::LiveClock,
    registry::RegistryError,
};

use crate::wiring;

/// A broker between units: one in the memory of this process, or one that an address names, `kafka://host:9092`. Clones are the
/// same one.
///
/// ```no_run
/// # use factum::{App, Broker, prelude::Service};
/// # fn order() -> Service { Service::new("order") }
/// # fn payment() -> Service { Service::new("payment") }
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = Broker::open("kafka://127.0.0.1:9092")?;
/// let app = App::open("./order")?.with(order()).unit("order", &broker, vec![payment()]).start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Broker {
    transport: Arc<dyn Transport>,
    lanes: u32,
}

/// Why a broker cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the broker cannot be used: {0}")]
pub struct BrokerError(pub(crate) String);

impl Broker {
    /// One in the memory of this process, for several units in one process, and for tests.
    pub fn in_memory() -> Self {
        Self::over(Arc::new(MemoryTransport::new(Arc::new(LiveClock::default()))))
    }

    /// The one at an address: `kafka://host:9092`, several by commas.
    ///
    /// # Errors
    /// [`BrokerError`]: the address names none that this program knows, or none answers there.
    pub fn open(address: &str) -> Result<Self, BrokerError> {
        wiring::broker(address).map(Self::over)
    }

    /// One of your own.
    pub fn over(transport: Arc<dyn Transport>) -> Self {
        Self { transport, lanes: LANES }
    }

    /// How many lanes topics are made with, 8 if it is not said. One that is there keeps its own; changing a topic's refuses the
    /// units that publish on it, for keys would change their lanes.
    #[must_use]
    pub fn lanes(self, lanes: u32) -> Self {
        Self { lanes: lanes.max(1), ..self }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("name", &self.transport.name()).field("lanes", &self.lanes).finish()
    }
}

/// A unit among others, before it starts.
pub(crate) struct Membership {
    pub(crate) unit: String,
    pub(crate) broker: Broker,
    pub(crate) others: Vec<Service>,
}

impl Membership {
    /// What its loops need.
    pub(crate) fn between(&self, spellings: &Spellings, clock: &Arc<dyn Clock>) -> Result<Between, RegistryError> {
        let unit = Name::parse("unit", &self.unit).map_err(|error: NameError| RegistryError::Name(error))?;
        let (spellings, clock) = (spellings.clone(), clock.clone());
        Ok(Between {
            unit,
            neighbours: Neighbours::of(&self.others)?,
            transport: self.broker.transport.clone(),
            lanes: self.broker.lanes,
            read: Arc::new(move |delivery| {
                let (lane, offset) = (delivery.lane.to_string(), delivery.offset.to_string());
                let header = |name| delivery.parcel.header(name);
                let defaults = Defaults {
                    spellings: &spellings,
                    kind: Kind::Event,
                    source: Name::Static("broker"),
                    timestamp: delivery.at.unwrap_or_else(|| clock.mark()),
                    id: NoId::Is(MessageId::derived(&["broker", &lane, &offset])),
                    type_name: header(EVENT_TYPE),
                    correlation_id: header(CORRELATION_ID).and_then(|id| MessageId::parse(id).ok()),
                };
                read(&delivery.parcel.body, &defaults)
            }),
        })
    }
}
