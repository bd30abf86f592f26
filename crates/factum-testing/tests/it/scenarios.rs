//! The scenarios' own tests: that they pass what is right, and say what is wrong.

use std::{fmt::Display, panic::catch_unwind, time::Duration};

use factum_core::{
    call::CallTo,
    decider::{Context, Decider},
    envelope::{Envelope, Recorded},
    error::HandlerError,
    payload::{Command, Event, Payload, PayloadError, TypeInfo},
    reaction::{Effects, Folding, Reaction},
    rejection::{Never, Rejection, RejectionKind},
    timer::TimerTo,
};
use factum_testing::{
    folding::folding,
    scenario::{NOW, given, given_nothing, happened, react},
};
use serde::{Deserialize, Serialize};

macro_rules! payload {
    ($type:ident, $role:ident, $name:literal) => {
        impl Payload for $type {
            fn types() -> Vec<TypeInfo> {
                vec![TypeInfo::new($name, "1.0.0", || schemars::json_schema!({ "type": "object" }))]
            }
            fn type_info(&self) -> TypeInfo {
                Self::types()[0]
            }
            fn decode(name: &str, data: &[u8]) -> Result<Self, PayloadError> {
                match name {
                    $name => serde_json::from_slice(data).map_err(|error| PayloadError::decode(name, &error)),
                    _ => Err(PayloadError::UnknownType(name.to_owned())),
                }
            }
            fn encode(&self, out: &mut Vec<u8>) -> Result<(), PayloadError> {
                serde_json::to_writer(out, self).map_err(|error| PayloadError::encode($name, &error))
            }
        }
        impl $role for $type {}
    };
}

#[derive(Serialize, Deserialize)]
struct Opened {
    owner: String,
}
payload!(Opened, Event, "account.opened");

#[derive(Serialize, Deserialize)]
struct Paid {
    cents: i64,
}
payload!(Paid, Event, "account.paid");

fn paid(cents: i64) -> Paid {
    Paid { cents }
}

enum AccountEvent {
    Opened(Opened),
    Paid(Paid),
}

impl From<Opened> for AccountEvent {
    fn from(event: Opened) -> Self {
        Self::Opened(event)
    }
}

impl From<Paid> for AccountEvent {
    fn from(event: Paid) -> Self {
        Self::Paid(event)
    }
}

impl Payload for AccountEvent {
    fn types() -> Vec<TypeInfo> {
        [Opened::types(), Paid::types()].concat()
    }
    fn type_info(&self) -> TypeInfo {
        match self {
            Self::Opened(event) => event.type_info(),
            Self::Paid(event) => event.type_info(),
        }
    }
    fn decode(name: &str, data: &[u8]) -> Result<Self, PayloadError> {
        match name {
            "account.opened" => Opened::decode(name, data).map(Self::Opened),
            _ => Paid::decode(name, data).map(Self::Paid),
        }
    }
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), PayloadError> {
        match self {
            Self::Opened(event) => event.encode(out),
            Self::Paid(event) => event.encode(out),
        }
    }
}
impl Event for AccountEvent {}

/// Pays up to a balance. Opens the account if there is none.
#[derive(Serialize, Deserialize)]
struct Fill {
    account: String,
    cents: i64,
}
payload!(Fill, Command, "account.fill");

#[derive(Debug)]
struct TooMuch;
impl Rejection for TooMuch {
    fn code(&self) -> &'static str {
        "too_much"
    }
    fn kind(&self) -> RejectionKind {
        RejectionKind::Invalid
    }
    fn message(&self) -> String {
        "ask for less".to_owned()
    }
}

#[derive(Default)]
struct Account {
    owner: Option<String>,
    cents: i64,
}

impl Decider for Account {
    const CATEGORY: &'static str = "account";
    type Id = String;
    type Command = Fill;
    type Event = AccountEvent;
    type Rejection = TooMuch;

    fn address(command: &Fill, _: &Envelope) -> String {
        command.account.clone()
    }

    fn decide(&self, id: &String, command: Fill, context: &Context) -> Result<Vec<AccountEvent>, TooMuch> {
        if command.cents > 1_000 {
            return Err(TooMuch);
        }
        assert!(context.now >= NOW);
        let mut events = Vec::new();
        if self.owner.is_none() {
            events.push(Opened { owner: id.clone() }.into());
        }
        if command.cents > self.cents {
            events.push(paid(command.cents - self.cents).into());
        }
        Ok(events)
    }

    fn evolve(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened(event) => self.owner = Some(event.owner.clone()),
            AccountEvent::Paid(event) => self.cents += event.cents,
        }
    }
}

fn fill(cents: i64) -> Fill {
    Fill { account: "1".into(), cents }
}

fn opened() -> Opened {
    Opened { owner: "1".into() }
}

/// What a scenario says when it fails.
fn said(scenario: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = catch_unwind(scenario).expect_err("the scenario is wrong and says so");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

fn has(text: &str, parts: &[&dyn Display]) {
    for part in parts {
        assert!(text.contains(&part.to_string()), "`{part}` does not stand in:\n{text}");
    }
}

#[test]
fn events_are_given_and_expected_as_tuples_arrays_and_lists() {
    given_nothing::<Account>().when(fill(5)).then((opened(), paid(5)));
    given::<Account>([opened()]).when(fill(5)).then([paid(5)]);
    given::<Account>((opened(), paid(5), paid(1))).at(NOW).when(fill(7)).then(vec![paid(1)]);
    given::<Account>((opened(), paid(5))).when(fill(5)).then_nothing();
    given::<Account>(()).when(fill(1_001)).then_rejected("too_much");
}

#[test]
fn a_scenario_goes_on_after_what_came_before() {
    given_nothing::<Account>().when(fill(5)).then((opened(), paid(5))).when(fill(8)).then([paid(3)]);
    given_nothing::<Account>().when(fill(5)).again_changes_nothing();
    given::<Account>([opened()]).when(fill(5)).then([paid(5)]).again_changes_nothing();
}

#[test]
fn a_wrong_event_is_shown_with_the_field_that_differs() {
    let text = said(|| drop(given::<Account>([opened()]).when(fill(5)).then([paid(6)])));
    has(&text, &[&"account.fill", &"~ account.paid {\"cents\":5}", &".cents: expected 6, actual 5"]);
}

#[test]
fn missing_and_surplus_events_are_shown() {
    let text = said(|| drop(given_nothing::<Account>().when(fill(5)).then([opened()])));
    has(&text, &[&"  account.opened", &"+ actual   account.paid {\"cents\":5}"]);
    let text = said(|| drop(given::<Account>([opened()]).when(fill(5)).then((opened(), paid(5)))));
    has(&text, &[&"- expected account.opened", &"- expected account.paid", &"+ actual   account.paid"]);
}

#[test]
fn a_rejection_that_was_not_expected_is_shown_and_the_other_way_round() {
    let text = said(|| drop(given_nothing::<Account>().when(fill(5_000)).then([opened()])));
    has(&text, &[&"rejected: `too_much`, \"ask for less\""]);
    let text = said(|| drop(given_nothing::<Account>().when(fill(5)).then_rejected("too_much")));
    has(&text, &[&"was accepted with 2 events", &"account.paid {\"cents\":5}"]);
    let text = said(|| drop(given_nothing::<Account>().when(fill(5_000)).then_rejected("closed")));
    has(&text, &[&"expected `closed`", &"`too_much`"]);
}

#[test]
fn twice_that_is_not_once_is_shown() {
    let text = said(|| {
        drop(given_nothing::<Account>().when(fill(-1)).then([opened()]).when(fill(5_000)).again_changes_nothing())
    });
    has(&text, &[&"account.fill done twice", &"the second time was rejected: `too_much`"]);
}

#[test]
fn a_command_that_addresses_no_stream_is_shown() {
    let text = said(|| drop(given_nothing::<Account>().when(Fill { account: String::new(), cents: 1 }).then_nothing()));
    has(&text, &[&"account.fill addresses `account-`", &"is empty"]);
}

const LATER: TimerTo<Fill> = TimerTo::new("later");
const EARLIER: TimerTo<Fill> = TimerTo::new("earlier");
const BANK: CallTo<i64, Fill> = CallTo::new("bank");

fn remind(event: &Recorded<'_, Paid>, fx: &mut Effects) -> Result<(), HandlerError> {
    if event.cents < 0 {
        return Err(HandlerError::failed("negative"));
    }
    fx.send(Fill { account: event.stored.stream.key().to_owned(), cents: event.cents + 1 });
    fx.after(LATER, Duration::from_secs(60), fill(9));
    fx.cancel(EARLIER.of(7));
    fx.emit("account", "2", paid(3));
    fx.call(BANK, event.cents);
    Ok(())
}

#[test]
fn what_a_reaction_brings_is_read_by_kind_and_type() {
    let reacted = happened(paid(4)).on("account-7").at(NOW).by("user").given_to(&reminding());
    let sent: Vec<Fill> = reacted.sent();
    assert_eq!(sent.iter().map(|fill| (fill.account.as_str(), fill.cents)).collect::<Vec<_>>(), [("7", 5)]);
    let timers = reacted.timers::<Fill>();
    assert_eq!((timers[0].0.as_str(), timers[0].1.as_secs(), timers[0].2.cents), ("later", 60, 9));
    assert_eq!(reacted.cancelled(), ["earlier/7"]);
    assert_eq!(reacted.emitted::<AccountEvent>().len(), 1);
    assert!(reacted.emitted::<Opened>().is_empty());
    assert_eq!(reacted.called(BANK), [4]);
    assert_eq!(reacted.effects.len(), 5);
    let error = happened(paid(-1)).try_react(remind).unwrap_err();
    assert_eq!(error, HandlerError::failed("negative"));
    assert!(happened(opened()).try_react(remind).is_err(), "a reaction reads its own types only");
    let due = react(|fx| fx.at(LATER.of(1), NOW, fill(2)));
    assert_eq!(
        due.timers_at::<Fill>().iter().map(|(name, at, _)| (&**name, *at)).collect::<Vec<_>>(),
        [("later/1", NOW)]
    );
    assert!(due.timers::<Fill>().is_empty());
    react(|_| {}).nothing();
    assert_eq!(react(|fx| fx.send(fill(1))).sent::<Fill>().len(), 1);
}

/// All that [`remind`] makes.
fn reminding() -> Reaction {
    Reaction::new("remind", remind).emits::<AccountEvent>("account").sets(LATER).sets(EARLIER).calls(BANK)
}

#[test]
fn what_a_reaction_makes_and_does_not_declare_is_its_failure() {
    const OTHER: CallTo<i32, Fill> = CallTo::new("bank");
    type Declared = fn(Reaction) -> Reaction;
    let cases: [(Declared, &str); 5] = [
        (
            |it| it.sets(LATER).sets(EARLIER).calls(BANK).emits::<AccountEvent>("other"),
            "`remind` emits `account.paid` to `account`, which it does not declare: add `.emits::<…>(\"account\")`",
        ),
        (|it| it.emits::<Paid>("account").sets(EARLIER).calls(BANK), "sets the timer `later` to `account.fill`"),
        (|it| it.emits::<Paid>("account").sets(LATER).calls(BANK), "cancels the timer `earlier`, which it does not"),
        (
            |it| it.emits::<Paid>("account").sets(LATER).sets(EARLIER),
            "makes the call `bank`, which it does not declare",
        ),
        (|it| it.emits::<Paid>("account").sets(LATER).sets(EARLIER).calls(OTHER), "add `.calls(…)` with its `CallTo`"),
    ];
    for (declared, sentence) in cases {
        let reaction = move || declared(Reaction::new("remind", remind));
        let text = said(move || drop(happened(paid(4)).on("account-7").given_to(&reaction())));
        assert!(text.contains(sentence), "{text}");
    }
    let telling = || {
        Folding::<()>::new("tell", 1)
            .react(|(): &(), event: &Recorded<'_, Paid>, fx: &mut Effects| fx.call(BANK, event.cents))
            .answer(|(): &(), fill: &Fill, _: &Context, fx: &mut Effects| {
                fx.emit("account", &fill.account, paid(fill.cents));
                Ok::<(), Never>(())
            })
            .fold(|(): &mut (), _: &Recorded<'_, Paid>| {})
    };
    let text = said(|| drop(folding(telling()).happens(happened(paid(4)))));
    assert!(text.contains("`tell` makes the call `bank`"), "{text}");
    let text = said(|| drop(folding(telling()).when(fill(4))));
    assert!(text.contains("`tell` emits `account.paid` to `account`"), "{text}");
    let whole = telling().calls(BANK).emits::<Paid>("account");
    assert_eq!(folding(whole).happens(happened(paid(4))).called(BANK), [4]);
}
