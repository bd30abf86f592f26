//! What is compared at night: nothing is found where all is well, and all of what a wrong view or a provider says is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use factum::{
    Archive,
    http::client::Remote,
    memory::Memory,
    prelude::*,
    reconciliation::{Compare, MismatchFound, ReconciliationRow},
    view::erase,
};
use serde_json::{Value, json};
use shop::{
    contracts::{fraud::TransactionChecked, inventory::InventoryEvent, loyalty::LoyaltyEvent},
    fraud::views::{CheckRow, checks},
    inventory::views::{StockRow, stock},
    loyalty::{
        reactions::Policy,
        views::{AccountRow, accounts},
    },
    payment::views::PaymentRow,
    reconciliations,
    services::services,
};
use tokio::net::TcpListener;

use crate::shop::{Shop, simulated};

const ARTICLES: usize = 80;
const CUSTOMERS: usize = 60;
const OF: [&str; 4] = ["inventory.stock-rows", "order.fraud-checks", "loyalty.balances", "payment.provider"];

/// A provider that lists payments, 25 a page.
#[derive(Clone, Default)]
struct Provider(Arc<Mutex<Vec<Value>>>);

impl Provider {
    async fn open(&self) -> Remote {
        let page = |State(provider): State<Self>, Path(number): Path<usize>| async move {
            let all = provider.0.lock().unwrap();
            Json(json!({ "payments": all.chunks(25).nth(number).unwrap_or_default() }))
        };
        let router = Router::new().route("/payments/pages/{number}", get(page)).with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        url
    }

    /// Lists what the shop says, as a provider would.
    async fn agrees_with(&self, shop: &Shop) {
        let rows = shop.app.rows::<PaymentRow>().after(shop.app.position()).slice(0, 1_000).page().await.unwrap().rows;
        let listed = rows.iter().map(|row| {
            let status = serde_json::to_value(row.status).unwrap();
            json!({ "paymentId": row.payment_id, "status": status, "amount": row.amount, "refunded": row.refunded })
        });
        *self.0.lock().unwrap() = listed.collect();
    }
}

/// The services, with the views as they are, or with such as go wrong for every third article, and for all customers whose
/// number is even.
fn shop_of(provider: &Remote, is_wrong: bool) -> Vec<Service> {
    let number = |name: &str| name.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap_or(0);
    let wrong = |mut service: Service| {
        let replaced = match &*service.name {
            "inventory" => erase(9, false, move |rows: &mut Rows<StockRow>, event: &Recorded<InventoryEvent>| {
                stock(rows, event);
                if let InventoryEvent::StockReceived(e) = &event.data
                    && number(e.sku.as_str()) % 3 == 0
                {
                    rows.update(&e.sku, |row| row.available += 1);
                }
            }),
            "loyalty" => erase(9, false, move |rows: &mut Rows<AccountRow>, event: &Recorded<LoyaltyEvent>| {
                accounts(rows, event);
                if let LoyaltyEvent::Awarded(e) = &event.data
                    && number(e.customer_id.as_str()) % 2 == 0
                {
                    rows.update(&e.customer_id, |row| row.balance -= 1);
                }
            }),
            // Every second check gets lost.
            "fraud" => erase(9, false, move |rows: &mut Rows<CheckRow>, event: &Recorded<TransactionChecked>| {
                if event.stored.position.0.is_multiple_of(2) {
                    checks(rows, event);
                }
            }),
            _ => return service,
        };
        service.views.retain(|view| view.table().name != replaced.table().name);
        service.views.push(replaced);
        service
    };
    let services = reconciliations::added(services(&simulated()), Policy::default(), Some(provider));
    if is_wrong { services.into_iter().map(wrong).collect() } else { services }
}

/// Orders of 60 customers for 80 articles: most are delivered, one is cancelled, two come back in part and whole.
async fn filled(shop: &Shop) {
    for article in 0..ARTICLES {
        let product = json!({ "name": format!("article {article}"), "price": "10.00" });
        assert_eq!(shop.put(&format!("/products/A{article}"), &product).await.status, 200);
        let stock = json!({ "quantity": 1_000 });
        assert_eq!(shop.post(&format!("/stock/A{article}/receive"), &stock).await.status, 200);
    }
    shop.app.rest().await.unwrap();
    let mut orders = Vec::new();
    for customer in 0..CUSTOMERS {
        let items = json!([
            { "sku": format!("A{}", customer % ARTICLES), "quantity": 2 },
            { "sku": format!("A{}", (customer + 20) % ARTICLES), "quantity": 1 },
        ]);
        let order = json!({ "customerId": format!("c{customer}"), "items": items });
        orders.push(shop.post("/orders", &order).await.order());
    }
    shop.days(8).await;
    let back = json!({ "reason": "too_small", "items": [{ "sku": "A1", "quantity": 1 }] });
    assert_eq!(shop.post(&format!("/orders/{}/return", orders[1]), &back).await.status, 202);
    let back =
        json!({ "reason": "too_large", "items": [{ "sku": "A2", "quantity": 2 }, { "sku": "A22", "quantity": 1 }] });
    assert_eq!(shop.post(&format!("/orders/{}/return", orders[2]), &back).await.status, 202);
    shop.days(1).await;
}

/// Compares all four, and says on how many keys each differs.
async fn compared(shop: &Shop) -> BTreeMap<&'static str, u64> {
    let mut all = BTreeMap::new();
    for name in OF {
        shop.app.execute(Compare { reconciliation: name.to_owned() }).await.unwrap();
        shop.app.rest().await.unwrap();
        let rows = shop.app.rows::<ReconciliationRow>().after(shop.app.position());
        let row = rows.get(name).await.unwrap().unwrap();
        assert!(row.compared > 0 && row.under_way_since.is_none(), "{row:?}");
        let needs_person = row.needs_person.clone().unwrap_or_default();
        assert!(!needs_person.contains("could not"), "{needs_person}");
        all.insert(name, row.mismatches);
    }
    all
}

/// What was found, as often as it was told.
fn found(shop: &Shop) -> Vec<(String, String)> {
    let archive = Archive::of(shop.app.reader());
    let fold = |found: &mut Vec<_>, event: &Recorded<MismatchFound>| {
        found.push((event.reconciliation.clone(), event.mismatch.key.clone()));
    };
    archive.fold::<MismatchFound, Vec<_>>(Vec::new(), fold).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_where_all_is_well_and_all_that_views_and_a_provider_say_wrongly_is_once() {
    let (log, provider) = (Memory::new(), Provider::default());
    let url = provider.open().await;
    let well = Shop::of(log.clone(), shop_of(&url, false)).await;
    filled(&well).await;
    provider.agrees_with(&well).await;
    assert_eq!(compared(&well).await, OF.map(|name| (name, 0)).into());
    assert_eq!(found(&well), []);
    well.app.stop().await;

    let shop = Shop::of(log.clone(), shop_of(&url, true)).await;
    {
        // The provider has given back what we have not, has lost one, and has one of which we know nothing.
        let mut listed = provider.0.lock().unwrap();
        for payment in listed.iter_mut().take(40) {
            payment["refunded"]["amount"] = json!(1);
        }
        listed[40]["status"] = json!("voided");
        let stranger = json!({ "paymentId": "stranger", "status": "authorized", "amount": listed[50]["amount"] });
        listed.push(stranger);
    }
    let once = compared(&shop).await;
    let articles = (0..ARTICLES).filter(|number| number % 3 == 0).count() as u64;
    // All customers have points but the one whose order came back.
    let customers = (0..CUSTOMERS).filter(|number| number % 2 == 0 && *number != 2).count() as u64;
    assert_eq!((once[OF[0]], once[OF[2]], once[OF[3]]), (articles, customers, 42));
    assert!(once[OF[1]] > 10 && once[OF[1]] < CUSTOMERS as u64, "{once:?}");
    let all = found(&shop);
    assert_eq!(all.len() as u64, once.values().sum::<u64>());
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "each once");
    assert_eq!(compared(&shop).await, once);
    assert_eq!(found(&shop).len(), all.len(), "and not again");
    let reasons = shop.app.health().reasons.join("\n");
    assert!(reasons.contains("4 rows of factum_reconciliations need a person"), "{reasons}");
    shop.app.stop().await;

    provider.agrees_with(&shop).await;
    let mended = Shop::of(log, shop_of(&url, false)).await;
    assert_eq!(compared(&mended).await, OF.map(|name| (name, 0)).into(), "what is mended is gone");
    mended.app.stop().await;
}
