//! Real orders: those of the sample file, as often as wanted under fresh numbers, and everything that they buy in stock.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use factum::{App, prelude::*};
use futures_util::future::try_join_all;
use shop::{
    contracts::{
        catalog::RegisterProduct,
        ids::{OrderId, Sku, WarehouseId},
        inventory::ReceiveStock,
        order::CreateOrder,
        shapes::LineKind,
    },
    import::{self, Kind, loader},
    inventory::decider::DEFAULT_WAREHOUSE,
    money::price,
};

/// Pieces of every article: more than any run sells.
const PIECES: i64 = 1_000_000_000;
/// Commands that register articles in one commit.
const TOGETHER: usize = 256;
/// A repetition of the file happens so much later than the one before.
const APART_DAYS: u64 = 30;

/// The orders of the file, and the articles in them.
pub struct Supply {
    orders: Vec<(Timestamp, CreateOrder)>,
    articles: BTreeMap<Sku, (String, String)>,
}

impl Supply {
    /// Reads the file that comes with the shop.
    ///
    /// # Errors
    /// If it is not there: run from the repository.
    pub fn read() -> anyhow::Result<Self> {
        let path = sample();
        let file = import::read(&path).with_context(|| format!("{}: run this in the repository", path.display()))?;
        let (mut orders, mut articles) = (Vec::new(), BTreeMap::new());
        for invoice in &file.invoices {
            let Kind::Order { lines } = &invoice.kind else { continue };
            for line in lines {
                let sku = Sku::from(line.code.as_str());
                articles.entry(sku).or_insert_with(|| (line.name.clone(), line.unit_price.clone()));
            }
            orders.push((invoice.at, loader::order(invoice, lines)?));
        }
        ensure!(!orders.is_empty(), "{} holds no orders", path.display());
        Ok(Self { orders, articles })
    }

    /// When the first order happens.
    pub fn first(&self) -> Timestamp {
        self.orders.first().map_or(Timestamp::UNIX_EPOCH, |(at, _)| *at)
    }

    /// The order of this number: the file's orders, again and again, each time a month later.
    pub fn order(&self, number: usize) -> (Timestamp, CreateOrder) {
        let (round, index) = (number / self.orders.len(), number % self.orders.len());
        let (at, order) = &self.orders[index];
        let order_id = OrderId::from(format!("{}-{round}", order.order_id));
        (*at + (APART_DAYS * round as u64).days(), CreateOrder { order_id, ..order.clone() })
    }

    /// What a customer would send for the order of this number: its goods by article and quantity.
    pub fn basket(&self, number: usize) -> serde_json::Value {
        let (_, order) = &self.orders[number % self.orders.len()];
        let goods = order.items.iter().filter(|line| line.kind == LineKind::Goods);
        let items: Vec<_> =
            goods.map(|line| serde_json::json!({ "sku": line.sku, "quantity": line.quantity })).collect();
        serde_json::json!({ "customerId": order.customer_id, "items": items, "shippingAddress": order.shipping_address })
    }

    /// Whether the order of this number buys goods, and not only services.
    pub fn has_goods(&self, number: usize) -> bool {
        self.orders[number % self.orders.len()].1.items.iter().any(|line| line.kind == LineKind::Goods)
    }

    /// Registers every article and fills the shelves.
    ///
    /// # Errors
    /// If the shop refuses.
    pub async fn stock(&self, app: &App, at: Timestamp) -> anyhow::Result<()> {
        let articles: Vec<_> = self.articles.iter().collect();
        let mut commits = Vec::new();
        for some in articles.chunks(TOGETHER / 2) {
            let mut together = app.together();
            for (sku, (name, unit_price)) in some {
                let register = RegisterProduct {
                    sku: (*sku).clone(),
                    name: name.clone(),
                    price: price(unit_price)?,
                    active: true,
                };
                let warehouse_id = WarehouseId::from(DEFAULT_WAREHOUSE);
                let receive = ReceiveStock { sku: (*sku).clone(), quantity: PIECES, warehouse_id };
                together = together.add(&register, at).add(&receive, at);
            }
            commits.push(together.execute());
        }
        try_join_all(commits).await?;
        app.rest().await?;
        views_reach(app).await;
        Ok(())
    }
}

/// Waits until all views stand for what is durable now.
pub async fn views_reach(app: &App) {
    let position = app.position();
    while app.health().views.values().any(|view| view.stopped.is_none() && view.position < position) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn sample() -> PathBuf {
    Path::new("shop/data/online_retail_first_2000_invoices.csv.zst").to_owned()
}
