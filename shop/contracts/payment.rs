//! payment-service: money that is held, taken and given back. Stream `payment-<paymentId>`, ordered by order.
//!
//! The provider is asked outside the decider: `…_opened` says that it will be, `payment.record` brings its answer.

use super::ids::{CreditId, OrderId, PaymentId, PaymentMethod, RefundId};
use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Own. Published when an authorization is accepted and the provider is to be asked.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.opened", own)]
pub struct PaymentOpened {
    /// The payment.
    pub payment_id: PaymentId,
    /// What is paid.
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
    /// By which means.
    pub method: PaymentMethod,
    /// Whether it is taken as soon as it is held.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub take: bool,
}

/// Published when the provider holds the money. An order of nothing is authorized without one.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.authorized")]
pub struct PaymentAuthorized {
    /// The payment.
    pub payment_id: PaymentId,
    /// What is paid.
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
    /// By which means.
    pub method: PaymentMethod,
}

/// Published when a capture is accepted and the provider is to be asked for the money. The order shows that it is open.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.capture_opened")]
pub struct CaptureOpened {
    /// The payment.
    pub payment_id: PaymentId,
    /// What is paid.
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
}

/// Published when the provider has taken the money.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.captured")]
pub struct PaymentCaptured {
    /// The payment.
    pub payment_id: PaymentId,
    /// What is paid.
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
    /// By which means.
    pub method: PaymentMethod,
    /// The provider's name for it.
    pub transaction_id: String,
    /// Always `approved`.
    pub status: CaptureStatus,
}

/// How a capture ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaptureStatus {
    /// The provider has the money.
    #[default]
    Approved,
}

/// Published when the provider has refused for good.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.failed")]
pub struct PaymentFailed {
    /// The payment, if it came to one.
    pub payment_id: Option<PaymentId>,
    /// What should have been paid.
    pub order_id: OrderId,
    /// How much.
    pub amount: Option<Money>,
    /// A word such as `card_declined`, `insufficient_funds`, `provider_unavailable`.
    pub reason: String,
}

/// Published when a void is accepted and the provider is to be asked to let the money go. The order shows that it is open.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.void_opened")]
pub struct VoidOpened {
    /// The payment.
    pub payment_id: PaymentId,
    /// What was to be paid.
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
}

/// Published when the provider has refused to let the money go: a person must see to it. The order shows it.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.void_refused")]
pub struct VoidRefused {
    /// The payment.
    pub payment_id: PaymentId,
    /// What was to be paid.
    pub order_id: OrderId,
    /// How much is held.
    pub amount: Money,
    /// What the provider has said.
    pub reason: String,
}

/// Published when the provider has refused to give money back: a person must see to it. The order shows it.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.refund_refused")]
pub struct RefundRefused {
    /// The payment.
    pub payment_id: PaymentId,
    /// The order that was paid, if it is known.
    pub order_id: Option<OrderId>,
    /// The credit that is to be paid out, if it is for one.
    pub credit_id: Option<CreditId>,
    /// Which refund.
    pub refund_id: RefundId,
    /// How much should go back.
    pub amount: Money,
    /// What the provider has said.
    pub reason: String,
}

/// Published when money that was held is free again.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.voided")]
pub struct PaymentVoided {
    /// The payment.
    pub payment_id: PaymentId,
    /// What was to be paid.
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
}

/// Own. Published when money is to go back whose capture is under way: it goes back once it is taken.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.refund_wanted", own)]
pub struct RefundWanted {
    /// The payment.
    pub payment_id: PaymentId,
    /// What is paid.
    pub order_id: OrderId,
    /// Why, for `payment.refunded` to repeat.
    pub reason: String,
}

/// Published when a refund is accepted and the provider is to be asked to pay it. The order shows that it is open.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.refund_opened")]
pub struct RefundOpened {
    /// The payment.
    pub payment_id: PaymentId,
    /// The order that was paid, if it is known.
    pub order_id: Option<OrderId>,
    /// The credit that is paid out, if it is for one.
    pub credit_id: Option<CreditId>,
    /// This refund; a payment can have several.
    pub refund_id: RefundId,
    /// How much goes back.
    pub amount: Money,
    /// Why, for `payment.refunded` to repeat.
    pub reason: String,
}

/// Published when money has gone back.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("payment.refunded")]
pub struct PaymentRefunded {
    /// The payment, if there was one.
    pub payment_id: Option<PaymentId>,
    /// The order that was paid, if it is known.
    pub order_id: Option<OrderId>,
    /// The credit that is paid out, if it is for one.
    pub credit_id: Option<CreditId>,
    /// This refund; a payment can have several.
    pub refund_id: RefundId,
    /// How much went back.
    pub amount: Money,
    /// A word such as `returned`, `cancelled`.
    pub reason: String,
}

/// Asks the payment service to have the money held; answered by `payment.authorized` or `payment.failed`, undone by
/// `payment.void`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("payment.authorize")]
pub struct AuthorizePayment {
    /// What is paid.
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
    /// By which means.
    pub method: PaymentMethod,
}

/// Asks the payment service to take money that is held; answered by `payment.captured` or `payment.failed`, undone by
/// `payment.refund`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("payment.capture")]
pub struct CapturePayment {
    /// What is paid.
    pub order_id: OrderId,
    /// The payment that was authorized.
    pub payment_id: PaymentId,
}

/// Asks the payment service to hold and take the money in one; answered by `payment.captured` or `payment.failed`,
/// undone by `payment.refund`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("payment.process")]
pub struct ProcessPayment {
    /// What is paid.
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
    /// By which means.
    pub method: PaymentMethod,
}

/// Asks the payment service to let money go that is held; answered by `payment.voided`. Before the authorization it
/// leaves a mark that refuses the late original.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("payment.void")]
pub struct VoidPayment {
    /// What was to be paid.
    pub order_id: OrderId,
    /// A word such as `customer`, `undeliverable`.
    pub reason: String,
}

/// Has what the provider refused asked once more, because somebody has seen to it; answered by the event that says so.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("payment.retry")]
pub struct RetryPayment {
    /// The payment.
    pub payment_id: PaymentId,
    /// Of a refund: which one; without it all that was refused.
    pub refund_id: Option<RefundId>,
}

/// Own. Tells the payment service the provider's answer; answered by the event that it amounts to.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("payment.record", own)]
pub struct RecordPayment {
    /// The payment.
    pub payment_id: PaymentId,
    /// What the provider was asked to do.
    pub act: PaymentAct,
    /// What came of it.
    pub outcome: PaymentOutcome,
    /// Of a refund: which one.
    pub refund_id: Option<RefundId>,
}

/// What a provider is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentAct {
    /// Hold the money.
    Authorize,
    /// Take the money that is held.
    Capture,
    /// Let it go.
    Void,
    /// Give it back.
    Refund,
}

/// What came of asking a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "result", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum PaymentOutcome {
    /// The money is held.
    Authorized {
        /// The provider's name for it.
        transaction_id: String,
    },
    /// The money is taken.
    Captured {
        /// The provider's name for it.
        transaction_id: String,
    },
    /// The money is free again.
    Voided,
    /// The money has gone back.
    Refunded {
        /// Which refund.
        refund_id: RefundId,
    },
    /// The provider has said no, for good.
    Failed {
        /// A word such as `card_declined`.
        reason: String,
    },
    /// Nobody knows: the provider has to be asked what it did before anything is tried again.
    Unknown {
        /// What went wrong on the way.
        reason: String,
    },
}

/// Asks the payment service to give money back, all of it if no amount is said; answered by `payment.refunded`, or by
/// `payment.voided` if it was only held.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("payment.refund")]
pub struct RefundPayment {
    /// The order that was paid, if it is known.
    pub order_id: Option<OrderId>,
    /// The credit to pay out, if it is for one.
    pub credit_id: Option<CreditId>,
    /// How much.
    pub amount: Option<Money>,
    /// A word such as `returned`, `cancelled`.
    pub reason: String,
}

/// What can happen to a payment.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum PaymentEvent {
    Opened(PaymentOpened),
    Authorized(PaymentAuthorized),
    CaptureOpened(CaptureOpened),
    Captured(PaymentCaptured),
    Failed(PaymentFailed),
    VoidOpened(VoidOpened),
    VoidRefused(VoidRefused),
    Voided(PaymentVoided),
    RefundWanted(RefundWanted),
    RefundOpened(RefundOpened),
    RefundRefused(RefundRefused),
    Refunded(PaymentRefunded),
}

/// What a payment can be asked.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum PaymentCommand {
    Authorize(AuthorizePayment),
    Capture(CapturePayment),
    Process(ProcessPayment),
    Void(VoidPayment),
    Retry(RetryPayment),
    Record(RecordPayment),
    Refund(RefundPayment),
}
