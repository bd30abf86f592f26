//! Stock: per article, and for whom it is kept.

use std::collections::{BTreeMap, BTreeSet};

use factum::{Archive, prelude::*};

use super::Findings;
use crate::contracts::{
    ids::{OrderId, Sku},
    inventory::InventoryEvent,
};

#[derive(Default)]
struct Article {
    entered: i64,
    on_hand: i64,
    reserved: i64,
    shipped: i64,
    returned: i64,
    negative: bool,
}

#[derive(Default)]
struct Shelves {
    articles: BTreeMap<Sku, Article>,
    reserved: BTreeMap<OrderId, BTreeMap<Sku, i64>>,
    /// Shipped for each order, less what came back.
    shipped: BTreeMap<OrderId, BTreeMap<Sku, i64>>,
    problems: Vec<String>,
}

/// Checks the stock; what is kept for orders that have ended is kept for nobody.
pub(super) fn check(archive: &Archive, findings: &mut Findings, ended: &BTreeSet<OrderId>) -> Result<(), HandlerError> {
    let shelves = archive.fold::<InventoryEvent, Shelves>(Shelves::default(), shelve)?;
    for problem in shelves.problems {
        findings.problem(problem);
    }
    for order in shelves.reserved.keys().filter(|order| ended.contains(*order)) {
        findings.problem(format!("stock is reserved for order {order}, which has ended"));
    }
    for (order, sku) in shelves
        .shipped
        .iter()
        .flat_map(|(order, skus)| skus.iter().filter(|(_, left)| **left < 0).map(move |(sku, _)| (order, sku)))
    {
        findings.problem(format!("more of article {sku} came back from order {order} than was shipped for it"));
    }
    let mut open: BTreeMap<&Sku, i64> = BTreeMap::new();
    for (sku, quantity) in shelves.reserved.values().flatten() {
        *open.entry(sku).or_default() += quantity;
    }
    for (sku, article) in &shelves.articles {
        findings.articles += 1;
        let Article { entered, on_hand, reserved, shipped, returned, negative } = *article;
        if entered != on_hand + reserved + shipped - returned {
            findings.problem(format!(
                "article {sku}: {entered} entered, but {on_hand} on hand + {reserved} reserved + {shipped} shipped - {returned} returned"
            ));
        }
        if negative {
            findings.problem(format!("article {sku} was negative at some time"));
        }
        let kept = open.get(sku).copied().unwrap_or_default();
        if reserved != kept {
            findings.problem(format!("article {sku}: {reserved} reserved, but open orders keep {kept}"));
        }
    }
    Ok(())
}

fn shelve(shelves: &mut Shelves, event: &Recorded<InventoryEvent>) {
    use InventoryEvent as E;
    let articles = &mut shelves.articles;
    let mut change = |sku: &Sku, change: &dyn Fn(&mut Article)| {
        let article = articles.entry(sku.clone()).or_default();
        change(article);
        article.negative |= article.on_hand < 0 || article.reserved < 0;
    };
    match &event.data {
        E::StockReceived(e) => change(&e.sku, &|article| {
            article.entered += e.quantity;
            article.on_hand += e.quantity;
        }),
        E::StockAdjusted(e) => change(&e.sku, &|article| {
            article.entered += e.quantity;
            article.on_hand += e.quantity;
        }),
        E::Reserved(e) => {
            let kept = shelves.reserved.entry(e.order_id.clone()).or_default();
            for item in &e.items {
                *kept.entry(item.sku.clone()).or_default() += item.quantity;
                change(&item.sku, &|article| {
                    article.on_hand -= item.quantity;
                    article.reserved += item.quantity;
                });
            }
        }
        E::Released(e) => {
            let kept = shelves.reserved.remove(&e.order_id).unwrap_or_default();
            let mut released: BTreeMap<Sku, i64> = BTreeMap::new();
            for item in &e.items {
                *released.entry(item.sku.clone()).or_default() += item.quantity;
            }
            if released != kept {
                shelves.problems.push(format!("order {}: something else was released than was reserved", e.order_id));
            }
            for item in &e.items {
                change(&item.sku, &|article| {
                    article.on_hand += item.quantity;
                    article.reserved -= item.quantity;
                });
            }
        }
        E::StockShipped(e) => {
            if shelves.reserved.remove(&e.order_id).is_none() {
                shelves.problems.push(format!("order {} was shipped without a reservation", e.order_id));
            }
            let shipped = shelves.shipped.entry(e.order_id.clone()).or_default();
            for item in &e.items {
                *shipped.entry(item.sku.clone()).or_default() += item.quantity;
                change(&item.sku, &|article| {
                    article.reserved -= item.quantity;
                    article.shipped += item.quantity;
                });
            }
        }
        E::StockReturned(e) => {
            let shipped = shelves.shipped.entry(e.order_id.clone()).or_default();
            for item in &e.items {
                *shipped.entry(item.sku.clone()).or_default() -= item.quantity;
                change(&item.sku, &|article| {
                    article.on_hand += item.quantity;
                    article.returned += item.quantity;
                });
            }
        }
        E::ReservationFailed(_) | E::LowStockDetected(_) | E::ReorderPlaced(_) => {}
    }
}
