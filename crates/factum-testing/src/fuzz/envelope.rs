//! Any bytes as a message: as stores keep it, as our JSON or others', as a CloudEvent.

use factum_core::{
    envelope::{
        Defaults, EnvelopeError, Incoming, Kind, Message, NoId, Rule, Spelled, Spellings, Stored, binary, cloudevents,
        read,
    },
    id::{MessageId, Name},
    money::Currency,
    stream::{Position, StreamId, StreamVersion},
};

use super::{Verdict, must};

/// Takes the input for each form of a message. What is accepted can be written, and read again as the same.
///
/// # Errors
/// What does not hold.
pub fn envelope(input: &[u8]) -> Verdict {
    stored(input)?;
    let spellings = spellings()?;
    let ours = |bytes: &[u8], defaults: &Defaults<'_>| read(bytes, defaults);
    if let Ok(incoming) = ours(input, &defaults(&spellings, true)?) {
        again(&incoming, &spellings, "JSON", ours, |stored| {
            serde_json::to_vec(stored).map_err(|error| error.to_string())
        })?;
    }
    if let Ok(incoming) = cloudevents::read(input, &defaults(&spellings, true)?) {
        again(&incoming, &spellings, "CloudEvent", cloudevents::read, |stored| {
            cloudevents::write(stored).map_err(|error| error.to_string())
        })?;
    }
    Ok(())
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

const EVENTS: &[Spelled] = &[Spelled::new("order.created", &["OrderPlaced"]).key("orderId").data(&[
    Rule::Field("customerId", &["userId"]),
    Rule::Each(
        "items",
        &[
            Rule::Place("line"),
            Rule::Field("sku", &["productId"]),
            Rule::Text("sku"),
            Rule::Price("unitPrice", &["price"]),
            Rule::Times("amount", "unitPrice", "quantity"),
        ],
    ),
    Rule::Money("total", &["totalAmount"]),
    Rule::Cents("total", &["totalCents"]),
    Rule::Sum("total", "items", "amount"),
])];

fn spellings() -> Result<Spellings, String> {
    let table = Spellings::new().events(EVENTS).map_err(text)?.currency(Currency::GBP);
    table.service("https://shop.example/orders", "order-service").map_err(text)
}

fn defaults(spellings: &Spellings, with_id: bool) -> Result<Defaults<'_>, String> {
    let id = if with_id { NoId::Is(MessageId::derived(&["topic", "0", "17"])) } else { NoId::Refused };
    let source = Name::parse("source", if with_id { "gateway" } else { "nobody" }).map_err(text)?;
    let timestamp = if with_id { "2010-12-01T08:26:00Z" } else { "1999-01-01T00:00:00Z" };
    let timestamp = timestamp.parse().map_err(text)?;
    Ok(Defaults { spellings, kind: Kind::Event, source, timestamp, id, type_name: None, correlation_id: None })
}

/// The form in stores: what is read is written and read as the same.
fn stored(input: &[u8]) -> Verdict {
    let decode = |bytes: &[u8]| binary::decode(Name::Static("order.created"), Name::Static("order-service"), bytes);
    let Ok(message) = decode(input) else { return Ok(()) };
    let written = kept(&message)?;
    let again = decode(&written).map_err(text)?;
    must(again == message, || format!("{message:?} became {again:?} in a store"))?;
    must(kept(&again)? == written, || format!("{message:?} is not written as the same bytes again"))?;
    // Stored data need not be JSON; whatever it is, this is an answer and no panic.
    if let Ok(json) = serde_json::to_vec(&place(message, None, None)?) {
        _ = read(&json, &defaults(&spellings()?, false)?);
    }
    Ok(())
}

fn kept(message: &Message) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    binary::encode(message, &mut bytes).map_err(text)?;
    Ok(bytes)
}

fn place(message: Message, subject: Option<StreamId>, sequence: Option<StreamVersion>) -> Result<Stored, String> {
    let stream = subject.map_or_else(|| StreamId::new("inbox", "7").map_err(text), Ok)?;
    Ok(Stored { position: Position(7), stream, version: sequence.unwrap_or(StreamVersion(1)), message })
}

/// What came in is written as a message of ours, which is read as the same, needs no defaults, and is written as the
/// same bytes again; also after it was in a store.
fn again(
    incoming: &Incoming,
    spellings: &Spellings,
    form: &str,
    read: impl Fn(&[u8], &Defaults<'_>) -> Result<Incoming, EnvelopeError>,
    write: impl Fn(&Stored) -> Result<Vec<u8>, String>,
) -> Verdict {
    let Incoming { message, subject, sequence, .. } = incoming.clone();
    let envelope = &message.envelope;
    let kept = binary::decode(envelope.type_name.clone(), envelope.source.clone(), &kept(&message)?).map_err(text)?;
    must(kept == message, || format!("{message:?} became {kept:?} in a store"))?;
    let stored = place(message, subject, sequence)?;
    let written = write(&stored).map_err(|error| format!("{stored:?} cannot be written as {form}: {error}"))?;
    let printed = String::from_utf8_lossy(&written).into_owned();
    let back = read(&written, &defaults(spellings, false)?)
        .map_err(|error| format!("what was written as {form} is refused: {error}; {printed}"))?;
    must(!back.correlation_missing, || format!("the {form} has no correlation: {printed}"))?;
    let Incoming { message, subject, sequence, .. } = back;
    must(subject.as_ref() == Some(&stored.stream), || format!("{stored:?} came back with {subject:?}: {printed}"))?;
    let back = place(message, subject, sequence)?;
    must(back == stored, || format!("{stored:?} came back as {back:?}: {printed}"))?;
    must(write(&back)? == written, || format!("{printed} is not written as the same bytes again"))
}
