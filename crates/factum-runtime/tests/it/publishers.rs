//! Who publishes an event and who may read it: said at the start.

use factum_core::{
    decider::{Context, Decider},
    envelope::{Envelope, Recorded},
    payload::Personal,
    reaction::{Effects, Folding, Reaction},
    rejection::Never,
    saga::Saga,
    service::Service,
    view::Rows,
};
use factum_macros::{Command, Event, Row};
use factum_runtime::{publishers::shown, registry::Registry};
use serde::{Deserialize, Serialize};

#[derive(Event)]
#[event("guest.arrived")]
struct Arrived {
    guest: String,
    #[personal(subject = guest)]
    name: String,
}

/// Nobody else's business.
#[derive(Event)]
#[event("guest.noted", own)]
struct Noted {
    guest: String,
}

#[derive(Event)]
enum GuestEvent {
    Arrived(Arrived),
    Noted(Noted),
}

#[derive(Command)]
#[command("guest.arrive")]
struct Arrive {
    guest: String,
    #[personal(subject = guest)]
    name: String,
}

#[derive(Default)]
struct Guest;

impl Decider for Guest {
    const CATEGORY: &'static str = "guest";
    type Id = String;
    type Command = Arrive;
    type Event = GuestEvent;
    type Rejection = Never;

    fn address(arrive: &Arrive, _: &Envelope) -> String {
        arrive.guest.clone()
    }

    fn decide(&self, _: &String, Arrive { guest, name }: Arrive, _: &Context) -> Result<Vec<GuestEvent>, Never> {
        let noted = Noted { guest: guest.clone() };
        Ok(vec![GuestEvent::Arrived(Arrived { guest, name }), GuestEvent::Noted(noted)])
    }

    fn evolve(&mut self, _: &GuestEvent) {}
}

#[derive(Row, Clone)]
#[row("guests")]
struct GuestRow {
    #[key]
    guest: String,
}

fn desk() -> Service {
    Service::new("desk").decider::<Guest>()
}

fn other() -> Service {
    Service::new("other")
}

fn noted(_: &Recorded<'_, Noted>, _: &mut Effects) {}

fn row(rows: &mut Rows<'_, GuestRow>, event: &Recorded<'_, Noted>) {
    rows.put(GuestRow { guest: event.guest.clone() });
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Facts;

fn refused(services: Vec<Service>) -> String {
    Registry::new(services).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn an_own_event_is_read_by_its_own_service_only_whatever_reads_it() {
    let fold = || Folding::<i64>::new("count", 1).fold(|count: &mut i64, _: &Recorded<'_, Noted>| *count += 1);
    let react = || {
        Folding::<i64>::new("count", 1)
            .fold(|count: &mut i64, _: &Recorded<'_, Arrived>| *count += 1)
            .react(|_: &i64, _: &Recorded<'_, Noted>, _: &mut Effects| {})
    };
    let saga = || {
        let start = |_: &Noted| Facts;
        Saga::<Facts>::new("stay", 1).key("guest").start::<Noted>(start).step("greet", |step| {
            step.send(|_: &Facts| Arrive { guest: String::new(), name: String::new() })
                .done::<Arrived>()
                .nothing_to_undo()
        })
    };
    type With = Box<dyn Fn(Service) -> Service>;
    let with: [(&str, With); 5] = [
        ("note", Box::new(|service| service.react("note", noted))),
        ("count", Box::new(move |service| service.folding(fold()))),
        ("count", Box::new(move |service| service.folding(react()))),
        ("stay", Box::new(move |service| service.saga(saga()))),
        ("view:guests", Box::new(|service| service.view(1, row))),
    ];
    for (who, reads) in with {
        assert_eq!(refused(vec![reads(desk())]), "", "{who} in its own service");
        let problem = refused(vec![desk(), reads(other())]);
        let sentence = "reads `guest.noted`, which desk.guest declares `own`: read an event that is public";
        assert!(problem.contains(who) && problem.contains(sentence), "{who}: {problem}");
        assert_eq!(refused(vec![reads(other()), desk()]), problem, "in any order");
    }
}

/// What the reader says of it does not count.
#[test]
fn a_readers_own_declaration_opens_nothing() {
    mod theirs {
        use factum_macros::Event;

        #[derive(Event)]
        #[event("guest.noted")]
        pub struct Noted {
            #[allow(dead_code, reason = "only its type is read")]
            pub guest: String,
        }
    }
    let reads = other().react("note", |_: &Recorded<'_, theirs::Noted>, _: &mut Effects| {});
    assert!(refused(vec![desk(), reads]).contains("declares `own`"));
}

#[test]
fn an_event_has_one_publishing_service() {
    let emits = |service: Service| {
        let emits = Reaction::new("welcome", |_: &Recorded<'_, Arrived>, _: &mut Effects| {}).emits::<Noted>("welcome");
        service.owns("welcome").reaction(emits)
    };
    assert_eq!(refused(vec![emits(desk())]), "", "two handlers of one service");
    let problem = refused(vec![desk(), emits(other())]);
    assert!(problem.contains("`guest.noted` is published by desk.guest and by other.welcome"), "{problem}");
}

#[test]
fn nothing_is_ordered_by_what_tells_of_a_person() {
    let by = |field| desk().reaction(Reaction::new("greet", |_: &Recorded<'_, Arrived>, _: &mut Effects| {}).by(field));
    assert_eq!(refused(vec![by("guest")]), "");
    let problem = refused(vec![by("name")]);
    assert!(problem.contains("orders by the field `name`, which tells of a person in `guest.arrived`"), "{problem}");
}

#[test]
fn types_are_shown_with_who_makes_and_who_reads_them_and_what_is_personal() {
    let reads = other().react("hear", |_: &Recorded<'_, Arrived>, _: &mut Effects| {});
    let types = shown(&Registry::new(vec![desk(), reads]).unwrap());
    let of = |name: &str| types.iter().find(|shown| shown.type_name == name).unwrap();
    let (arrive, arrived, noted) = (of("guest.arrive"), of("guest.arrived"), of("guest.noted"));
    assert_eq!((arrive.kind, arrive.owner.as_deref()), ("command", Some("desk.guest")));
    assert_eq!((arrived.kind, arrived.own, arrived.owner.as_deref()), ("event", false, Some("desk.guest")));
    assert_eq!(arrived.readers, ["other.hear"]);
    let personal = [Personal { field: "name", subject: "guest" }];
    assert_eq!((arrived.personal, arrive.personal), (&personal[..], &personal[..]));
    assert_eq!((noted.own, noted.readers.is_empty()), (true, true));
}
