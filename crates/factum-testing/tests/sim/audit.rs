//! An audit: a note of each order placed and closed. Nothing depends on it, so that an operator may discard its letters.

use factum_core::{
    decider::{Context, Decider},
    envelope::{Envelope, Recorded},
    error::HandlerError,
    reaction::Effects,
    rejection::Never,
    service::Service,
};
use factum_macros::{Command, Event};
use factum_testing::sim::{Violation, World, poison};

use super::contracts::*;

#[derive(Command)]
#[command("audit.write")]
struct WriteNote {
    order_id: String,
    about: String,
}

#[derive(Event)]
#[event("audit.written")]
pub struct NoteWritten {
    order_id: String,
    about: String,
}

#[derive(Default)]
struct Audit;

impl Decider for Audit {
    const CATEGORY: &'static str = "audit";
    type Id = String;
    type Command = WriteNote;
    type Event = NoteWritten;
    type Rejection = Never;

    fn address(command: &WriteNote, _: &Envelope) -> String {
        command.order_id.clone()
    }

    fn decide(&self, _: &String, command: WriteNote, _: &Context) -> Result<Vec<NoteWritten>, Never> {
        Ok(vec![NoteWritten { order_id: command.order_id, about: command.about }])
    }

    fn evolve(&mut self, _: &NoteWritten) {}
}

#[derive(Event)]
enum Audited {
    Placed(OrderPlaced),
    Confirmed(OrderConfirmed),
    Closed(OrderClosed),
}

fn note(event: &Recorded<'_, Audited>, fx: &mut Effects) -> Result<(), HandlerError> {
    let (order_id, about) = match &event.data {
        Audited::Placed(e) => (&e.order_id, "placed"),
        Audited::Confirmed(e) => (&e.order_id, "confirmed"),
        Audited::Closed(e) => (&e.order_id, "closed"),
    };
    poison::fails("audit.note", format!("{order_id} {about}"))?;
    fx.send(WriteNote { order_id: order_id.clone(), about: about.to_owned() });
    Ok(())
}

pub fn service() -> Service {
    Service::new("audit").decider::<Audit>().react("note", note)
}

/// What was not discarded was written, once, and in its order.
pub fn written_in_order(world: &World<'_>) -> Result<(), Violation> {
    let written: Vec<NoteWritten> = world.events();
    for order in world.events::<OrderPlaced>() {
        let of = written.iter().filter(|note| note.order_id == order.order_id).map(|note| note.about.as_str());
        let mut left = ["placed", "confirmed", "closed"].iter();
        for about in of {
            if !left.any(|next| *next == about) {
                return Violation::found("I2", format!("{}: `{about}` was written late or twice", order.order_id));
            }
        }
    }
    Ok(())
}
