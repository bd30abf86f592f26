//! The bank: the way to the outside, and the only place that waits.

use std::{future::Future, pin::Pin, sync::Arc};

use factum::prelude::*;
use serde::{Deserialize, Serialize};

/// What the bank is asked: to take money for a booking, or to give it back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payment {
    /// The booking.
    pub booking_id: String,
    /// In cents.
    pub cents: u32,
}

/// What the bank answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Paid {
    /// A word, such as `no_money` if it refuses.
    pub word: String,
}

/// Takes the money.
pub const CHARGE: CallTo<Payment, Paid> = CallTo::new("charge");
/// Gives it back.
pub const REFUND: CallTo<Payment, Paid> = CallTo::new("refund");

type Asking = Pin<Box<dyn Future<Output = Answer<Paid>> + Send>>;

/// A bank, whatever stands behind it: a provider over HTTP, or a test's.
#[derive(Clone)]
pub struct Bank(Arc<dyn Fn(&'static str, Call<Payment>) -> Asking + Send + Sync>);

impl Bank {
    /// A bank that is asked by this.
    pub fn new<F, Fut>(ask: F) -> Self
    where
        F: Fn(&'static str, Call<Payment>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer<Paid>> + Send + 'static,
    {
        Self(Arc::new(move |name, call| Box::pin(ask(name, call))))
    }

    /// One that says yes to everything, to try things.
    pub fn generous() -> Self {
        Self::new(|_, _| async { Answer::Done(Paid { word: "paid".to_owned() }) })
    }

    /// How it is asked.
    pub fn call(&self, to: CallTo<Payment, Paid>) -> CallSpec<Payment, Paid> {
        let (bank, name) = (self.clone(), to.name());
        CallSpec::of_steps(to, move |call: Call<Payment>| (bank.0)(name, call))
            .retry(exp(200.ms(), 2.0).max(8))
            .timeout(5.secs())
            .to("bank")
    }
}
