//! Payments, as the log has them: above all what is decided and not done yet.

use std::{collections::BTreeMap, fmt::Write};

use factum::{Archive, envelope::Kind, payload::Payload as _};
use shop::{
    contracts::{
        ids::{OrderId, PaymentId},
        payment::PaymentEvent,
    },
    payment::{
        gateway::verb,
        views::{self, PaymentRow, PaymentStatus},
    },
    plain::plain,
};

use super::summary::{money, table};

/// Which payments.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Only what is decided and not done yet.
    pub open: bool,
    /// Only of this order.
    pub order: Option<OrderId>,
}

/// The payments of a log that are wanted, the ones first that are open for longest, then the others.
///
/// # Errors
/// If the log cannot be read.
pub fn payments(archive: &Archive, wanted: &Wanted) -> anyhow::Result<Vec<PaymentRow>> {
    let types = PaymentEvent::types();
    let of_payments = |name: &str| types.iter().any(|info| info.name == name);
    let mut rows: BTreeMap<PaymentId, PaymentRow> = BTreeMap::new();
    archive.each::<anyhow::Error>(Some(&of_payments), |stored| {
        if stored.envelope().kind == Kind::Event {
            let event: PaymentEvent = stored.decode()?;
            if let Some(id) = views::of(&event)
                && let Some(row) = PaymentRow::after(rows.remove(id), &event, stored.envelope().timestamp)
            {
                rows.insert(row.payment_id.clone(), row);
            }
        }
        Ok(())
    })?;
    let is_wanted = |row: &PaymentRow| {
        let of_order = wanted.order.is_none() || row.order_id == wanted.order;
        of_order && (row.open.is_some() || !wanted.open)
    };
    let mut rows: Vec<PaymentRow> = rows.into_values().filter(is_wanted).collect();
    rows.sort_by_key(|row| (row.open.is_none(), row.open_since));
    Ok(rows)
}

/// For people.
pub fn text(rows: &[PaymentRow], wanted: &Wanted) -> String {
    let mut text = String::new();
    if rows.is_empty() {
        let what = match &wanted.order {
            Some(order) => format!(" of order {}", plain(order.as_ref())),
            None => String::new(),
        };
        return match wanted.open {
            true => format!("Nothing{what} is open: all that was decided with the provider is done.\n"),
            false => format!("There are no payments{what}.\n"),
        };
    }
    let mut list = table(&["payment", "order", "status", "amount", "given back", "open", "of", "since", "refused"]);
    for row in rows {
        let [open, of, since] = match (row.open, row.open_amount, row.open_since) {
            (Some(act), amount, since) => {
                let since = since.map(|since| since.strftime("%Y-%m-%d %H:%M:%SZ").to_string());
                let amount = amount.map(|amount| money(amount.amount));
                [verb(act).to_owned(), amount.unwrap_or_default(), since.unwrap_or_default()]
            }
            (None, ..) => [(); 3].map(|()| String::new()),
        };
        let shown = |text: Option<&str>| text.map(plain).unwrap_or_default();
        list.add_row([
            plain(row.payment_id.as_ref()),
            shown(row.order_id.as_ref().map(AsRef::as_ref)),
            status(row.status).to_owned(),
            money(row.amount.amount),
            money(row.refunded.amount),
            open,
            of,
            since,
            shown(row.refused.as_deref()),
        ]);
    }
    let _ = writeln!(text, "{list}");
    let open = || rows.iter().filter(|row| row.open.is_some());
    let refused = open().filter(|row| row.refused.is_some()).count();
    match (open().count(), refused) {
        (0, _) => {}
        (open, 0) => {
            _ = writeln!(text, "{open} open: the provider is asked until it answers, while `shop serve` runs.")
        }
        (open, refused) => {
            let _ = writeln!(
                text,
                "{open} open, of which the provider has refused {refused}: when that is settled with it, have it asked again by (at your shop's address)\n  \
                 curl -X POST http://127.0.0.1:8080/payments/<PAYMENT>/retry -H 'content-type: application/json' -d '{{}}'"
            );
        }
    }
    text
}

fn status(status: PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::Opened => "opened",
        PaymentStatus::Authorized => "authorized",
        PaymentStatus::Captured => "captured",
        PaymentStatus::Failed => "failed",
        PaymentStatus::Voided => "voided",
        PaymentStatus::Credit => "credit",
    }
}
