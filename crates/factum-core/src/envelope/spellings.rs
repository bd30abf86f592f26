//! What other systems call our types and services, and how their data becomes ours: one table, of which the platform
//! knows how it is read and a program what stands in it.
//!
//! ```
//! use factum_core::envelope::{Rule::*, Spelled, Spellings};
//!
//! const EVENTS: &[Spelled] = &[Spelled::new("order.created", &["OrderPlaced"])
//!     .key("orderId")
//!     .data(&[Field("customerId", &["userId"]), Money("total", &["totalAmount"])])];
//! let spellings = Spellings::new().events(EVENTS).unwrap().service("OrderService", "order-service").unwrap();
//! assert_eq!(spellings.event("OrderPlaced").unwrap(), "order.created");
//! ```

use std::collections::BTreeMap;

use super::{Kind, Rule, rules::text_of};
use crate::{
    error::NameError,
    id::{Name, check_type_name},
    money::Currency,
};

/// A type of ours, and what others call and write it.
#[derive(Clone, Copy, Debug)]
pub struct Spelled {
    ours: &'static str,
    theirs: &'static [&'static str],
    when: &'static [(&'static str, When)],
    key: Option<&'static str>,
    data: &'static [Rule],
}

/// When a foreign name means a type of ours, where it does not always.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// It comes from this service, by our name.
    From(&'static str),
    /// A field of the data is this text, number or truth value, written without quotes.
    Has(&'static str, &'static str),
}

impl Spelled {
    /// The type `ours`, which others call by any of these names.
    pub const fn new(ours: &'static str, theirs: &'static [&'static str]) -> Self {
        Self { ours, theirs, when: &[], key: None, data: &[] }
    }

    /// Names that mean it only then. They go before those of other types that always mean those.
    #[must_use]
    pub const fn when(self, when: &'static [(&'static str, When)]) -> Self {
        Self { when, ..self }
    }

    /// The field of the data, by our name, that is the key of its stream where a message does not say whose it is.
    #[must_use]
    pub const fn key(self, field: &'static str) -> Self {
        Self { key: Some(field), ..self }
    }

    /// How its data becomes ours; what is ours already stays as it is.
    #[must_use]
    pub const fn data(self, rules: &'static [Rule]) -> Self {
        Self { data: rules, ..self }
    }

    /// The type, by our name.
    pub fn ours(&self) -> &'static str {
        self.ours
    }

    /// All foreign names, with what they depend on.
    pub fn theirs(&self) -> impl Iterator<Item = (&'static str, Option<When>)> {
        let when = self.when.iter().map(|(name, when)| (*name, Some(*when)));
        self.theirs.iter().map(|name| (*name, None)).chain(when)
    }

    pub(super) fn key_field(&self) -> Option<&'static str> {
        self.key
    }

    pub(super) fn rules(&self) -> &'static [Rule] {
        self.data
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Spellings {
    events: Names,
    commands: Names,
    services: BTreeMap<String, Name>,
    currency: Option<Currency>,
}

#[derive(Clone, Debug, Default)]
struct Names {
    ours: BTreeMap<&'static str, Spelled>,
    /// Those that depend on something stand first.
    theirs: BTreeMap<&'static str, Vec<(Option<When>, &'static str)>>,
}

/// What a foreign name means.
pub(super) struct Meant<'t> {
    pub(super) kind: Kind,
    pub(super) name: Name,
    pub(super) spelled: Option<&'t Spelled>,
}

/// A message as far as its name may depend on it.
pub(super) struct Said<'a> {
    /// What it says that it is.
    pub(super) kind: Option<Kind>,
    /// What a message here usually is.
    pub(super) usual: Kind,
    pub(super) source: &'a str,
    pub(super) data: &'a str,
}

impl Spellings {
    /// An empty table: only our own names.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds events.
    ///
    /// # Errors
    /// [`NameError`] if one is no type's name, or stands there twice, or a foreign name means two of them at once.
    pub fn events(mut self, events: &[Spelled]) -> Result<Self, NameError> {
        events.iter().try_for_each(|spelled| self.events.add(spelled))?;
        Ok(self)
    }

    /// Adds commands. The same foreign name may be an event's too.
    ///
    /// # Errors
    /// As [`Spellings::events`].
    pub fn commands(mut self, commands: &[Spelled]) -> Result<Self, NameError> {
        commands.iter().try_for_each(|spelled| self.commands.add(spelled))?;
        Ok(self)
    }

    /// Reads `foreign` as our service `ours`, whatever `foreign` looks like.
    ///
    /// # Errors
    /// [`NameError`] if `ours` is not a service's name.
    pub fn service(mut self, foreign: &str, ours: &str) -> Result<Self, NameError> {
        self.services.insert(foreign.to_owned(), Name::parse("source", ours)?);
        Ok(self)
    }

    /// What amounts are in that come without a currency. Without this they are refused.
    #[must_use]
    pub fn currency(mut self, currency: Currency) -> Self {
        self.currency = Some(currency);
        self
    }

    /// The type of event that `foreign` always means: what the table says, or the name itself if it follows our rules.
    ///
    /// # Errors
    /// [`NameError`] with the line of the table that would help.
    pub fn event(&self, foreign: &str) -> Result<Name, NameError> {
        self.one(Kind::Event, foreign)
    }

    /// The type of command that `foreign` always means.
    ///
    /// # Errors
    /// As [`Spellings::event`].
    pub fn command(&self, foreign: &str) -> Result<Name, NameError> {
        self.one(Kind::Command, foreign)
    }

    fn one(&self, kind: Kind, foreign: &str) -> Result<Name, NameError> {
        self.meant(foreign, &Said { kind: Some(kind), usual: kind, source: "", data: "{}" }).map(|meant| meant.name)
    }

    /// All foreign names of commands that always mean one of ours, with it.
    pub fn commands_spelled(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let always = |(theirs, meanings): (&&'static str, &Vec<(Option<When>, &'static str)>)| {
            let (_, ours) = meanings.iter().find(|(when, _)| when.is_none())?;
            Some((*theirs, *ours))
        };
        self.commands.theirs.iter().filter_map(always)
    }

    /// The service that `foreign` means: what the table says, or the name itself if it follows our rules.
    ///
    /// # Errors
    /// [`NameError`] that says what is wrong.
    pub fn source(&self, foreign: &str) -> Result<Name, NameError> {
        match self.services.get(foreign) {
            Some(ours) => Ok(ours.clone()),
            None => own_name("source", foreign),
        }
    }

    pub(super) fn usual_currency(&self) -> Option<Currency> {
        self.currency
    }

    /// The names of a kind; only events and commands have any.
    fn names(&self, kind: Kind) -> Option<&Names> {
        match kind {
            Kind::Event => Some(&self.events),
            Kind::Command => Some(&self.commands),
            Kind::Call | Kind::Rejection | Kind::Receipt => None,
        }
    }

    /// Whether the table has a foreign name among those of a kind.
    pub(super) fn knows(&self, kind: Kind, foreign: &str) -> bool {
        self.names(kind).is_some_and(|names| names.theirs.contains_key(foreign) || names.ours.contains_key(foreign))
    }

    /// What a name means in a message. One that does not say what it is may be of the other kind than usual, if the table
    /// knows the name only so.
    pub(super) fn meant(&self, foreign: &str, said: &Said<'_>) -> Result<Meant<'_>, NameError> {
        let other = if said.usual == Kind::Command { Kind::Event } else { Kind::Command };
        let kinds = said.kind.map_or([Some(said.usual), Some(other)], |kind| [Some(kind), None]);
        for kind in kinds.into_iter().flatten() {
            if let Some(spelled) = self.names(kind).and_then(|names| names.find(foreign, said)) {
                return Ok(Meant { kind, name: Name::Static(spelled.ours), spelled: Some(spelled) });
            }
        }
        let name = own_name("type", foreign).map_err(|error| match domain_and_name(foreign) {
            Some(likely) => {
                let problem = format!(
                    "`{foreign}` is not a name of ours: add a spelling of what it means, perhaps of `{likely}`"
                );
                NameError { what: "type", problem }
            }
            None => error,
        })?;
        Ok(Meant { kind: kinds[0].unwrap_or(said.usual), name, spelled: None })
    }
}

impl Names {
    fn add(&mut self, spelled: &Spelled) -> Result<(), NameError> {
        check_type_name(spelled.ours)?;
        let twice = |what: &str, also: &str| {
            let problem = format!("`{what}` is spelled for `{}` and for `{also}`: keep one of them", spelled.ours);
            NameError { what: "type", problem }
        };
        if self.ours.insert(spelled.ours, *spelled).is_some() {
            return Err(twice(spelled.ours, spelled.ours));
        }
        for (name, when) in spelled.theirs() {
            let meanings = self.theirs.entry(name).or_default();
            if let Some((_, also)) = meanings.iter().find(|(known, _)| known.is_none() && when.is_none()) {
                return Err(twice(name, also));
            }
            let at = if when.is_some() { 0 } else { meanings.len() };
            meanings.insert(at, (when, spelled.ours));
        }
        Ok(())
    }

    fn find(&self, foreign: &str, said: &Said<'_>) -> Option<&Spelled> {
        let meanings = self.theirs.get(foreign).map_or(&[][..], Vec::as_slice);
        let meant = meanings.iter().find(|(when, _)| when.is_none_or(|when| when.holds(said)));
        self.ours.get(meant.map_or(foreign, |(_, ours)| ours))
    }
}

impl When {
    fn holds(self, said: &Said<'_>) -> bool {
        match self {
            Self::From(service) => said.source == service,
            Self::Has(field, value) => text_of(said.data, field).is_some_and(|text| text == value),
        }
    }
}

fn own_name(what: &'static str, foreign: &str) -> Result<Name, NameError> {
    Name::parse(what, foreign).map_err(|error| {
        let problem = format!("{}; send it so, or add a spelling of it", error.problem);
        NameError { what, problem }
    })
}

/// `OrderCreated` and `orderCreated` look like `order.created`. A guess for a message, never used as a name.
fn domain_and_name(foreign: &str) -> Option<String> {
    let words_only = foreign.len() <= crate::id::MAX_NAME_BYTES && foreign.bytes().all(|b| b.is_ascii_alphanumeric());
    let mut words: Vec<String> = Vec::new();
    for letter in foreign.chars().filter(|_| words_only) {
        match words.last_mut() {
            Some(word) if !letter.is_ascii_uppercase() => word.push(letter),
            _ => words.push(letter.to_ascii_lowercase().to_string()),
        }
    }
    let (domain, rest) = words.split_first()?;
    (!rest.is_empty()).then(|| format!("{domain}.{}", rest.join("_")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: &[Spelled] = &[
        Spelled::new("order.created", &["OrderPlaced"]),
        Spelled::new("order.shipped", &[]),
        Spelled::new("shipping.created", &["createLabel"]),
        Spelled::new("shipping.dispatched", &[]).when(&[("order.shipped", When::From("shipping-service"))]),
    ];
    const COMMANDS: &[Spelled] = &[
        Spelled::new("payment.authorize", &["PaymentRequested"]),
        Spelled::new("payment.process", &["payment.process-requested"])
            .when(&[("PaymentRequested", When::Has("capture", "true"))]),
        Spelled::new("shipping.create", &["createLabel"]),
    ];

    fn table() -> Spellings {
        let table = Spellings::new().events(EVENTS).unwrap().commands(COMMANDS).unwrap();
        table.service("fulfillment-service", "shipping-service").unwrap()
    }

    #[test]
    fn the_table_comes_first_then_our_own_rules() {
        let table = table();
        assert_eq!(table.event("OrderPlaced").unwrap(), "order.created");
        assert_eq!(table.command("payment.process-requested").unwrap(), "payment.process");
        assert_eq!(table.command("order.create-requested").unwrap(), "order.create-requested");
        assert_eq!(table.source("fulfillment-service").unwrap(), "shipping-service");
        assert_eq!(table.source("order-service").unwrap(), "order-service");
        assert_eq!((table.event("createLabel").unwrap(), table.command("createLabel").unwrap()), {
            (Name::Static("shipping.created"), Name::Static("shipping.create"))
        });
    }

    #[test]
    fn a_name_may_depend_on_who_sends_it_and_on_what_is_in_it() {
        let table = table();
        let meant = |kind, usual, foreign: &str, source: &str, data: &str| {
            let meant = table.meant(foreign, &Said { kind, usual, source, data }).unwrap();
            (meant.kind, meant.name.to_string())
        };
        let (event, command) = (Kind::Event, Kind::Command);
        for (foreign, source, data, ours) in [
            ("order.shipped", "order-service", "{}", (event, "order.shipped")),
            ("order.shipped", "shipping-service", "{}", (event, "shipping.dispatched")),
            ("PaymentRequested", "x", r#"{"capture": false}"#, (command, "payment.authorize")),
            ("PaymentRequested", "x", r#"{"capture": true}"#, (command, "payment.process")),
            ("PaymentRequested", "x", r#"{"capture": "true"}"#, (command, "payment.process")),
            ("createLabel", "x", "{}", (event, "shipping.created")),
            ("payment.process", "x", "{}", (command, "payment.process")),
            ("other.thing", "x", "{}", (event, "other.thing")),
        ] {
            assert_eq!(meant(None, event, foreign, source, data), (ours.0, ours.1.to_owned()), "{foreign}");
        }
        assert_eq!(meant(None, command, "createLabel", "x", "{}"), (command, "shipping.create".to_owned()));
        assert_eq!(meant(Some(event), command, "createLabel", "x", "{}"), (event, "shipping.created".to_owned()));
        assert_eq!(meant(Some(Kind::Call), event, "ask.it", "x", "{}"), (Kind::Call, "ask.it".to_owned()));
    }

    #[test]
    fn a_name_that_is_not_ours_is_refused_with_the_spelling_that_would_help() {
        for (foreign, remedy) in [
            ("OrderCreated", "add a spelling of what it means, perhaps of `order.created`"),
            ("inventoryReservationFailed", "`inventory.reservation_failed`"),
            ("Cart Checkout Event", "add a spelling"),
            ("Created", "add a spelling"),
            ("", "is empty"),
        ] {
            let error = Spellings::new().event(foreign).unwrap_err().to_string();
            assert!(error.contains(remedy), "{error}");
        }
        assert!(Spellings::new().source("OrderService").unwrap_err().to_string().contains("add a spelling"));
    }

    #[test]
    fn a_spelling_leads_to_one_name_of_ours() {
        let table =
            |spelled: &[Spelled]| Spellings::new().events(spelled).map(|_| ()).map_err(|error| error.to_string());
        assert!(table(&[Spelled::new("Order Created", &["A"])]).is_err());
        assert!(Spellings::new().service("A", "").is_err());
        let twice = table(&[Spelled::new("a.b", &["X"]), Spelled::new("a.c", &["X"])]).unwrap_err();
        assert_eq!(twice, "the type `X` is spelled for `a.c` and for `a.b`: keep one of them");
        assert!(table(&[Spelled::new("a.b", &["X"]), Spelled::new("a.b", &["Y"])]).is_err());
    }
}
