//! What handlers refer to and what is not there: said at the start, in a sentence that says what to change.

use std::time::Duration;

use factum_core::{
    call::{Answer, Call, CallSpec, CallTo},
    decider::Context,
    envelope::Recorded,
    reaction::{Effects, Folding, Reaction},
    rejection::Never,
    saga::{Saga, Step},
    service::Service,
    timer::TimerTo,
};
use factum_macros::{Command, Event};
use factum_runtime::registry::Registry;
use serde::{Deserialize, Serialize};

use super::bank::*;
use super::bench::*;

/// An event without the field that the others have.
#[derive(Event)]
#[event("till.opened")]
struct Opened {
    till: String,
}

/// Takes a payment back, which nobody does.
#[derive(Command)]
#[command("account.take_back")]
struct TakeBack {
    id: String,
}

const ASK: CallTo<i64, Note> = CallTo::new("ask");
const LATER: TimerTo<Note> = TimerTo::new("later");

fn nothing(_: &Recorded<'_, Paid>, _: &mut Effects) {}

fn reaction() -> Reaction {
    Reaction::new("react", nothing)
}

fn asks() -> CallSpec<i64, Note> {
    let ask = |_: Call<i64>| async { Answer::<Note>::Unknown(String::new()) };
    CallSpec::new(ASK, ask, |_, _| Note { id: String::new(), cents: 0 })
}

fn own(reaction: Reaction) -> Service {
    Service::new("own").reaction(reaction)
}

#[track_caller]
fn fits(services: Vec<Service>) {
    assert_eq!(Registry::new(services).err().map(|error| error.to_string()), None);
}

#[track_caller]
fn refused(services: Vec<Service>, sentence: &str) {
    let said = Registry::new(services).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(said.contains(sentence), "{said}");
}

#[test]
fn a_reactions_call_is_there_as_it_is_made_and_its_answer_has_an_addressee() {
    let calls = || own(reaction().calls(ASK));
    fits(vec![accounts(), books(), calls().call(asks())]);
    refused(vec![books(), calls()], "own.react makes the call `ask`, and service own has none: add `.call(…)` to it");
    let elsewhere = Service::new("elsewhere").call(asks());
    refused(vec![books(), calls(), elsewhere], "and service own has none");
    let other = CallSpec::new(
        CallTo::<u8, Note>::new("ask"),
        |_: Call<u8>| async { Answer::<Note>::Unknown(String::new()) },
        |_, _| Note { id: String::new(), cents: 0 },
    );
    refused(vec![books(), calls().call(other)], "asks i64, answered by");
    let of_steps = CallSpec::of_steps(ASK, |_: Call<i64>| async { Answer::<Note>::Unknown(String::new()) });
    refused(vec![books(), calls().call(of_steps)], "whose answers go to steps of sagas: declare it by `CallSpec::new`");
    refused(
        vec![calls().call(asks())],
        "the call own.ask is answered by `book.note`, which no service of this program answers: add the service that does",
    );
    let folding = Folding::<()>::new("fold", 1).react(|(): &(), _: &Recorded<'_, Paid>, _: &mut Effects| {}).calls(ASK);
    refused(vec![books(), Service::new("own").folding(folding)], "own.fold makes the call `ask`");
}

#[test]
fn events_are_emitted_to_streams_that_the_service_owns() {
    let emits = |category| own(reaction().emits::<Copied>(category));
    fits(vec![accounts(), books(), emits("copy").owns("copy")]);
    fits(vec![accounts(), Service::new("books").decider::<Book>().reaction(reaction().emits::<Noted>("book"))]);
    refused(
        vec![accounts(), books(), emits("copy")],
        "own.react emits `mirror.copied` to `copy`, and service own owns no such streams: add `.owns(\"copy\")` to it, or",
    );
    refused(
        vec![accounts(), books(), emits("book")],
        "own.react emits `mirror.copied` to `book`, and service own owns no",
    );
    refused(vec![accounts(), books(), emits("own.react")], "own.react emits `mirror.copied` to `own.react`");
    let folding = Folding::<()>::new("fold", 1)
        .answer(|(): &(), _: &TakeBack, _: &Context, _: &mut Effects| Ok::<(), Never>(()))
        .emits::<Copied>("copy");
    refused(vec![books(), Service::new("own").folding(folding)], "own.fold emits `mirror.copied` to `copy`");
}

#[test]
fn a_timers_command_has_an_addressee_and_its_name_no_slash() {
    fits(vec![accounts(), books(), own(reaction().sets(LATER))]);
    refused(vec![own(reaction().sets(LATER))], "own.react sets the timer `later` to `book.note`, which no service of");
    for name in ["a/b", "", "a\n"] {
        let odd = own(reaction().sets(TimerTo::<Note>::new(name)));
        refused(vec![accounts(), books(), odd], "a name has 1 to 128 bytes of printable text without a slash");
    }
}

#[test]
fn the_field_that_a_reaction_orders_by_is_a_text_of_all_its_events() {
    #[derive(Event)]
    enum Both {
        Paid(Paid),
        Opened(Opened),
    }
    fits(vec![own(reaction().by("note"))]);
    refused(
        vec![own(reaction().by("orderId"))],
        "own.react orders by the field `orderId`, which `account.paid` does not have: name a field (as in JSON, such as",
    );
    refused(vec![own(reaction().by("cents"))], "by the field `cents`, which in `account.paid` is no text");
    let both = Reaction::new("both", |_: &Recorded<'_, Both>, _: &mut Effects| {}).by("id");
    refused(vec![own(both)], "own.both orders by the field `id`, which `till.opened` does not have");
    let folding = |field| {
        let folding = Folding::<()>::new("fold", 1).fold(|(): &mut (), _: &Recorded<'_, Opened>| {});
        Service::new("own").folding(folding.react(|(): &(), _: &Recorded<'_, Paid>, _: &mut Effects| {}).by(field))
    };
    fits(vec![folding("id")]);
    refused(vec![folding("till")], "own.fold orders by the field `till`, which `account.paid` does not have");
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Facts {
    id: String,
}

type Begun = Saga<Facts>;

fn begun() -> Begun {
    Saga::new("sale", 1).key("id").start::<Paid>(|e| Facts { id: e.id.clone() })
}

fn noted(step: Step<Facts>) -> Step<Facts> {
    step.send(|f: &Facts| Note { id: f.id.clone(), cents: 1 }).done::<Noted>()
}

fn of_step(build: impl FnOnce(Step<Facts>) -> Step<Facts>) -> Begun {
    begun().step("note", |step| build(noted(step)))
}

#[test]
fn what_a_saga_sends_has_an_addressee_and_what_it_decides_is_its_own_services() {
    let take = |f: &Facts| TakeBack { id: f.id.clone() };
    let selling = |saga: Begun| vec![books(), accounts().saga(saga)];
    fits(selling(of_step(Step::nothing_to_undo)));
    refused(
        vec![accounts().saga(of_step(Step::nothing_to_undo))],
        "step `note` of saga sale version 1 sends `book.note`, which no service of this program answers: add the service",
    );
    refused(
        selling(of_step(move |step| step.undo::<TakeBack, Noted>(take))),
        "step `note` of saga sale version 1 sends `account.take_back`, which no service",
    );
    // A folding may take part, and cannot be decided on.
    let folding = || {
        Folding::<()>::new("back", 1).answer(|(): &(), _: &TakeBack, _: &Context, _: &mut Effects| Ok::<(), Never>(()))
    };
    let undone = of_step(move |step| step.undo::<TakeBack, Noted>(take));
    fits(vec![books(), accounts().saga(undone), Service::new("backs").folding(folding())]);
    let own = of_step(move |step| step.nothing_to_undo().own(take));
    refused(
        vec![books(), accounts().folding(folding()).saga(own)],
        "step `note` of saga sale version 1 decides `account.take_back` on its own aggregate, and no decider of service \
         accounts answers it",
    );
    let others = |f: &Facts| Note { id: f.id.clone(), cents: 1 };
    let held =
        move |step: Step<Facts>| step.nothing_to_undo().held_if::<Paid, Note>(|_| None, others, Duration::from_secs(1));
    refused(selling(of_step(held)), "step `note` of saga sale version 1 decides `book.note` on its own aggregate");
    let failed = of_step(Step::nothing_to_undo).failed(move |f, _| Some(others(f)));
    refused(selling(failed), "saga sale version 1 decides `book.note` on its own aggregate");
    let old = Saga::new("sale", 0)
        .key("id")
        .start::<Paid>(|e| Facts { id: e.id.clone() })
        .step("take", |step| step.send(take).done::<Noted>().nothing_to_undo());
    let both = accounts().saga(old).saga(of_step(Step::nothing_to_undo));
    refused(vec![books(), both], "step `take` of saga sale version 0 sends `account.take_back`");
}

#[test]
fn a_sagas_key_is_a_text_of_its_start_of_each_reply_and_of_each_abort() {
    let selling = |saga: Begun| vec![books(), accounts().saga(saga)];
    let other = |field| {
        Saga::new("sale", 1)
            .key(field)
            .start::<Paid>(|_| Facts::default())
            .step("note", |step| noted(step).nothing_to_undo())
    };
    refused(
        selling(other("orderId")),
        "saga sale version 1 finds its instances by the field `orderId`, which `account.paid` does not have: name a field",
    );
    refused(selling(other("cents")), "by the field `cents`, which in `account.paid` is no text");
    refused(
        selling(of_step(|step| step.nothing_to_undo().refused::<Opened>(|_| String::new()))),
        "step `note` of saga sale version 1 finds its instances by the field `id`, which `till.opened` does not have",
    );
    let aborted = of_step(Step::nothing_to_undo).abort::<Opened>(|opened| opened.till.clone());
    refused(selling(aborted), "saga sale version 1 finds its instances by the field `id`, which `till.opened`");
}

#[test]
fn what_a_reaction_makes_and_does_not_declare_is_that_deliverys_failure() {
    let tell = |event: &Recorded<'_, Paid>, fx: &mut Effects| match event.cents {
        1 => fx.emit("told", &event.id, Copied { id: event.id.clone(), cents: 1, sum: 0 }),
        2 => fx.after(LATER, Duration::ZERO, Note { id: event.id.clone(), cents: 2 }),
        3 => fx.cancel(LATER),
        4 => fx.call(ASK, event.cents),
        _ => fx.send(Note { id: event.id.clone(), cents: 5 }),
    };
    let telling = Service::new("telling").owns("told").react("tell", tell).call(asks());
    let mut bench = Bench::new(vec![accounts(), Service::new("books").decider::<Book>(), telling]);
    for (cents, key) in [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")] {
        bench.ask(&format!("p{cents}"), pay(key, cents)).unwrap();
    }
    let reasons: Vec<String> = bench.letters().iter().map(|letter| letter.reason().to_owned()).collect();
    let says =
        ["`.emits::<…>(\"told\")`", "sets the timer `later`", "cancels the timer `later`", "makes the call `ask`"];
    assert_eq!(reasons.len(), says.len(), "{reasons:?}");
    for (reason, say) in reasons.iter().zip(says) {
        assert!(reason.contains("`tell`") && reason.contains(say), "{reason}");
    }
    assert_eq!(bench.events::<Noted>().len(), 1, "a command needs no declaration");
}
