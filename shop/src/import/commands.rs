//! What the loader asks of the shop for an invoice.

use super::{
    demand::Customer,
    invoice::{Class, Invoice, Kind, Line as FileLine},
    journal::{InvoiceKind, Owed},
    returns::Balance,
};
use crate::{
    contracts::{
        customer::RegisterCustomer,
        ids::{CreditId, CustomerId, OrderId, PaymentMethod, Sku},
        order::{CreateOrder, CreditOrder, ReturnOrder, SalesChannel},
        shapes::{Address, Line, LineKind, ReturnItem},
    },
    money::{pence, price},
};

/// The order that an invoice stands for.
///
/// # Errors
/// If a price is no decimal number.
pub fn order(invoice: &Invoice, lines: &[FileLine]) -> anyhow::Result<CreateOrder> {
    Ok(CreateOrder {
        channel: SalesChannel::File,
        order_id: OrderId::from(invoice.number.as_str()),
        customer_id: invoice.customer.as_deref().map(CustomerId::from),
        cart_id: None,
        items: lines.iter().map(line).collect::<anyhow::Result<_>>()?,
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: pence(invoice.amount()),
        shipping_address: Some(address(&invoice.country)),
        payment_method: Some(PaymentMethod::from("card")),
    })
}

pub(super) fn line(line: &FileLine) -> anyhow::Result<Line> {
    Ok(Line {
        line: line.line,
        kind: match line.class {
            Class::Goods => LineKind::Goods,
            Class::Carriage => LineKind::Carriage,
            Class::Manual => LineKind::Manual,
        },
        sku: Sku::from(line.code.as_str()),
        name: line.name.clone(),
        quantity: line.quantity,
        unit_price: Some(price(&line.unit_price)?),
        amount: pence(line.amount),
    })
}

/// What of a credit note belongs to no order.
pub(super) fn balance(note: &Invoice, balance: &Balance) -> anyhow::Result<CreditOrder> {
    Ok(CreditOrder {
        credit_id: CreditId::from(note.number.as_str()),
        order_id: None,
        customer_id: note.customer.as_deref().map(CustomerId::from),
        items: balance.lines.iter().map(line).collect::<anyhow::Result<_>>()?,
        amount: pence(balance.amount),
        not_due: None,
        reason: "no_matching_order".to_owned(),
    })
}

/// Goods that come back out of an order.
pub(super) fn back(note: &str, owed: &Owed) -> ReturnOrder {
    let items = owed.lines.iter().map(|line| ReturnItem { sku: line.sku.clone(), quantity: line.quantity, line: None });
    ReturnOrder {
        order_id: owed.order.clone(),
        credit_id: Some(CreditId::from(note)),
        items: items.collect(),
        amount: Some(pence(owed.amount)),
        reason: "returned".to_owned(),
    }
}

/// What stands in place of a return: so many pence are given back all the same, so many are not due.
pub(super) fn instead(note: &str, owed: &Owed, amount: i64, not_due: i64, reason: &str) -> CreditOrder {
    let items = owed.lines.iter().map(|line| Line {
        line: line.line,
        kind: LineKind::Goods,
        sku: line.sku.clone(),
        name: String::new(),
        quantity: line.quantity,
        unit_price: None,
        amount: pence(line.amount),
    });
    CreditOrder {
        credit_id: CreditId::from(credit_id(note, owed.order.as_str())),
        // Money without a payment that it comes from is a credit of its own.
        order_id: (amount == 0).then(|| owed.order.clone()),
        customer_id: None,
        items: items.collect(),
        amount: pence(amount),
        not_due: (not_due > 0).then(|| pence(not_due)),
        reason: reason.to_owned(),
    }
}

/// The credit that stands in place of a credit note's return of an order.
pub(super) fn credit_id(note: &str, order: &str) -> String {
    format!("{note}-{order}")
}

pub(super) fn register(id: &str, customer: &Customer, mail: bool) -> RegisterCustomer {
    RegisterCustomer {
        customer_id: CustomerId::from(id),
        name: None,
        email: mail.then(|| format!("{id}@customers.example")),
        phone: None,
        address: Some(address(&customer.country)),
    }
}

pub(super) fn kind(kind: &Kind) -> InvoiceKind {
    match kind {
        Kind::Order { .. } => InvoiceKind::Order,
        Kind::CreditNote { .. } => InvoiceKind::CreditNote,
        Kind::Stock { .. } => InvoiceKind::Stock,
        Kind::Skipped => InvoiceKind::Skipped,
    }
}

fn address(country: &str) -> Address {
    Address { country: country.to_owned(), name: None, street: None, city: None, region: None, postcode: None }
}
