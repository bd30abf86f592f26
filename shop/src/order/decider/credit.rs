//! What may happen to a credit without an order that was paid.

use factum::prelude::*;

use crate::contracts::{ids::CreditId, order::*};

/// A credit whose order is unknown.
#[derive(Default)]
pub struct Credit {
    credited: bool,
}

/// Why a credit is not booked.
#[derive(Debug, Rejection)]
#[allow(missing_docs, reason = "each variant says itself what it is")]
pub enum CreditRejection {
    #[rejection("bad_id", "the creditId is no valid id: use 1 to 120 bytes of printable text", invalid)]
    BadId,
}

impl Decider for Credit {
    const CATEGORY: &'static str = "credit";
    type Id = CreditId;
    type Command = CreditCommand;
    type Event = CreditEvent;
    type Rejection = CreditRejection;

    fn address(command: &CreditCommand, _: &Envelope) -> CreditId {
        let CreditCommand::Credit(credit) = command;
        credit.credit_id.clone()
    }

    fn decide(&self, _: &CreditId, command: CreditCommand, _: &Context) -> Result<Vec<CreditEvent>, CreditRejection> {
        if self.credited {
            return Ok(vec![]);
        }
        let CreditCommand::Credit(credit) = command;
        // The payment that pays it out is named after it.
        if !credit.credit_id.valid() {
            return Err(CreditRejection::BadId);
        }
        Ok(vec![CreditEvent::Credited(OrderCredited {
            credit_id: credit.credit_id,
            customer_id: credit.customer_id,
            items: credit.items,
            amount: credit.amount,
            order_id: credit.order_id,
            not_due: credit.not_due,
            reason: credit.reason,
        })])
    }

    fn evolve(&mut self, _: &CreditEvent) {
        self.credited = true;
    }
}
