//! What is compared at night: books that should say the same, kept by different rooms or by a partner.
//!
//! Each of them is on its own schedule (UTC), and can be run by hand: `POST /factum/v1/reconciliations/<name>/run`.

use std::collections::BTreeMap;

use factum::{
    Archive,
    http::client::{Ending, Remote},
    prelude::*,
    reconciliation::{Found, Reconciled, Reconciliation},
    row::Row,
    schedule::Schedule,
};
use serde::{Deserialize, Serialize};

use crate::{
    contracts::inventory::InventoryEvent,
    fraud::views::CheckRow,
    inventory::views::StockRow,
    loyalty::{
        reactions::{Orders, Policy},
        views::AccountRow,
    },
    order::views::OrderRow,
    payment::views::{PaymentRow, PaymentStatus},
};

/// Pages of a provider's list at most: a hundred million payments.
const PAGES: u64 = 100_000;

/// Adds them to the services that answer for what is found; `provider` lists its payments.
pub fn added(services: Vec<Service>, points: Policy, provider: Option<&Remote>) -> Vec<Service> {
    // What two rooms say is compared where both are.
    let has_checks = services.iter().any(|service| service.name == "fraud");
    let add = |service: Service| match service.name.as_str() {
        "inventory" => service.reconcile(stock()),
        "order" if has_checks => service.reconcile(checks()),
        "loyalty" => service.reconcile(balances(points)),
        "payment" => match provider {
            Some(provider) => service.reconcile(payments(provider.clone())),
            None => service,
        },
        _ => service,
    };
    services.into_iter().map(add).collect()
}

/// Pieces of an article.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct Pieces {
    available: i64,
    reserved: i64,
}

/// The stock that is shown, with what the warehouses have recorded.
fn stock() -> Found<Pieces> {
    Reconciliation::new(Schedule::cron("stock-rows", "10 3 * * *"))
        .expected("the warehouses' records", |app| async move {
            folded::<InventoryEvent, BTreeMap<String, Pieces>>(app, count).await
        })
        .found("the stock that is shown", |app| async move {
            let pieces =
                |row: StockRow| (row.sku.to_string(), Pieces { available: row.available, reserved: row.reserved });
            Ok(all::<StockRow>(&app).await?.into_iter().map(pieces).collect())
        })
}

fn count(all: &mut BTreeMap<String, Pieces>, event: &Recorded<InventoryEvent>) {
    use InventoryEvent as E;
    let mut change = |sku: &crate::contracts::ids::Sku, available: i64, reserved: i64| {
        let pieces = all.entry(sku.to_string()).or_default();
        pieces.available = pieces.available.saturating_add(available);
        pieces.reserved = pieces.reserved.saturating_add(reserved);
    };
    match &event.data {
        E::StockReceived(e) => change(&e.sku, e.quantity, 0),
        E::StockAdjusted(e) => change(&e.sku, e.quantity, 0),
        E::Reserved(e) => e.items.iter().for_each(|item| change(&item.sku, -item.quantity, item.quantity)),
        E::Released(e) => e.items.iter().for_each(|item| change(&item.sku, item.quantity, -item.quantity)),
        E::StockShipped(e) => e.items.iter().for_each(|item| change(&item.sku, 0, -item.quantity)),
        E::StockReturned(e) => e.items.iter().for_each(|item| change(&item.sku, item.quantity, 0)),
        E::ReservationFailed(_) | E::LowStockDetected(_) | E::ReorderPlaced(_) => {}
    }
}

/// Orders, with the checks that fraud has made: one of each order, and none of anything else.
fn checks() -> Found<&'static str> {
    Reconciliation::new(Schedule::cron("fraud-checks", "20 3 * * *"))
        .expected("the orders", |app| async move {
            Ok(all::<OrderRow>(&app).await?.into_iter().map(|row| (row.order_id.to_string(), "checked")).collect())
        })
        .found("the fraud service's checks", |app| async move {
            Ok(all::<CheckRow>(&app).await?.into_iter().map(|row| (row.order_id.to_string(), "checked")).collect())
        })
}

/// The points of customers, with what their orders are worth.
fn balances(policy: Policy) -> Found<i64> {
    Reconciliation::new(Schedule::cron("balances", "30 3 * * *"))
        .expected("what the orders are worth", move |app| async move {
            Ok(folded(app, Orders::learn).await?.balances(policy))
        })
        .found("the balances that are shown", |app| async move {
            let rows = all::<AccountRow>(&app).await?.into_iter().filter(|row| row.balance != 0);
            Ok(rows.map(|row| (row.customer_id.to_string(), row.balance)).collect())
        })
}

/// Money of a payment, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    /// Something of it is under way: nobody can say yet.
    Moving,
    Held(i64),
    Taken {
        captured: i64,
        refunded: i64,
    },
    /// Given back, and never taken by this payment.
    Credit(i64),
}

/// A page of a provider's list.
#[derive(Deserialize)]
struct Listed {
    payments: Vec<Payment>,
}

/// A payment as its provider lists it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payment {
    payment_id: String,
    status: ProvidersStatus,
    amount: Money,
    refunded: Option<Money>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProvidersStatus {
    Authorized,
    Captured,
    /// Held no more, or never.
    #[serde(alias = "declined")]
    Voided,
    Credit,
}

/// The provider's payments, with ours. Ours that are under way agree with anything.
fn payments(provider: Remote) -> Found<Standing> {
    Reconciliation::new(Schedule::cron("provider", "40 3 * * *"))
        .expected("the provider's list of payments", move |_| {
            let provider = provider.clone();
            async move { listed(&provider).await }
        })
        .found("our payments", |app| async move {
            let rows = all::<PaymentRow>(&app).await?.into_iter();
            Ok(rows.filter_map(|row| Some((row.payment_id.to_string(), standing(&row)?))).collect())
        })
        .agree(|expected, found| found == Some(&Standing::Moving) || expected == found)
}

fn standing(row: &PaymentRow) -> Option<Standing> {
    if row.open.is_some() || !row.open_refunds.is_empty() {
        return Some(Standing::Moving);
    }
    match row.status {
        PaymentStatus::Opened | PaymentStatus::Failed | PaymentStatus::Voided => None,
        PaymentStatus::Authorized => Some(Standing::Held(row.amount.amount)),
        PaymentStatus::Captured => Some(Standing::Taken { captured: row.amount.amount, refunded: row.refunded.amount }),
        PaymentStatus::Credit => Some(Standing::Credit(row.refunded.amount)),
    }
}

async fn listed(provider: &Remote) -> Result<BTreeMap<String, Standing>, String> {
    let mut all = BTreeMap::new();
    for number in 0..PAGES {
        let page = match provider.find::<Listed>(&["payments", "pages", &number.to_string()]).await {
            Ending::Done(page) => page,
            Ending::Refused(reason) | Ending::Unknown(reason) | Ending::Again(reason, _) => return Err(reason),
        };
        if page.payments.is_empty() {
            return Ok(all);
        }
        for Payment { payment_id, status, amount, refunded } in page.payments {
            let refunded = refunded.map_or(0, |refunded| refunded.amount);
            let standing = match status {
                ProvidersStatus::Authorized => Standing::Held(amount.amount),
                ProvidersStatus::Captured => Standing::Taken { captured: amount.amount, refunded },
                ProvidersStatus::Credit => Standing::Credit(refunded),
                ProvidersStatus::Voided => continue,
            };
            all.insert(payment_id, standing);
        }
    }
    Err(format!("it has more than {PAGES} pages"))
}

/// What the log says, folded: off the executor, for it is read from its beginning.
async fn folded<E: factum::payload::Event, S: Default + Send + 'static>(
    app: App,
    fold: fn(&mut S, &Recorded<E>),
) -> Result<S, String> {
    let read = move || Archive::of(app.reader()).fold::<E, S>(S::default(), fold).map_err(|error| error.to_string());
    tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?
}

/// All rows of a table, as they are now: rows that are behind are waited for.
async fn all<R: Row>(app: &App) -> Result<Vec<R>, String> {
    app.rows::<R>().after(app.position()).all().await.map_err(|error| error.to_string())
}
