//! Programs with a shelf of one article, each in other words: what changes between two deployments.

use std::collections::BTreeSet;

use factum_core::{
    call::{Answer, Call, CallSpec, CallTo},
    decider::{Context, Decider},
    envelope::{Envelope, Recorded},
    error::{HandlerError, NotYet},
    payload::Payload,
    reaction::{Effects, Folding, Reaction},
    rejection::Never,
    service::{Durations, Service},
    timer::TimerTo,
};
use factum_macros::{Command, Event};

use super::bank::*;
use super::bench::*;

/// A shelf of one article, in the words of one program: the event's name and version, the command's name, and what
/// the event holds.
macro_rules! shelf {
    ($program:ident, $event:tt, $command:tt, $version:literal $(, $field:ident)?) => {
        #[allow(dead_code, reason = "no program shows everything")]
        pub mod $program {
            use super::*;

            #[derive(Event, Clone, Debug, PartialEq)]
            #[event $event]
            pub struct Filled {
                pub shelf: String,
                $(pub $field: i64,)?
            }

            #[derive(Command)]
            #[command $command]
            pub struct Fill {
                pub shelf: String,
            }

            #[derive(Default)]
            pub struct Shelf(i64);

            impl Decider for Shelf {
                const CATEGORY: &'static str = "shelf";
                type Id = String;
                type Command = Fill;
                type Event = Filled;
                type Rejection = Never;

                fn address(fill: &Fill, _: &Envelope) -> String {
                    fill.shelf.clone()
                }

                fn decide(&self, _: &String, fill: Fill, _: &Context) -> Result<Vec<Filled>, Never> {
                    Ok(vec![Filled { shelf: fill.shelf, $($field: self.0 + 1)? }])
                }

                fn evolve(&mut self, _: &Filled) {
                    self.0 += 1;
                }
            }

            pub fn service() -> Service {
                Service::new("shelves").decider::<Shelf>()
            }

            pub fn fill(shelf: &str) -> Fill {
                Fill { shelf: shelf.to_owned() }
            }

            /// Tells how often shelves were filled, and of which version the event was.
            pub fn counts() -> Service {
                let told = Folding::<i64>::new("count", 1)
                    .fold(|count: &mut i64, _: &Recorded<'_, Filled>| *count += 1)
                    .react(|count: &i64, event: &Recorded<'_, Filled>, fx: &mut Effects| {
                        let id = event.envelope().data_version.to_string();
                        fx.emit("tally", &event.shelf, Told { id, cents: *count, sum: 0 });
                    })
                    .emits::<Told>("tally");
                Service::new("counts").owns("tally").folding(told)
            }

            const LATE: TimerTo<Fill> = TimerTo::new("late");
            const ASK: CallTo<Paid, Fill> = CallTo::new("ask");

            /// Fills another shelf a minute after `a`.
            pub fn late() -> Service {
                let later = |event: &Recorded<'_, Filled>, fx: &mut Effects| {
                    if event.shelf == "a" {
                        fx.after(LATE, 1.minutes(), fill("late"));
                    }
                };
                Service::new("timing").reaction(Reaction::new("late", later).sets(LATE))
            }

            /// Asks the outside about each payment; the answer fills a shelf.
            pub fn asking() -> Service {
                let ask = |_: Call<Paid>| async { Answer::<Fill>::Unknown(String::new()) };
                let ask = CallSpec::new(ASK, ask, |paid: Paid, _: &str| fill(&paid.id));
                let react = |event: &Recorded<'_, Paid>, fx: &mut Effects| fx.call(ASK, event.data.clone());
                Service::new("asking").reaction(Reaction::new("react", react).calls(ASK)).call(ask)
            }

            /// Fills the shelf that a payment names.
            pub fn forwards() -> Service {
                let forward = |event: &Recorded<'_, Paid>, fx: &mut Effects| fx.send(fill(&event.id));
                Service::new("forwards").react("forward", forward)
            }

            #[derive(Event)]
            pub enum Awaited {
                Paid(Paid),
                Filled(Filled),
            }

            /// Tells of a payment when its shelf is filled.
            pub fn patient() -> Service {
                let wait = Folding::<BTreeSet<String>>::new("wait", 1)
                    .fold(|filled: &mut BTreeSet<String>, event: &Recorded<'_, Filled>| {
                        filled.insert(event.shelf.clone());
                    })
                    .react(|filled: &BTreeSet<String>, event: &Recorded<'_, Awaited>, fx: &mut Effects| {
                        let Awaited::Paid(paid) = &event.data else { return Ok(()) };
                        if !filled.contains(&paid.id) {
                            let wait = NotYet::at_most(1.hours()).until(Filled::types()[0].name, &paid.id);
                            return Err(HandlerError::from(wait));
                        }
                        fx.emit("tally", &paid.id, Told { id: paid.id.clone(), cents: 1, sum: 0 });
                        Ok(())
                    })
                    .emits::<Told>("tally");
                Service::new("patient").owns("tally").folding(wait)
            }

            pub const VERSION: &str = $version;
        }
    };
}

shelf!(first, ("shelf.filled"), ("shelf.fill"), "1.0.0");
shelf!(minor, ("shelf.filled", version = "1.1.0"), ("shelf.fill"), "1.1.0");
shelf!(demanding, ("shelf.filled"), ("shelf.fill"), "1.0.0", count);
shelf!(demanding_minor, ("shelf.filled", version = "1.1.0"), ("shelf.fill"), "1.1.0", count);
shelf!(major, ("shelf.filled", version = "2.0.0"), ("shelf.fill"), "2.0.0", count);
shelf!(renamed, ("shelf.stocked", was = "shelf.filled"), ("shelf.stock", was = "shelf.fill"), "1.0.0");
shelf!(other, ("shelf.stocked"), ("shelf.stock"), "1.0.0");
shelf!(adopted, ("ShelfFilled", adopted), ("FillShelf", adopted), "1.0.0");

pub fn counted(mut data: serde_json::Value) -> serde_json::Value {
    data["count"] = 7.into();
    data
}

/// A log in which the first program has filled `a` and `b`.
pub fn first_log() -> Bench {
    let mut bench = Bench::new(vec![first::service(), first::counts()]);
    bench.ask("f1", first::fill("a")).unwrap();
    bench.ask("f2", first::fill("b")).unwrap();
    bench
}
