//! Parcels: handed to the carrier, delivered when their time has come; a delay moves that time, a return ends it.

use factum_core::{
    call::{Call, CallSpec, CallTo, exp},
    decider::{Context, Decider},
    envelope::{Envelope, Recorded},
    error::HandlerError,
    reaction::{Effects, Reaction},
    service::{Durations, Service},
    timer::TimerTo,
};
use factum_macros::{Command, Event, Rejection};
use factum_testing::sim::{Peer, poison};
use serde::{Deserialize, Serialize};

use super::contracts::*;

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    None,
    Opened,
    Under,
    Over,
}

#[derive(Default)]
struct Parcel {
    state: State,
}

#[derive(Command)]
enum ParcelCommand {
    Dispatch(DispatchParcel),
    Record(RecordParcel),
    Delay(DelayParcel),
    Return(ReturnParcel),
    Deliver(DeliverParcel),
}

#[derive(Event)]
enum ParcelEvent {
    Opened(ParcelOpened),
    Dispatched(ParcelDispatched),
    Delayed(ParcelDelayed),
    Returned(ParcelReturned),
    Delivered(ParcelDelivered),
}

#[derive(Debug, Rejection)]
enum ParcelRejection {
    #[rejection("not_under_way", "parcel {id} is not under way")]
    NotUnderWay { id: String },
}

impl Decider for Parcel {
    const CATEGORY: &'static str = "parcel";
    type Id = String;
    type Command = ParcelCommand;
    type Event = ParcelEvent;
    type Rejection = ParcelRejection;

    fn address(command: &ParcelCommand, _: &Envelope) -> String {
        match command {
            ParcelCommand::Dispatch(c) => c.order_id.clone(),
            ParcelCommand::Record(c) => c.order_id.clone(),
            ParcelCommand::Delay(c) => c.order_id.clone(),
            ParcelCommand::Return(c) => c.order_id.clone(),
            ParcelCommand::Deliver(c) => c.order_id.clone(),
        }
    }

    fn decide(&self, id: &String, command: ParcelCommand, _: &Context) -> Result<Vec<ParcelEvent>, ParcelRejection> {
        use ParcelEvent as E;
        poison::strike("parcels.decide", id);
        let order_id = id.clone();
        Ok(match (command, self.state) {
            (ParcelCommand::Dispatch(_), State::None) => vec![E::Opened(ParcelOpened { order_id })],
            (ParcelCommand::Record(_), State::Opened) => vec![E::Dispatched(ParcelDispatched { order_id })],
            (ParcelCommand::Delay(_), State::Under) => vec![E::Delayed(ParcelDelayed { order_id })],
            (ParcelCommand::Return(_), State::Under) => vec![E::Returned(ParcelReturned { order_id })],
            (ParcelCommand::Deliver(_), State::Under) => vec![E::Delivered(ParcelDelivered { order_id })],
            (ParcelCommand::Dispatch(_) | ParcelCommand::Record(_), _) => vec![],
            _ => return Err(ParcelRejection::NotUnderWay { id: order_id }),
        })
    }

    fn evolve(&mut self, event: &ParcelEvent) {
        if let ParcelEvent::Opened(opened) = event {
            poison::strike("parcels.evolve", &opened.order_id);
        }
        self.state = match event {
            ParcelEvent::Opened(_) => State::Opened,
            ParcelEvent::Dispatched(_) | ParcelEvent::Delayed(_) => State::Under,
            ParcelEvent::Returned(_) | ParcelEvent::Delivered(_) => State::Over,
        };
    }
}

const CARRIER: CallTo<Request, RecordParcel> = CallTo::new("carrier");
const DELIVER: TimerTo<DeliverParcel> = TimerTo::new("deliver");

#[derive(Serialize, Deserialize)]
struct Request {
    order_id: String,
}

fn ask_carrier(event: &Recorded<'_, Opened>, fx: &mut Effects) -> Result<(), HandlerError> {
    let Opened::Parcel(opened) = &event.data;
    poison::fails("parcels.ask", &opened.order_id)?;
    fx.call(CARRIER, Request { order_id: opened.order_id.clone() });
    Ok(())
}

#[derive(Event)]
enum Opened {
    Parcel(ParcelOpened),
}

fn track(event: &Recorded<'_, ParcelEvent>, fx: &mut Effects) {
    let deliver = |order_id: &String| DeliverParcel { order_id: order_id.clone() };
    match &event.data {
        ParcelEvent::Dispatched(e) => fx.after(DELIVER, 2.days(), deliver(&e.order_id)),
        ParcelEvent::Delayed(e) => fx.after(DELIVER, 3.days(), deliver(&e.order_id)),
        ParcelEvent::Returned(_) => fx.cancel(DELIVER),
        ParcelEvent::Opened(_) | ParcelEvent::Delivered(_) => {}
    }
}

fn carrier(peer: Peer) -> CallSpec<Request, RecordParcel> {
    let ask = move |call: Call<Request>| {
        let peer = peer.clone();
        async move {
            let told = peer.must(&format!("dispatch {}", call.request.order_id), &call.idempotency_key).await;
            let done = || RecordParcel { order_id: call.request.order_id.clone() };
            told.answer(done, done)
        }
    };
    CallSpec::new(CARRIER, ask, |request: Request, _| RecordParcel { order_id: request.order_id })
        .retry(exp(500.ms(), 2.0).max(100_000))
        .timeout(8.secs())
}

pub fn service(peer: Peer) -> Service {
    Service::new("parcels")
        .decider::<Parcel>()
        .reaction(Reaction::new("ask-carrier", ask_carrier).calls(CARRIER))
        .reaction(Reaction::new("track", track).sets(DELIVER))
        .call(carrier(peer))
}
