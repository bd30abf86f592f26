//! Orders: placed, amended and cancelled by customers, and fulfilled by a saga whose pivot is the confirmation.

use factum_core::{
    call::{Answer, Call, CallSpec, CallTo, exp},
    decider::{Context, Decider},
    envelope::{Envelope, Recorded},
    error::HandlerError,
    reaction::{Effects, Reaction},
    saga::Saga,
    service::{Durations, Service},
    timer::TimerTo,
    view::Rows,
};
use factum_macros::{Command, Event, Rejection, Row};
use factum_testing::sim::{Peer, Told, poison};
use serde::{Deserialize, Serialize};

use super::contracts::*;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    #[default]
    None,
    Open,
    Cancelled,
    Failed,
    Confirmed,
    Closed,
}

#[derive(Default)]
struct Order {
    state: State,
    customer: String,
}

#[derive(Command)]
enum OrderCommand {
    Place(PlaceOrder),
    Amend(AmendOrder),
    Cancel(CancelOrder),
    Confirm(ConfirmOrder),
    Fail(FailOrder),
    Nudge(NudgeOrder),
    Close(CloseOrder),
}

#[derive(Event)]
enum OrderEvent {
    Placed(OrderPlaced),
    Amended(OrderAmended),
    Cancelled(OrderCancelled),
    Confirmed(OrderConfirmed),
    Failed(OrderFailed),
    Nudged(OrderNudged),
    Closed(OrderClosed),
}

#[derive(Debug, Rejection)]
enum OrderRejection {
    #[rejection("not_now", "order {id} is {state}")]
    NotNow { id: String, state: String },
}

impl Decider for Order {
    const CATEGORY: &'static str = "order";
    type Id = String;
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Rejection = OrderRejection;

    fn address(command: &OrderCommand, _: &Envelope) -> String {
        match command {
            OrderCommand::Place(c) => c.order_id.clone(),
            OrderCommand::Amend(c) => c.order_id.clone(),
            OrderCommand::Cancel(c) => c.order_id.clone(),
            OrderCommand::Confirm(c) => c.order_id.clone(),
            OrderCommand::Fail(c) => c.order_id.clone(),
            OrderCommand::Nudge(c) => c.order_id.clone(),
            OrderCommand::Close(c) => c.order_id.clone(),
        }
    }

    fn decide(&self, id: &String, command: OrderCommand, _: &Context) -> Result<Vec<OrderEvent>, OrderRejection> {
        use OrderEvent as E;
        poison::strike("orders.decide", id);
        let order_id = id.clone();
        Ok(match (command, self.state) {
            (OrderCommand::Place(c), State::None) => {
                let PlaceOrder { customer, sku, quantity, .. } = c;
                vec![E::Placed(OrderPlaced { order_id, customer, sku, quantity })]
            }
            // Nothing new is no event.
            (OrderCommand::Amend(c), State::Open | State::Confirmed) if c.note.ends_with('7') => vec![],
            (OrderCommand::Amend(c), State::Open) => vec![E::Amended(OrderAmended { order_id, note: c.note })],
            (OrderCommand::Cancel(_), State::Open) => vec![E::Cancelled(OrderCancelled { order_id })],
            (OrderCommand::Cancel(_), State::Cancelled) => vec![],
            (OrderCommand::Confirm(_), State::Open) => vec![E::Confirmed(OrderConfirmed { order_id })],
            (OrderCommand::Fail(c), State::Open) => vec![E::Failed(OrderFailed { order_id, reason: c.reason })],
            (OrderCommand::Nudge(_), State::Open) => vec![E::Nudged(OrderNudged { order_id })],
            (OrderCommand::Close(_), State::Confirmed) => {
                vec![E::Closed(OrderClosed { order_id, customer: self.customer.clone() })]
            }
            (_, state) => return Err(OrderRejection::NotNow { id: order_id, state: format!("{state:?}") }),
        })
    }

    fn evolve(&mut self, event: &OrderEvent) {
        self.state = match event {
            OrderEvent::Placed(e) => {
                self.customer.clone_from(&e.customer);
                State::Open
            }
            OrderEvent::Cancelled(_) => State::Cancelled,
            OrderEvent::Confirmed(_) => State::Confirmed,
            OrderEvent::Failed(_) => State::Failed,
            OrderEvent::Closed(_) => State::Closed,
            OrderEvent::Amended(_) | OrderEvent::Nudged(_) => self.state,
        };
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Facts {
    order_id: String,
    sku: String,
    quantity: i64,
}

/// What the insurer is asked.
#[derive(Clone, Serialize, Deserialize)]
struct Insure {
    order_id: String,
}

/// What it answers.
#[derive(Serialize, Deserialize)]
struct Insured {
    order_id: String,
}

const INSURE: CallTo<Insure, Insured> = CallTo::new("insure");
const DROP_INSURANCE: CallTo<Insure, Insured> = CallTo::new("drop-insurance");

/// It does twice what it is asked twice, so that an attempt in the dark is looked up.
fn insure(peer: Peer) -> CallSpec<Insure, Insured> {
    let (asked, known) = (peer.clone().not_idempotent(), peer);
    let ask = move |call: Call<Insure>| {
        let peer = asked.clone();
        async move {
            let told = peer.ask(&format!("insure {}", call.request.order_id), &call.idempotency_key).await;
            answer(told, call.request)
        }
    };
    let look_up = move |call: Call<Insure>| {
        let peer = known.clone();
        async move { answer(peer.look_up(&call.idempotency_key).await, call.request) }
    };
    CallSpec::of_steps(INSURE, ask).query(look_up).retry(exp(200.ms(), 2.0).max(4)).timeout(5.secs()).window(4)
}

fn drop_insurance(peer: Peer) -> CallSpec<Insure, Insured> {
    let ask = move |call: Call<Insure>| {
        let peer = peer.clone();
        async move {
            let told = peer.must(&format!("drop insurance {}", call.request.order_id), &call.idempotency_key).await;
            answer(told, call.request)
        }
    };
    CallSpec::of_steps(DROP_INSURANCE, ask).retry(exp(200.ms(), 2.0)).timeout(5.secs())
}

fn answer(told: Told, request: Insure) -> Answer<Insured> {
    let insured = || Insured { order_id: request.order_id.clone() };
    told.answer(insured, insured)
}

/// The second version insures what it has reserved.
fn fulfilment(version: u32) -> Saga<Facts> {
    let id = |facts: &Facts| facts.order_id.clone();
    let saga = Saga::new("fulfilment", version)
        .key("orderId")
        .start(|placed: &OrderPlaced| {
            poison::strike("fulfilment.start", &placed.order_id);
            Facts { order_id: placed.order_id.clone(), sku: placed.sku.clone(), quantity: placed.quantity }
        })
        .step("reserve", |step| {
            step.send(|facts: &Facts| ReserveStock {
                order_id: facts.order_id.clone(),
                sku: facts.sku.clone(),
                quantity: facts.quantity,
            })
            .done::<StockReserved>()
            .undo::<ReleaseStock, StockReleased>(|facts| ReleaseStock {
                order_id: facts.order_id.clone(),
                sku: facts.sku.clone(),
            })
            .within(30.secs())
        });
    let of = |facts: &Facts| Insure { order_id: facts.order_id.clone() };
    let insured = |saga: Saga<Facts>| {
        saga.step("insure", |step| {
            step.call(INSURE, of).refused(|_| "uninsurable".to_owned()).undo_call(DROP_INSURANCE, of).within(60.secs())
        })
    };
    let saga = match version {
        1 => saga,
        _ => insured(saga).moves_from(1, |moves| moves.skip("insure")),
    };
    saga.step("pay", |step| {
        step.send(move |facts: &Facts| AuthorizePayment { order_id: id(facts) })
            .done::<PaymentAuthorized>()
            .refused::<PaymentFailed>(|_| "declined".to_owned())
            .undo::<VoidPayment, PaymentVoided>(move |facts| VoidPayment { order_id: id(facts) })
            .within(60.secs())
    })
    .pivot("confirm", |step| {
        step.own(move |facts: &Facts| ConfirmOrder { order_id: id(facts) })
            .send(move |facts: &Facts| CapturePayment { order_id: id(facts) })
            .done::<PaymentCaptured>()
            .within(60.secs())
    })
    .step("ship", |step| {
        step.send(move |facts: &Facts| DispatchParcel { order_id: id(facts) })
            .done::<ParcelDispatched>()
            .within(60.secs())
    })
    .abort::<OrderCancelled>(|_| "cancelled".to_owned())
    .failed(move |facts, failure| Some(FailOrder { order_id: facts.order_id.clone(), reason: failure.reason.clone() }))
}

const NUDGE: TimerTo<NudgeOrder> = TimerTo::new("nudge");

/// A customer who waits long is told so; each change begins the wait anew, each end ends it.
fn remind(event: &Recorded<'_, OrderEvent>, fx: &mut Effects) {
    let nudge = |order_id: &String| NudgeOrder { order_id: order_id.clone() };
    poison::strike("orders.remind", &event.envelope().id);
    match &event.data {
        OrderEvent::Placed(e) => fx.after(NUDGE, 1.hours(), nudge(&e.order_id)),
        OrderEvent::Amended(e) => fx.after(NUDGE, 2.hours(), nudge(&e.order_id)),
        OrderEvent::Cancelled(_) | OrderEvent::Confirmed(_) | OrderEvent::Failed(_) => fx.cancel(NUDGE),
        OrderEvent::Nudged(_) | OrderEvent::Closed(_) => {}
    }
}

#[derive(Event)]
enum Arrived {
    Parcel(ParcelDelivered),
}

fn close(event: &Recorded<'_, Arrived>, fx: &mut Effects) -> Result<(), HandlerError> {
    let Arrived::Parcel(delivered) = &event.data;
    poison::fails("orders.close", &delivered.order_id)?;
    fx.send(CloseOrder { order_id: delivered.order_id.clone() });
    Ok(())
}

#[derive(Clone, Debug, Row)]
#[row("orders")]
struct OrderRow {
    #[key]
    order_id: String,
    #[index]
    customer: String,
    #[index]
    state: String,
    captured: bool,
    parcel: String,
    changes: i64,
}

#[derive(Event)]
enum OfOrders {
    Placed(OrderPlaced),
    Amended(OrderAmended),
    Cancelled(OrderCancelled),
    Confirmed(OrderConfirmed),
    Failed(OrderFailed),
    Nudged(OrderNudged),
    Closed(OrderClosed),
    Captured(PaymentCaptured),
    Dispatched(ParcelDispatched),
    Delayed(ParcelDelayed),
    Returned(ParcelReturned),
    Delivered(ParcelDelivered),
}

/// The order's own events make the row; payment and parcel join it.
fn orders(rows: &mut Rows<'_, OrderRow>, event: &Recorded<'_, OfOrders>) {
    use OfOrders as E;
    poison::strike("orders.view", &event.envelope().id);
    let mut state = |id: &String, state: &str| {
        rows.update(id, |row| {
            row.state = state.to_owned();
            row.changes += 1;
        });
    };
    match &event.data {
        E::Placed(e) => rows.put(OrderRow {
            order_id: e.order_id.clone(),
            customer: e.customer.clone(),
            state: "open".to_owned(),
            captured: false,
            parcel: String::new(),
            changes: 0,
        }),
        E::Amended(e) => state(&e.order_id, "open"),
        E::Cancelled(e) => state(&e.order_id, "cancelled"),
        E::Confirmed(e) => state(&e.order_id, "confirmed"),
        E::Failed(e) => state(&e.order_id, "failed"),
        E::Nudged(e) => state(&e.order_id, "late"),
        E::Closed(e) => state(&e.order_id, "closed"),
        E::Captured(e) => _ = rows.update(&e.order_id, |row| row.captured = true),
        E::Dispatched(e) => _ = rows.update(&e.order_id, |row| row.parcel.push_str("dispatched ")),
        E::Delayed(e) => _ = rows.update(&e.order_id, |row| row.parcel.push_str("delayed ")),
        E::Returned(e) => _ = rows.update(&e.order_id, |row| row.parcel.push_str("returned ")),
        E::Delivered(e) => _ = rows.update(&e.order_id, |row| row.parcel.push_str("delivered ")),
    }
}

pub fn service(version: u32, peer: Peer) -> Service {
    let sagas = (1..=version).map(fulfilment);
    sagas
        .fold(Service::new("orders"), Service::saga)
        .call(insure(peer.clone()))
        .call(drop_insurance(peer))
        .decider::<Order>()
        .reaction(Reaction::new("remind", remind).sets(NUDGE))
        .react("close", close)
        .view(version, orders)
}
