//! Payments: the provider is asked for each step, and a void covers an authorisation that is still on its way.

use factum_core::{
    call::{Answer, Call, CallSpec, CallTo, exp},
    decider::{Context, Decider},
    envelope::{Envelope, Recorded},
    reaction::{Effects, Reaction},
    service::{Durations, Service},
};
use factum_macros::{Command, Event, Rejection};
use factum_testing::sim::Peer;
use serde::{Deserialize, Serialize};

use super::contracts::*;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    #[default]
    None,
    Opened,
    Authorized,
    Failed,
    Capturing,
    Captured,
    Voiding,
    Voided,
}

#[derive(Default)]
struct Payment {
    state: State,
}

#[derive(Command)]
enum PaymentCommand {
    Authorize(AuthorizePayment),
    Capture(CapturePayment),
    Void(VoidPayment),
    Record(RecordPayment),
}

#[derive(Event)]
enum PaymentEvent {
    Opened(PaymentOpened),
    Authorized(PaymentAuthorized),
    Failed(PaymentFailed),
    CaptureOpened(CaptureOpened),
    Captured(PaymentCaptured),
    VoidOpened(VoidOpened),
    Voided(PaymentVoided),
}

#[derive(Debug, Rejection)]
enum PaymentRejection {
    #[rejection("already_voided", "payment {id} was voided before")]
    AlreadyVoided { id: String },
    #[rejection("not_authorized", "payment {id} is {state}")]
    NotAuthorized { id: String, state: String },
}

impl Decider for Payment {
    const CATEGORY: &'static str = "payment";
    type Id = String;
    type Command = PaymentCommand;
    type Event = PaymentEvent;
    type Rejection = PaymentRejection;

    fn address(command: &PaymentCommand, _: &Envelope) -> String {
        match command {
            PaymentCommand::Authorize(c) => c.order_id.clone(),
            PaymentCommand::Capture(c) => c.order_id.clone(),
            PaymentCommand::Void(c) => c.order_id.clone(),
            PaymentCommand::Record(c) => c.order_id.clone(),
        }
    }

    fn decide(&self, id: &String, command: PaymentCommand, _: &Context) -> Result<Vec<PaymentEvent>, PaymentRejection> {
        use PaymentEvent as E;
        let order_id = id.clone();
        Ok(match (command, self.state) {
            (PaymentCommand::Authorize(_), State::None) => vec![E::Opened(PaymentOpened { order_id })],
            (PaymentCommand::Authorize(_), State::Voided) => {
                return Err(PaymentRejection::AlreadyVoided { id: order_id });
            }
            (PaymentCommand::Capture(_), State::Authorized) => vec![E::CaptureOpened(CaptureOpened { order_id })],
            (PaymentCommand::Capture(_), State::Capturing | State::Captured) => vec![],
            (PaymentCommand::Capture(_), state) => {
                return Err(PaymentRejection::NotAuthorized { id: order_id, state: format!("{state:?}") });
            }
            (PaymentCommand::Void(_), State::None | State::Failed) => vec![E::Voided(PaymentVoided { order_id })],
            (PaymentCommand::Void(_), State::Opened | State::Authorized) => {
                vec![E::VoidOpened(VoidOpened { order_id })]
            }
            (PaymentCommand::Record(c), state) => match (c.act, c.outcome, state) {
                (Act::Authorize, Outcome::Done, State::Opened) => vec![E::Authorized(PaymentAuthorized { order_id })],
                (Act::Authorize, Outcome::Refused, State::Opened) => vec![E::Failed(PaymentFailed { order_id })],
                // It may have happened after all.
                (Act::Authorize, Outcome::Unknown, State::Opened) => vec![
                    E::Failed(PaymentFailed { order_id: order_id.clone() }),
                    E::VoidOpened(VoidOpened { order_id }),
                ],
                (Act::Capture, _, State::Capturing) => vec![E::Captured(PaymentCaptured { order_id })],
                (Act::Void, _, State::Voiding) => vec![E::Voided(PaymentVoided { order_id })],
                _ => vec![],
            },
            (PaymentCommand::Authorize(_) | PaymentCommand::Void(_), _) => vec![],
        })
    }

    fn evolve(&mut self, event: &PaymentEvent) {
        self.state = match event {
            PaymentEvent::Opened(_) => State::Opened,
            PaymentEvent::Authorized(_) => State::Authorized,
            PaymentEvent::Failed(_) => State::Failed,
            PaymentEvent::CaptureOpened(_) => State::Capturing,
            PaymentEvent::Captured(_) => State::Captured,
            PaymentEvent::VoidOpened(_) => State::Voiding,
            PaymentEvent::Voided(_) => State::Voided,
        };
    }
}

#[derive(Event)]
enum Asked {
    Authorization(PaymentOpened),
    Capture(CaptureOpened),
    Void(VoidOpened),
}

const AUTHORIZE: CallTo<Request, RecordPayment> = CallTo::new("authorize");
const SETTLE: CallTo<Request, RecordPayment> = CallTo::new("settle");

#[derive(Clone, Serialize, Deserialize)]
struct Request {
    order_id: String,
    act: Act,
}

fn ask_provider(event: &Recorded<'_, Asked>, fx: &mut Effects) {
    let (call, act, order_id) = match &event.data {
        Asked::Authorization(e) => (AUTHORIZE, Act::Authorize, &e.order_id),
        Asked::Capture(e) => (SETTLE, Act::Capture, &e.order_id),
        Asked::Void(e) => (SETTLE, Act::Void, &e.order_id),
    };
    fx.call(call, Request { order_id: order_id.clone(), act });
}

fn record(request: Request, outcome: Outcome) -> RecordPayment {
    RecordPayment { order_id: request.order_id, act: request.act, outcome }
}

fn answer(told: factum_testing::sim::Told, request: Request) -> Answer<RecordPayment> {
    told.answer(|| record(request.clone(), Outcome::Done), || record(request.clone(), Outcome::Refused))
}

/// An authorisation may be refused, is looked up when its outcome is unknown, and is given up after some attempts.
fn authorize(peer: Peer) -> CallSpec<Request, RecordPayment> {
    let asked = peer.clone();
    let ask = move |call: Call<Request>| {
        let peer = asked.clone();
        async move {
            let operation = format!("authorize {}", call.request.order_id);
            answer(peer.ask(&operation, &call.idempotency_key).await, call.request)
        }
    };
    let look_up = move |call: Call<Request>| {
        let peer = peer.clone();
        async move { answer(peer.look_up(&call.idempotency_key).await, call.request) }
    };
    CallSpec::new(AUTHORIZE, ask, |request, _| record(request, Outcome::Unknown))
        .query(look_up)
        .retry(exp(200.ms(), 2.0).max(4))
        .timeout(5.secs())
        .window(4)
}

/// Captures and voids are asked for until they are done.
fn settle(peer: Peer) -> CallSpec<Request, RecordPayment> {
    let ask = move |call: Call<Request>| {
        let peer = peer.clone();
        async move {
            let act = if call.request.act == Act::Capture { "capture" } else { "void" };
            let operation = format!("{act} {}", call.request.order_id);
            answer(peer.must(&operation, &call.idempotency_key).await, call.request)
        }
    };
    CallSpec::new(SETTLE, ask, |request, _| record(request, Outcome::Unknown))
        .retry(exp(200.ms(), 2.0).max(100_000))
        .timeout(5.secs())
        .window(2)
}

pub fn service(peer: Peer) -> Service {
    Service::new("payments")
        .decider::<Payment>()
        .reaction(Reaction::new("ask-provider", ask_provider).calls(AUTHORIZE).calls(SETTLE))
        .call(authorize(peer.clone().not_idempotent()))
        .call(settle(peer))
}
