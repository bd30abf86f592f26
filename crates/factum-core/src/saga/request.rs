//! `saga.start {saga, data}`: a process begins because somebody asks for it by name.
//!
//! The command is answered by the start event of that saga, in the stream `saga_request-<saga>-<key>`, or refused: the saga is
//! not known, the data does not fit, or the key was used for something else. The same request once more changes nothing.

use std::{any::Any, collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    decider::{Addressed, AnyDecider, Context, Decision},
    envelope::{Draft, Kind, Message, Stored},
    error::HandlerError,
    id::Name,
    payload::{Command, Event, Payload, PayloadError, TypeInfo},
    rejection::{Refused, RejectionKind},
    service::Service,
    snapshot::Codec,
    stream::StreamId,
};

/// Asks for a process to begin; answered by its start event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartSaga {
    /// Which one.
    pub saga: String,
    /// What its steps need to know. Without the saga's key field a new key is made, which the receipt names.
    pub data: Map<String, Value>,
}

/// Its type.
const INFO: TypeInfo = TypeInfo::new("saga.start", "1.0.0", || schemars::schema_for!(StartSaga));

impl Payload for StartSaga {
    fn types() -> Vec<TypeInfo> {
        vec![INFO]
    }
    fn type_info(&self) -> TypeInfo {
        INFO
    }
    fn decode(name: &str, data: &[u8]) -> Result<Self, PayloadError> {
        if name != INFO.name {
            return Err(PayloadError::UnknownType(name.to_owned()));
        }
        serde_json::from_slice(data).map_err(|error| PayloadError::decode(name, &error))
    }
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), PayloadError> {
        serde_json::to_writer(out, self).map_err(|error| PayloadError::encode(INFO.name, &error))
    }
}
impl Command for StartSaga {}

type Check = Arc<dyn Fn(&Map<String, Value>) -> Result<(), String> + Send + Sync>;

/// How a saga is asked for: the event that follows, and what its data must be.
#[derive(Clone)]
pub struct Request {
    info: TypeInfo,
    check: Check,
}

impl Request {
    /// The data is that of an event.
    pub(super) fn of<E: Event>(info: TypeInfo) -> Self {
        Self::checked(info, move |data| {
            let bytes = serde_json::to_vec(data).map_err(|error| error.to_string())?;
            E::decode(info.name, &bytes).map(drop).map_err(|error| error.to_string())
        })
    }

    /// Data of an event that this takes.
    pub(super) fn checked(
        info: TypeInfo,
        check: impl Fn(&Map<String, Value>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self { info, check: Arc::new(check) }
    }
}

/// The category of requests.
const CATEGORY: &str = "saga_request";
/// The service that answers them.
const SERVICE: &str = "saga";

/// The service that answers `saga.start` for all sagas of these services that are asked for so; nothing if there is none.
pub fn requesting(services: &[Service]) -> Option<Service> {
    let newest = services.iter().flat_map(|service| &service.sagas).map(super::Versions::newest);
    let asked = newest.filter_map(|saga| {
        let request = saga.request()?.clone();
        Some(Requested { saga: saga.name(), key: saga.key(), request })
    });
    let requests = Requests(asked.collect());
    if requests.0.is_empty() {
        return None;
    }
    let mut service = Service::new(SERVICE);
    service.deciders.push(Box::new(requests));
    Some(service)
}

struct Requested {
    saga: &'static str,
    key: &'static str,
    request: Request,
}

/// The decider of requests: what it knows differs from program to program.
pub struct Requests(Vec<Requested>);

/// A request that was read.
struct Wanted {
    /// Which of the sagas, or why it is none.
    saga: Result<usize, Refused>,
    data: Map<String, Value>,
}

/// What was asked for first.
#[derive(Default)]
struct Asked(Option<Map<String, Value>>);

impl AnyDecider for Requests {
    fn category(&self) -> &'static str {
        CATEGORY
    }

    fn commands(&self) -> Vec<TypeInfo> {
        StartSaga::types()
    }

    fn events(&self) -> Vec<TypeInfo> {
        let mut known = BTreeSet::new();
        let events = self.0.iter().map(|requested| requested.request.info);
        events.filter(|info| known.insert(info.name)).collect()
    }

    fn address(&self, message: &Message) -> Result<Addressed, HandlerError> {
        let StartSaga { saga, mut data } = StartSaga::decode(&message.envelope.type_name, &message.data)?;
        let id = &message.envelope.id;
        let none = |refused, data| {
            let stream = StreamId::new(CATEGORY, &format!("unknown-{id}"))?;
            Ok(Addressed::new(stream, Wanted { saga: Err(refused), data }))
        };
        let Some(at) = self.0.iter().position(|known| folded(known.saga) == folded(&saga)) else {
            let known: Vec<&str> = self.0.iter().map(|known| known.saga).collect();
            let message = format!("there is no saga `{saga}` to start: there is {}", known.join(", "));
            return none(refused("unknown_saga", RejectionKind::Missing, message), data);
        };
        let Requested { saga, key, .. } = &self.0[at];
        let own = data.entry(*key).or_insert_with(|| Value::String(id.to_string()));
        let Some(text) = own.as_str() else {
            let message = format!("the saga {saga} cannot start so: `{key}` names the process, and is a text");
            return none(refused("bad_data", RejectionKind::Invalid, message), data);
        };
        let stream = StreamId::new(CATEGORY, &format!("{saga}-{text}"))?;
        Ok(Addressed::new(stream, Wanted { saga: Ok(at), data }))
    }

    fn repeat_key(&self, _: &Addressed) -> Option<u64> {
        None
    }

    fn blank(&self) -> Box<dyn Any + Send> {
        Box::new(Asked::default())
    }

    fn decide(&self, state: &mut dyn Any, command: Addressed, _: &Context) -> Result<Decision, HandlerError> {
        let asked = asked(state)?;
        let Wanted { saga, data } = command.request()?;
        let at = match saga {
            Ok(at) => at,
            Err(refused) => return Ok(Decision::Refused(refused)),
        };
        let Requested { saga, key, request: Request { info, check } } = &self.0[at];
        match &asked.0 {
            Some(first) if *first == data => return Ok(Decision::Accepted(Vec::new())),
            Some(_) => {
                let message = format!("the saga {saga} was started with other data under this `{key}`: choose another");
                return Ok(Decision::Refused(refused("already_started", RejectionKind::Conflict, message)));
            }
            None => {}
        }
        if let Err(problem) = check(&data) {
            let message = format!("the saga {saga} cannot start so: {problem}");
            return Ok(Decision::Refused(refused("bad_data", RejectionKind::Invalid, message)));
        }
        let draft = Draft { version: Name::Static(info.version), ..Draft::named(Name::Static(info.name), &data)? };
        asked.0 = Some(data);
        Ok(Decision::Accepted(vec![draft]))
    }

    fn evolve(&self, state: &mut dyn Any, stored: &Stored) -> Result<(), HandlerError> {
        if stored.envelope().kind == Kind::Event {
            asked(state)?.0 = Some(data_of(stored)?);
        }
        Ok(())
    }

    fn reads(&self, stored: &Stored) -> Result<(), HandlerError> {
        if stored.envelope().kind == Kind::Event {
            data_of(stored)?;
        }
        Ok(())
    }

    // Sagas of definitions come and go, and what started them stays.
    fn reads_any(&self) -> bool {
        true
    }

    fn bytes(&self, state: &dyn Any) -> usize {
        let asked = state.downcast_ref::<Asked>().and_then(|asked| asked.0.as_ref());
        64 + asked.map_or(0, |data| 2 * serde_json::to_vec(data).map_or(0, |bytes| bytes.len()))
    }

    fn snapshots(&self) -> Option<Codec> {
        None
    }
}

fn data_of(stored: &Stored) -> Result<Map<String, Value>, HandlerError> {
    serde_json::from_slice(&stored.message.data)
        .map_err(|error| HandlerError::Payload(format!("{} is no JSON object: {error}", stored.type_name())))
}

fn asked(state: &mut dyn Any) -> Result<&mut Asked, HandlerError> {
    state.downcast_mut().ok_or_else(|| HandlerError::failed("requests of sagas were given the state of others"))
}

fn refused(code: &str, kind: RejectionKind, message: String) -> Refused {
    Refused { code: code.to_owned(), kind, message }
}

/// Without case and separators: `order-creation` is `order_creation`.
fn folded(name: &str) -> String {
    name.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
