//! Folding reactions: their states run ahead of what they answer, and are rebuilt from the log.

use std::sync::atomic::{AtomicBool, Ordering};

use factum_core::{
    decider::Context,
    envelope::Recorded,
    reaction::{Effects, Folding, Reaction},
    rejection::{Refused, Rejection, RejectionKind},
    service::Service,
};
use factum_macros::{Command, Event};
use factum_runtime::{acts::What, inbox::ExecuteError};

use super::bank::*;
use super::bench::*;

#[derive(Command, Clone, Debug, PartialEq)]
#[command("audit.ask")]
struct Ask {
    id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("audit.answered")]
struct Answered {
    id: String,
    seen: i64,
}

/// While this is up, the fold fails on a payment that says so.
static FAILS: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
struct TooEarly;

impl Rejection for TooEarly {
    fn code(&self) -> &'static str {
        "too_early"
    }
    fn kind(&self) -> RejectionKind {
        RejectionKind::Conflict
    }
    fn message(&self) -> String {
        "two payments at least".to_owned()
    }
}

/// Every payment asks how many payments there are; less than two is refused.
fn audits() -> Vec<Service> {
    let ask = |event: &Recorded<'_, Paid>, fx: &mut Effects| fx.send(Ask { id: event.id.clone() });
    let folding = Folding::<i64>::new("audit", 1)
        .fold(|seen: &mut i64, event: &Recorded<'_, Paid>| {
            assert!(event.note != "fails" || !FAILS.load(Ordering::SeqCst), "as asked");
            *seen += 1;
        })
        .react(|seen: &i64, event: &Recorded<'_, Paid>, fx: &mut Effects| {
            fx.emit("seen", &event.id, Answered { id: event.id.clone(), seen: *seen });
        })
        .answer(|seen: &i64, ask: &Ask, _: &Context, fx: &mut Effects| {
            if *seen < 2 {
                return Err(TooEarly);
            }
            fx.emit("audit", &ask.id, Answered { id: ask.id.clone(), seen: *seen });
            Ok(())
        })
        .emits::<Answered>("seen")
        .emits::<Answered>("audit");
    vec![
        Service::new("askers").react("ask", ask),
        accounts(),
        Service::new("audits").owns("audit").owns("seen").folding(folding),
    ]
}

fn seen(bench: &Bench, category: &str) -> Vec<i64> {
    let answers = bench.log().into_iter().filter(|stored| stored.stream.category() == category);
    answers.map(|stored| stored.decode::<Answered>().unwrap().seen).collect()
}

#[test]
fn a_fold_takes_an_event_before_anything_reacts_to_it() {
    let mut bench = Bench::new(audits());
    for number in 0..3 {
        bench.ask(&format!("p{number}"), pay("a", 1)).unwrap();
    }
    assert_eq!(seen(&bench, "seen"), [1, 2, 3]);
    assert_eq!(seen(&bench, "audit"), [2, 3]);
    let rejections = bench.stream("audits.audit-a");
    assert_eq!(rejections.len(), 1, "the refusal stands in the folding's own stream");
    let refused: Refused = serde_json::from_slice(&rejections[0].message.data).unwrap();
    assert_eq!(refused.code, "too_early");
}

#[test]
fn states_are_rebuilt_at_a_start_without_reacting_again() {
    let mut bench = Bench::new(audits());
    for number in 0..3 {
        bench.ask(&format!("p{number}"), pay("a", 1)).unwrap();
    }
    let before = bench.log().len();
    let mut bench = bench.restart(audits());
    bench.run();
    assert_eq!(bench.log().len(), before);
    bench.engine.reload().unwrap();
    bench.ask("p3", pay("a", 1)).unwrap();
    assert_eq!(seen(&bench, "seen"), [1, 2, 3, 4]);
    assert_eq!(seen(&bench, "audit"), [2, 3, 4]);
}

#[test]
fn a_state_that_is_made_anew_answers_no_command_again() {
    FAILS.store(true, Ordering::SeqCst);
    let mut bench = Bench::new(audits());
    for (number, note) in ["", "", "", "fails"].into_iter().enumerate() {
        bench.ask(&format!("p{number}"), pay_with("a", 1, note)).unwrap();
    }
    assert_eq!(bench.health().stopped.len(), 1);
    assert_eq!((seen(&bench, "audit"), bench.stream("audits.audit-a").len()), (vec![2, 3], 1));
    FAILS.store(false, Ordering::SeqCst);
    bench.act(What::TryAgain("audits.audit".to_owned())).unwrap();
    assert_eq!((seen(&bench, "audit"), bench.stream("audits.audit-a").len()), (vec![2, 3, 4], 1));
}

#[test]
fn a_new_folding_starts_now_but_folds_from_the_beginning() {
    let mut bench = Bench::new(vec![accounts()]);
    for number in 0..3 {
        bench.ask(&format!("p{number}"), pay("a", 1)).unwrap();
    }
    // The engine's cursor must be behind what was there before the new one came.
    bench.engine.save_cursor().unwrap();
    let mut bench = bench.restart(audits());
    bench.ask("p3", pay("a", 1)).unwrap();
    assert_eq!(seen(&bench, "seen"), [4]);
}

#[test]
fn an_event_emitted_to_an_aggregates_stream_is_known_to_its_next_decision() {
    let gift = |event: &Recorded<'_, Paid>, fx: &mut Effects| {
        if event.note != "gift" {
            fx.emit("account", &event.id, Paid { id: event.id.clone(), cents: 400, note: "gift".to_owned() });
        }
    };
    let gift = Reaction::new("gift", gift).emits::<Paid>("account");
    let mut bench = Bench::new(vec![Service::new("accounts").decider::<Account>().reaction(gift)]);
    bench.ask("p1", pay("a", 300)).unwrap();
    let refused = bench.ask("p2", pay("a", 301));
    assert!(matches!(refused, Err(ExecuteError::Rejected(_))), "300, 400 and 301 are too much");
    assert!(bench.ask("p3", pay("a", 1)).is_ok());
    bench.check_versions();
}
