//! The provider is asked about what was opened, and money is given back for returns and credits.

use factum_testing::scenario::happened;

use super::*;
use crate::{
    contracts::ids::{CreditId, OrderId, PaymentId, PaymentMethod, RefundId},
    money::pence,
};

#[test]
fn the_provider_is_asked_once_for_each_act() {
    let (payment_id, order_id, amount) = (|| PaymentId::from("pay-1"), || OrderId::from("1"), pence(5));
    let method = PaymentMethod::from("card");
    let acts = [
        (
            PaymentAct::Authorize,
            None,
            happened(PaymentOpened { payment_id: payment_id(), order_id: order_id(), amount, method, take: false }),
        ),
        (PaymentAct::Capture, None, happened(CaptureOpened { payment_id: payment_id(), order_id: order_id(), amount })),
        (PaymentAct::Void, None, happened(VoidOpened { payment_id: payment_id(), order_id: order_id(), amount })),
        (
            PaymentAct::Refund,
            Some(RefundId::from("r")),
            happened(RefundOpened {
                payment_id: payment_id(),
                order_id: None,
                credit_id: None,
                refund_id: RefundId::from("r"),
                amount,
                reason: String::new(),
            }),
        ),
    ];
    for (act, refund, event) in acts {
        let asked = event.given_to(&asking());
        let [request] = &asked.called(gateway::PROVIDER)[..] else { panic!("one call: {asked:?}") };
        assert_eq!((request.act, &request.refund_id, request.amount), (act, &refund, amount));
        assert_eq!((request.payment_id.as_str(), asked.effects.len()), ("pay-1", 1));
    }
}

#[test]
fn money_is_given_back_for_returns_and_credits() {
    let credit = || Some(CreditId::from("C1"));
    let back = happened(OrderReturned {
        order_id: OrderId::from("1"),
        credit_id: credit(),
        items: Vec::new(),
        amount: pence(7),
        not_due: None,
        reason: "broken".to_owned(),
    });
    let refund = |order_id: Option<OrderId>| RefundPayment {
        order_id,
        credit_id: credit(),
        amount: Some(pence(7)),
        reason: "broken".to_owned(),
    };
    assert_eq!(back.react(give_back).sent::<RefundPayment>(), [refund(Some(OrderId::from("1")))]);
    let credited = happened(OrderCredited {
        credit_id: CreditId::from("C1"),
        customer_id: None,
        items: Vec::new(),
        amount: pence(7),
        order_id: None,
        not_due: None,
        reason: "broken".to_owned(),
    });
    assert_eq!(credited.react(give_back).sent::<RefundPayment>(), [refund(None)]);
}
