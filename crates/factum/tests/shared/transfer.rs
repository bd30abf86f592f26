//! A shop with a process: its goods are reserved at the depot, then handed over, which is the pivot. Version 2 has a check
//! between. Nobody answers but the tests, by `depot.say`.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use factum::{
    prelude::*,
    saga::{Moves, Saga},
    sagas::Shown,
};
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($derive:ident $name:ident $attribute:ident $type_name:literal;)+) => {$(
        #[derive($derive)]
        #[$attribute($type_name)]
        struct $name { order: String }
    )+};
}

words! {
    Command Reserve command "depot.reserve";
    Command Check command "depot.check";
    Command Hand command "depot.hand";
    Command Release command "depot.release";
    Event Reserved event "depot.reserved";
    Event Checked event "depot.checked";
    Event Handed event "depot.handed";
    Event Refused event "depot.refused";
    Event Released event "depot.released";
    Command Place command "shop.place";
    Command Ship command "shop.ship";
    Event Placed event "shop.placed";
    Event Shipped event "shop.shipped";
}

/// Makes the depot say something.
#[derive(Command)]
#[command("depot.say")]
struct Say {
    order: String,
    what: String,
}

#[derive(Command)]
enum DepotCommand {
    Reserve(Reserve),
    Check(Check),
    Hand(Hand),
    Release(Release),
    Say(Say),
}

#[derive(Event)]
enum DepotEvent {
    Reserved(Reserved),
    Checked(Checked),
    Handed(Handed),
    Refused(Refused),
    Released(Released),
}

#[derive(Default)]
struct Depot;

impl Decider for Depot {
    const CATEGORY: &'static str = "depot";
    type Id = String;
    type Command = DepotCommand;
    type Event = DepotEvent;
    type Rejection = Never;

    fn address(command: &DepotCommand, _: &Envelope) -> String {
        match command {
            DepotCommand::Reserve(Reserve { order })
            | DepotCommand::Check(Check { order })
            | DepotCommand::Hand(Hand { order })
            | DepotCommand::Release(Release { order })
            | DepotCommand::Say(Say { order, .. }) => order.clone(),
        }
    }

    fn decide(&self, order: &String, command: DepotCommand, _: &Context) -> Result<Vec<DepotEvent>, Never> {
        let (order, DepotCommand::Say(say)) = (order.clone(), command) else { return Ok(Vec::new()) };
        Ok(vec![match say.what.as_str() {
            "reserved" => DepotEvent::Reserved(Reserved { order }),
            "checked" => DepotEvent::Checked(Checked { order }),
            "handed" => DepotEvent::Handed(Handed { order }),
            "refused" => DepotEvent::Refused(Refused { order }),
            _ => DepotEvent::Released(Released { order }),
        }])
    }

    fn evolve(&mut self, _: &DepotEvent) {}
}

#[derive(Command)]
enum ShopCommand {
    Place(Place),
    Ship(Ship),
}

#[derive(Event)]
enum ShopEvent {
    Placed(Placed),
    Shipped(Shipped),
}

#[derive(Default)]
struct Shop;

impl Decider for Shop {
    const CATEGORY: &'static str = "shop";
    type Id = String;
    type Command = ShopCommand;
    type Event = ShopEvent;
    type Rejection = Never;

    fn address(command: &ShopCommand, _: &Envelope) -> String {
        match command {
            ShopCommand::Place(Place { order }) | ShopCommand::Ship(Ship { order }) => order.clone(),
        }
    }

    fn decide(&self, order: &String, command: ShopCommand, _: &Context) -> Result<Vec<ShopEvent>, Never> {
        let order = order.clone();
        Ok(vec![match command {
            ShopCommand::Place(_) => ShopEvent::Placed(Placed { order }),
            ShopCommand::Ship(_) => ShopEvent::Shipped(Shipped { order }),
        }])
    }

    fn evolve(&mut self, _: &ShopEvent) {}
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Facts {
    order: String,
}

fn transfer(version: u32) -> Saga<Facts> {
    let saga = Saga::new("transfer", version).key("order");
    let saga = saga.start::<Placed>(|event| Facts { order: event.order.clone() }).step("reserve", |step| {
        step.send(|facts: &Facts| Reserve { order: facts.order.clone() })
            .done::<Reserved>()
            .undo::<Release, Released>(|facts| Release { order: facts.order.clone() })
    });
    let check = |saga: Saga<Facts>| {
        saga.step("check", |step| {
            let step = step.send(|facts: &Facts| Check { order: facts.order.clone() }).done::<Checked>();
            step.nothing_to_undo()
        })
    };
    let saga = if version == 1 { saga } else { check(saga) };
    saga.pivot("ship", |step| step.own(|facts: &Facts| Ship { order: facts.order.clone() })).step("hand", |step| {
        step.send(|facts: &Facts| Hand { order: facts.order.clone() })
            .done::<Handed>()
            .refused::<Refused>(|_| "the box\nis \u{1b}[31mbroken".to_owned())
    })
}

/// The services with these versions of the process; instances of version 1 that are not past the check can be moved.
pub fn services(versions: &[u32]) -> Vec<Service> {
    let table = |version: &u32| match version {
        1 => transfer(1),
        _ => transfer(*version).moves_from(1, |moves: Moves| moves),
    };
    let shop = versions.iter().map(table).fold(Service::new("shop").decider::<Shop>(), Service::saga);
    vec![shop, Service::new("depot").decider::<Depot>()]
}

/// Begins a process.
pub async fn place(app: &App, order: &str) {
    app.execute(Place { order: order.to_owned() }).await.unwrap();
    app.rest().await.unwrap();
}

/// The depot's answer.
pub async fn say(app: &App, order: &str, what: &str) {
    app.execute(Say { order: order.to_owned(), what: what.to_owned() }).await.unwrap();
    app.rest().await.unwrap();
}

/// A process that needs a person: a step behind its pivot was refused.
pub async fn refused(app: &App, order: &str) {
    place(app, order).await;
    say(app, order, "reserved").await;
    say(app, order, "refused").await;
}

/// The process of an order.
pub async fn shown(app: &App, order: &str) -> Shown {
    app.sagas().show(&format!("transfer-{order}")).await.unwrap().unwrap()
}
