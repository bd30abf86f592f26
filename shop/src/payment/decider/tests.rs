//! What may happen to a payment, rule by rule.

use factum_testing::{
    conformance::participant,
    scenario::{Given, given, given_nothing},
};

use super::*;

fn id() -> PaymentId {
    PaymentId::from("pay-1")
}

fn order() -> OrderId {
    OrderId::from("1")
}

fn card() -> PaymentMethod {
    PaymentMethod::from("card")
}

fn authorize() -> PaymentCommand {
    PaymentCommand::Authorize(AuthorizePayment { order_id: order(), amount: pence(500), method: card() })
}

fn capture() -> PaymentCommand {
    PaymentCommand::Capture(CapturePayment { order_id: order(), payment_id: id() })
}

fn void() -> PaymentCommand {
    PaymentCommand::Void(VoidPayment { order_id: order(), reason: "undone".to_owned() })
}

fn refund(credit: Option<&str>, amount: Option<i64>) -> PaymentCommand {
    let (credit_id, amount) = (credit.map(CreditId::from), amount.map(pence));
    PaymentCommand::Refund(RefundPayment { order_id: Some(order()), credit_id, amount, reason: "returned".to_owned() })
}

fn record(act: PaymentAct, outcome: PaymentOutcome) -> PaymentCommand {
    PaymentCommand::Record(RecordPayment { payment_id: id(), act, outcome, refund_id: None })
}

fn yes() -> PaymentCommand {
    record(PaymentAct::Authorize, PaymentOutcome::Authorized { transaction_id: "t".to_owned() })
}

fn no(act: PaymentAct) -> PaymentCommand {
    record(act, PaymentOutcome::Failed { reason: "card_declined".to_owned() })
}

fn dark(act: PaymentAct) -> PaymentCommand {
    record(act, PaymentOutcome::Unknown { reason: "no answer".to_owned() })
}

fn took() -> PaymentCommand {
    record(PaymentAct::Capture, PaymentOutcome::Captured { transaction_id: "t".to_owned() })
}

fn opened() -> PaymentEvent {
    PaymentEvent::Opened(PaymentOpened {
        payment_id: id(),
        order_id: order(),
        amount: pence(500),
        method: card(),
        take: false,
    })
}

fn authorized() -> PaymentEvent {
    let (amount, method) = (pence(500), card());
    PaymentEvent::Authorized(PaymentAuthorized { payment_id: id(), order_id: order(), amount, method })
}

fn capture_opened() -> PaymentEvent {
    PaymentEvent::CaptureOpened(CaptureOpened { payment_id: id(), order_id: order(), amount: pence(500) })
}

fn captured() -> PaymentEvent {
    PaymentEvent::Captured(PaymentCaptured {
        payment_id: id(),
        order_id: order(),
        amount: pence(500),
        method: card(),
        transaction_id: "t".to_owned(),
        status: CaptureStatus::Approved,
    })
}

fn failed(reason: &str) -> PaymentEvent {
    let (payment_id, amount) = (Some(id()), Some(pence(500)));
    PaymentEvent::Failed(PaymentFailed { payment_id, order_id: order(), amount, reason: reason.to_owned() })
}

fn void_opened() -> PaymentEvent {
    PaymentEvent::VoidOpened(VoidOpened { payment_id: id(), order_id: order(), amount: pence(500) })
}

fn voided(amount: i64) -> PaymentEvent {
    PaymentEvent::Voided(PaymentVoided { payment_id: id(), order_id: order(), amount: pence(amount) })
}

fn refund_opened(number: u32, credit: Option<&str>, amount: i64) -> PaymentEvent {
    PaymentEvent::RefundOpened(RefundOpened {
        payment_id: id(),
        order_id: Some(order()),
        credit_id: credit.map(CreditId::from),
        refund_id: RefundId::from(format!("pay-1/{number}")),
        amount: pence(amount),
        reason: "returned".to_owned(),
    })
}

fn taken() -> Vec<PaymentEvent> {
    vec![opened(), authorized(), capture_opened(), captured()]
}

fn payment(events: Vec<PaymentEvent>) -> Given<Payment> {
    given(events)
}

struct Authorizing;

impl participant::Subject for Authorizing {
    type Aggregate = Payment;
    fn act(&self) -> PaymentCommand {
        authorize()
    }
    fn undo(&self) -> PaymentCommand {
        void()
    }
    fn accepted(&self) -> Option<PaymentCommand> {
        Some(yes())
    }
    fn released(&self) -> Option<PaymentCommand> {
        Some(record(PaymentAct::Void, PaymentOutcome::Voided))
    }
    fn refusal(&self) -> (Vec<PaymentEvent>, PaymentCommand, Option<PaymentCommand>) {
        (Vec::new(), authorize(), Some(no(PaymentAct::Authorize)))
    }
    fn confirms(&self, event: &PaymentEvent) -> bool {
        matches!(event, PaymentEvent::Voided(_))
    }
    fn holds(&self, events: &[PaymentEvent]) -> bool {
        let last = events.iter().rev().find(|event| {
            matches!(event, PaymentEvent::Authorized(_) | PaymentEvent::Voided(_) | PaymentEvent::Failed(_))
        });
        matches!(last, Some(PaymentEvent::Authorized(_)))
    }
    fn too_late(&self) -> &'static str {
        "already_voided"
    }
}

#[test]
fn keeps_the_rules_of_a_participant() {
    participant::run(&Authorizing);
}

#[test]
fn the_provider_is_asked_before_anything_is_authorised() {
    given_nothing::<Payment>()
        .when(authorize())
        .then([opened()])
        .when(yes())
        .then([authorized()])
        .when(capture())
        .then([capture_opened()])
        .again_changes_nothing()
        .when(took())
        .then([captured()])
        .again_changes_nothing()
        .when(capture())
        .then_nothing();
}

#[test]
fn the_providers_no_fails_the_payment_and_so_does_its_silence_on_an_authorisation() {
    payment(vec![opened()]).when(no(PaymentAct::Authorize)).then([failed("card_declined")]);
    payment(vec![opened()])
        .when(dark(PaymentAct::Authorize))
        .then([failed("provider_unavailable"), void_opened()])
        .when(void())
        .then_nothing()
        .when(record(PaymentAct::Void, PaymentOutcome::Voided))
        .then([voided(500)]);
}

/// What is held although its capture was refused is let go of at the provider, not only in our books.
#[test]
fn a_refused_capture_leaves_money_held_that_is_voided() {
    payment(vec![opened(), authorized(), capture_opened()])
        .when(no(PaymentAct::Capture))
        .then([failed("card_declined")])
        .when(void())
        .then([void_opened()])
        .when(record(PaymentAct::Void, PaymentOutcome::Voided))
        .then([voided(500)]);
}

#[test]
fn what_the_provider_refuses_to_let_go_of_or_give_back_is_for_a_person_who_has_it_asked_again() {
    let retry = |refund: Option<&str>| {
        PaymentCommand::Retry(RetryPayment { payment_id: id(), refund_id: refund.map(RefundId::from) })
    };
    let reason = || "card_declined".to_owned();
    let refused = VoidRefused { payment_id: id(), order_id: order(), amount: pence(500), reason: reason() };
    payment(vec![opened(), void_opened()])
        .when(no(PaymentAct::Void))
        .then([PaymentEvent::VoidRefused(refused)])
        .when(void())
        .then_nothing()
        .when(retry(None))
        .then([void_opened()])
        .when(record(PaymentAct::Void, PaymentOutcome::Voided))
        .then([voided(500)])
        .when(retry(None))
        .then_rejected("nothing_to_retry");
    let mut owed = taken();
    owed.push(refund_opened(1, None, 500));
    let outcome = |outcome| {
        let (act, refund_id) = (PaymentAct::Refund, Some(RefundId::from("pay-1/1")));
        PaymentCommand::Record(RecordPayment { payment_id: id(), act, outcome, refund_id })
    };
    let refused = PaymentEvent::RefundRefused(RefundRefused {
        payment_id: id(),
        order_id: Some(order()),
        credit_id: None,
        refund_id: RefundId::from("pay-1/1"),
        amount: pence(500),
        reason: reason(),
    });
    payment(owed.clone()).when(retry(Some("pay-1/1"))).then_rejected("nothing_to_retry");
    payment(owed.clone())
        .when(outcome(PaymentOutcome::Failed { reason: reason() }))
        .then([refused.clone()])
        .when(retry(Some("pay-1/1")))
        .then([refund_opened(1, None, 500)]);
    owed.push(refused);
    let again = || payment(owed.clone()).when(retry(None)).then([refund_opened(1, None, 500)]);
    again().when(retry(None)).then_rejected("nothing_to_retry");
    payment(owed.clone()).when(refund(None, Some(1))).then_rejected("too_much");
}

#[test]
fn nothing_is_asked_about_nothing() {
    let free = |take| {
        let (order_id, amount, method) = (order(), pence(0), card());
        match take {
            false => PaymentCommand::Authorize(AuthorizePayment { order_id, amount, method }),
            true => PaymentCommand::Process(ProcessPayment { order_id, amount, method }),
        }
    };
    let held = PaymentAuthorized { payment_id: id(), order_id: order(), amount: pence(0), method: card() };
    let took = super::captured(&held, "none".to_owned());
    let held = PaymentEvent::Authorized(held);
    given_nothing::<Payment>().when(free(false)).then([held.clone()]).when(capture()).then([took.clone()]);
    given_nothing::<Payment>().when(free(true)).then([held.clone(), took.clone()]);
    given_nothing::<Payment>().when(free(false)).then([held]).when(void()).then([voided(0)]);
    payment(taken()).when(refund(None, Some(0))).then_nothing();
    let negative = AuthorizePayment { order_id: order(), amount: pence(-1), method: card() };
    given_nothing::<Payment>().when(PaymentCommand::Authorize(negative)).then_rejected("bad_amount");
}

/// Hold and take in one.
#[test]
fn a_payment_that_is_processed_is_taken_as_soon_as_it_is_held() {
    let process = || {
        let (order_id, amount, method) = (order(), pence(500), card());
        PaymentCommand::Process(ProcessPayment { order_id, amount, method })
    };
    let both = PaymentEvent::Opened(PaymentOpened {
        payment_id: id(),
        order_id: order(),
        amount: pence(500),
        method: card(),
        take: true,
    });
    given_nothing::<Payment>().when(process()).then([both.clone()]).when(yes()).then([authorized(), capture_opened()]);
    payment(vec![both, authorized(), capture_opened()])
        .when(no(PaymentAct::Capture))
        .then([failed("card_declined"), void_opened()]);
}

#[test]
fn a_refund_of_what_is_only_held_lets_it_go() {
    payment(vec![opened(), authorized()]).when(refund(None, None)).then([void_opened()]);
    payment(vec![opened(), failed("card_declined")]).when(refund(None, Some(400))).then_rejected("not_captured");
}

/// A process that undoes what it does not know the outcome of.
#[test]
fn a_refund_undoes_a_payment_wherever_it_stands() {
    let nothing = PaymentEvent::Voided(PaymentVoided { payment_id: id(), order_id: order(), amount: pence(0) });
    given_nothing::<Payment>().when(refund(None, None)).then([nothing.clone()]).again_changes_nothing();
    payment(vec![nothing.clone()]).when(authorize()).then_rejected("already_voided");
    payment(vec![opened(), failed("card_declined")]).when(refund(None, Some(500))).then([nothing]);
    let wanted =
        PaymentEvent::RefundWanted(RefundWanted { payment_id: id(), order_id: order(), reason: "returned".to_owned() });
    let capturing = || payment(vec![opened(), authorized(), capture_opened()]);
    let asked = || capturing().when(refund(None, Some(500))).then([wanted.clone()]).again_changes_nothing();
    let back = PaymentEvent::RefundOpened(RefundOpened {
        payment_id: id(),
        order_id: Some(order()),
        credit_id: None,
        refund_id: RefundId::from("pay-1/1"),
        amount: pence(500),
        reason: "returned".to_owned(),
    });
    let captured = taken().pop().unwrap();
    asked().when(took()).then([captured, back]).when(refund(None, None)).then_nothing();
    asked().when(no(PaymentAct::Capture)).then([failed("card_declined"), void_opened()]);
    capturing().when(refund(None, Some(400))).then_rejected("not_captured");
    capturing().when(refund(Some("c-1"), None)).then_rejected("not_captured");
}

#[test]
fn only_what_is_authorised_is_captured() {
    for events in [vec![], vec![opened()], vec![opened(), failed("card_declined")], vec![opened(), void_opened()]] {
        payment(events).when(capture()).then_rejected("not_authorized");
    }
}

#[test]
fn what_is_captured_is_not_voided() {
    payment(vec![opened(), authorized(), capture_opened()]).when(void()).then_rejected("already_captured");
    payment(taken()).when(void()).then_rejected("already_captured");
}

#[test]
fn nothing_held_is_voided_without_the_provider() {
    given_nothing::<Payment>().when(void()).then([voided(0)]).when(authorize()).then_rejected("already_voided");
    payment(vec![opened(), failed("card_declined")]).when(void()).then([voided(0)]);
}

#[test]
fn refunds_go_up_to_what_was_captured() {
    payment(taken())
        .when(refund(None, Some(200)))
        .then([refund_opened(1, None, 200)])
        .when(refund(None, Some(301)))
        .then_rejected("too_much");
    payment(taken())
        .when(refund(None, Some(200)))
        .then([refund_opened(1, None, 200)])
        .when(refund(None, None))
        .then([refund_opened(2, None, 300)]);
    payment(taken()).when(refund(None, Some(-1))).then_rejected("too_much");
    let euros = Money::new(1, factum::money::Currency::EUR);
    let foreign =
        RefundPayment { order_id: Some(order()), credit_id: None, amount: Some(euros), reason: String::new() };
    payment(taken()).when(PaymentCommand::Refund(foreign)).then_rejected("too_much");
    payment(vec![opened(), authorized()]).when(refund(None, Some(1))).then_rejected("not_captured");
}

#[test]
fn a_refund_for_the_same_credit_is_one_refund() {
    payment(taken())
        .when(refund(Some("C1"), Some(200)))
        .then([refund_opened(1, Some("C1"), 200)])
        .again_changes_nothing();
}

#[test]
fn a_refund_is_done_once_and_only_if_it_was_opened() {
    let done = |number: u32| {
        let refund_id = RefundId::from(format!("pay-1/{number}"));
        record(PaymentAct::Refund, PaymentOutcome::Refunded { refund_id })
    };
    let refunded = PaymentEvent::Refunded(PaymentRefunded {
        payment_id: Some(id()),
        order_id: Some(order()),
        credit_id: Some(CreditId::from("C1")),
        refund_id: RefundId::from("pay-1/1"),
        amount: pence(200),
        reason: "returned".to_owned(),
    });
    let mut owed = taken();
    owed.push(refund_opened(1, Some("C1"), 200));
    payment(owed).when(done(1)).then([refunded]).again_changes_nothing();
    payment(taken()).when(done(1)).then_rejected("no_such_refund");
}

#[test]
fn a_credit_without_an_order_is_paid_out_by_itself() {
    let credit = RefundPayment {
        order_id: None,
        credit_id: Some(CreditId::from("C9")),
        amount: Some(pence(70)),
        reason: "goodwill".to_owned(),
    };
    let opened = RefundOpened {
        payment_id: PaymentId::from("credit-C9"),
        order_id: None,
        credit_id: Some(CreditId::from("C9")),
        refund_id: RefundId::from("credit-C9/1"),
        amount: pence(70),
        reason: "goodwill".to_owned(),
    };
    given_nothing::<Payment>()
        .when(PaymentCommand::Refund(credit))
        .then([PaymentEvent::RefundOpened(opened)])
        .again_changes_nothing();
}
