//! What a user stumbles over when a trait is missing.

use factum_core::{
    decider::Decider,
    envelope::Recorded,
    reaction::Effects,
    service::Service,
    view::Rows,
};
use factum_macros::{Command, Event, Row};

struct Plain;

#[derive(Event)]
#[event("order.created")]
struct OrderCreated {
    order_id: String,
}

#[derive(Command)]
#[command("order.create")]
struct CreateOrder {
    order_id: String,
}

#[derive(Clone, Row)]
#[row("orders")]
struct OrderRow {
    #[key]
    id: String,
}

fn no_event(_: &Recorded<Plain>, _: &mut Effects) {}

fn a_command_is_no_event(_: &Recorded<CreateOrder>, _: &mut Effects) {}

fn no_row(_: &mut Rows<Plain>, _: &Recorded<OrderCreated>) {}

fn counts(_: &Recorded<OrderCreated>, _: &mut Effects) -> u32 {
    7
}

fn sends(event: &Recorded<OrderCreated>, fx: &mut Effects) {
    fx.send(OrderCreated { order_id: event.order_id.clone() });
}

#[derive(Default)]
struct Order;

impl Decider for Order {
    const CATEGORY: &'static str = "order";
    type Id = String;
    type Command = CreateOrder;
    type Event = OrderCreated;
    type Rejection = Plain;

    fn address(command: &CreateOrder, _: &factum_core::envelope::Envelope) -> String {
        command.order_id.clone()
    }

    fn decide(
        &self,
        _: &String,
        _: CreateOrder,
        _: &factum_core::decider::Context,
    ) -> Result<Vec<OrderCreated>, Plain> {
        Err(Plain)
    }

    fn evolve(&mut self, _: &OrderCreated) {}
}

fn main() {
    let _ = Service::new("order")
        .decider::<Plain>()
        .react("no-event", no_event)
        .react("no-event-either", a_command_is_no_event)
        .react("counts", counts)
        .view(1, no_row);
}
