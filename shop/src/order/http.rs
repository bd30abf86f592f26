//! Orders over HTTP: placing, looking at, cancelling and returning them.

use std::{
    collections::{BTreeMap, BTreeSet},
    slice,
};

use axum::{
    Extension, Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use factum::{
    ExecuteError, RowsOf,
    cache::Cache,
    http::{Body, IdempotencyKey, Key, Problem, encoded, position},
    money::MoneyError,
    prelude::*,
    stream::Position,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    decider::{MAX_LINES, OrderRejection, word},
    pricing,
    views::{OrderCustomerRow, OrderLinesRow, OrderPaymentRow, OrderRow, PriceRow},
};
use crate::{
    contracts::{
        ids::{CustomerId, OrderId, PaymentId, PaymentMethod, Sku},
        order::{CancelOrder, CreateOrder, OrderStatus, ReleaseHold, ReturnOrder, SalesChannel},
        payment::PaymentAct,
        shapes::{Contact, InvalidItem, Line, Quantity, ReturnItem, Verdict},
    },
    http::{
        Asked, Filter, List, Listed, Nothing, Only, SentAddress, address, carry_out, check_id_field, check_text,
        missing, simulated, units,
    },
};

/// What customers are called.
type Names = Extension<Cache<CustomerId, String>>;

/// The routes of the orders.
pub fn routes(names: Cache<CustomerId, String>) -> Router<App> {
    Router::new()
        .route("/orders", get(list).post(place))
        .route("/orders/{id}", get(read))
        .route("/orders/{id}/cancel", post(cancel))
        .route("/orders/{id}/return", post(take_back))
        .route("/orders/{id}/hold/release", post(release_hold))
        .layer(Extension(names))
}

/// What is ordered.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wanted {
    customer_id: Option<CustomerId>,
    items: Vec<Item>,
    shipping_address: Option<SentAddress>,
    payment_method: Option<PaymentMethod>,
}

/// An item as it was sent: its number is its place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    #[serde(alias = "productId", alias = "itemId")]
    sku: Sku,
    #[serde(default)]
    quantity: Value,
}

async fn place(
    State(app): State<App>,
    Asked { after, .. }: Asked,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Wanted>,
) -> Result<impl IntoResponse, Problem> {
    if let Some(customer) = &data.customer_id {
        check_id_field("customerId", customer.as_str())?;
    }
    if let Some(method) = &data.payment_method {
        check_id_field("paymentMethod", method.as_str())?;
    }
    let shipping_address = address("shippingAddress", data.shipping_address)?;
    let items = quantities(&data.items)?;
    let prices = prices(&app, after, &items).await?;
    let price_of = |sku: &Sku| prices.get(sku).cloned();
    // A request that is sent again is for the same order.
    let order_id = match &key {
        Some(key) => OrderId::of_key(key.as_str()),
        None => OrderId::from(app.new_id().to_string()),
    };
    let (lines, total) = match pricing::lines(&items, price_of) {
        Ok(priced) => priced,
        // What was placed under this key had a price, whatever it costs by now.
        Err(error) => placed(&app, &order_id).await?.ok_or_else(|| not_priced(&items, price_of, &error))?,
    };
    let command = CreateOrder {
        channel: SalesChannel::Api,
        order_id: order_id.clone(),
        customer_id: data.customer_id,
        cart_id: None,
        items: lines,
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total,
        shipping_address,
        payment_method: data.payment_method,
    };
    let receipt = carry_out(&app, command, key.as_ref(), &[&raw]).await?;
    let location = [(header::LOCATION, format!("/orders/{order_id}"))];
    Ok((location, accepted(&app, &order_id, Some(OrderStatus::default()), &receipt)))
}

/// The items with their quantities, or which line is wrong.
fn quantities(items: &[Item]) -> Result<Vec<Quantity>, Problem> {
    if items.len() > MAX_LINES {
        return Err(rejected(OrderRejection::TooManyLines { lines: items.len() }));
    }
    let quantity = |(line, item): (u32, &Item)| {
        let wrong = |code, what: String| Problem::invalid(code, format!("line {line}: {what}")).with("line", line);
        item.sku.check().map_err(|error| wrong("bad_id", format!("the sku: {error}")))?;
        let quantity = units(&item.quantity, 1)
            .map_err(|what| wrong("bad_quantity", format!("the quantity of {} {what}", item.sku)))?;
        Ok(Quantity { sku: item.sku.clone(), quantity })
    };
    (1..).zip(items).map(quantity).collect()
}

/// What the articles cost now; each is looked up once.
async fn prices(app: &App, after: Position, items: &[Quantity]) -> Result<BTreeMap<Sku, PriceRow>, Problem> {
    let mut skus: Vec<&Sku> = items.iter().map(|item| &item.sku).collect();
    skus.sort_unstable();
    skus.dedup();
    let mut rows = app.rows::<PriceRow>().after(after).many(skus.clone()).await?;
    if rows.iter().any(Option::is_none) {
        // The rows may not know yet what the log knows; they are waited for, or the answer is "later".
        rows = app.rows::<PriceRow>().after(after.max(app.position())).many(skus).await?;
    }
    Ok(rows.into_iter().flatten().map(|row| (row.sku.clone(), row)).collect())
}

/// The lines and the total of an order, if there is one.
async fn placed(app: &App, order: &OrderId) -> Result<Option<(Vec<Line>, Money)>, Problem> {
    let now = app.position();
    let lines = app.rows::<OrderLinesRow>().after(now).get(order).await?;
    let row = app.rows::<OrderRow>().after(now).get(order).await?;
    Ok(lines.zip(row).map(|(lines, row)| (lines.items, row.total_amount)))
}

fn not_priced(items: &[Quantity], price_of: impl Fn(&Sku) -> Option<PriceRow>, error: &MoneyError) -> Problem {
    let alone = |item: &Quantity| pricing::lines(slice::from_ref(item), &price_of).is_err();
    match (1..).zip(items).find(|(_, item)| alone(item)) {
        Some((line, Quantity { sku, .. })) => {
            let line: u32 = line;
            Problem::invalid("no_price", format!("line {line}: {sku} cannot be priced: {error}")).with("line", line)
        }
        None => Problem::invalid("no_price", format!("the order cannot be priced: {error}")),
    }
}

/// An order, as its customer sees it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderView {
    order_id: OrderId,
    customer_id: Option<CustomerId>,
    customer_name: Option<String>,
    item_count: i64,
    total_amount: Money,
    status: OrderStatus,
    created_at: Timestamp,
    channel: SalesChannel,
    estimated_delivery: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<PaymentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid_items: Option<Vec<InvalidItem>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<Contact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    /// What came back so far, all returns together.
    #[serde(skip_serializing_if = "Option::is_none")]
    returned: Option<Returns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    returned_amount: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    returned_items: Option<Vec<ReturnItem>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<Line>>,
    /// What of its money is decided and not done yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_open: Option<PaymentAct>,
    /// What the provider said when it did not hold or take the money.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_reason: Option<String>,
    /// Why that needs a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_refused: Option<String>,
    /// Partners of the shop that are only played now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    simulated: Vec<&'static str>,
}

/// Pieces that came back, and what was given back for them.
#[derive(Serialize)]
struct Returns {
    pieces: i64,
    amount: Money,
}

impl Returns {
    fn of(row: &OrderRow) -> Option<Self> {
        let (items, amount) = (row.returned_items.as_ref()?, row.returned_amount?);
        Some(Self { pieces: items.iter().map(|item| item.quantity).sum(), amount })
    }
}

impl OrderView {
    fn new(app: &App, row: OrderRow, customer_name: Option<String>, items: Option<Vec<Line>>) -> Self {
        Self {
            returned: Returns::of(&row),
            order_id: row.order_id,
            customer_id: row.customer_id,
            customer_name,
            item_count: row.item_count,
            total_amount: row.total_amount,
            status: row.status,
            created_at: row.created_at,
            channel: row.channel,
            estimated_delivery: row.estimated_delivery,
            delivered_at: row.delivered_at,
            payment_id: row.payment_id,
            carrier: row.carrier,
            tracking_number: row.tracking_number,
            reason: row.reason,
            invalid_items: row.invalid_items,
            contact: row.contact,
            country: row.country,
            returned_amount: row.returned_amount,
            returned_items: row.returned_items,
            items,
            payment_open: None,
            payment_reason: None,
            payment_refused: None,
            simulated: simulated(app),
        }
    }
}

async fn read(
    State(app): State<App>,
    Extension(cache): Names,
    Key(id): Key<OrderId>,
    Asked { after, .. }: Asked,
) -> Result<impl IntoResponse, Problem> {
    let row = app.rows::<OrderRow>().after(after).get(&id).await?.ok_or_else(|| missing("order", &id))?;
    let lines = app.rows::<OrderLinesRow>().after(after).get(&id).await?;
    let name = names(&app, &cache, after, slice::from_ref(&row)).await?.into_values().next();
    let payment = app.rows::<OrderPaymentRow>().after(after).get(&id).await?;
    let mut view = OrderView::new(&app, row, name, lines.map(|lines| lines.items));
    if let Some(OrderPaymentRow { open, refused, reason, .. }) = payment {
        (view.payment_open, view.payment_refused, view.payment_reason) = (open, refused, reason);
    }
    Ok(Json(view))
}

/// Which orders.
#[derive(Deserialize)]
struct Which {
    customer: Option<CustomerId>,
    status: Option<OrderStatus>,
}

impl Filter<OrderRow> for Which {
    fn of(&self, rows: RowsOf<OrderRow>) -> RowsOf<OrderRow> {
        let rows = rows.equal_if("customerId", self.customer.as_ref()).equal_if("status", self.status.as_ref());
        rows.order_by("createdAt").descending()
    }
}

async fn list(
    State(app): State<App>,
    Extension(cache): Names,
    Listed { after, filter, paging }: Listed<Which>,
) -> Result<Json<List<OrderView>>, Problem> {
    let found = paging.of(filter.of(app.rows::<OrderRow>().after(after))).page().await?;
    let names = names(&app, &cache, after, &found.rows).await?;
    let named = found.rows.into_iter().map(|row| {
        let name = row.customer_id.as_ref().and_then(|customer| names.get(customer).cloned());
        OrderView::new(&app, row, name, None)
    });
    Ok(paging.list(named.collect(), found.total))
}

/// What the customers of orders are called, as far as it is known.
async fn names(
    app: &App,
    cache: &Cache<CustomerId, String>,
    after: Position,
    orders: &[OrderRow],
) -> Result<BTreeMap<CustomerId, String>, Problem> {
    let customers: BTreeSet<&CustomerId> = orders.iter().filter_map(|order| order.customer_id.as_ref()).collect();
    let (mut names, mut missing) = (BTreeMap::new(), Vec::new());
    for customer in customers {
        match cache.get_after(customer, after) {
            Some(name) => _ = names.insert(customer.clone(), name),
            None => missing.push((customer, cache.ticket(customer.clone()))),
        }
    }
    if missing.is_empty() {
        return Ok(names);
    }
    let rows = app.rows::<OrderCustomerRow>().after(after);
    let reached = rows.reached();
    let found = rows.many(missing.iter().map(|(customer, _)| *customer)).await?;
    for ((customer, ticket), row) in missing.into_iter().zip(found) {
        let Some(name) = row.and_then(|row| row.name) else { continue };
        // Rows that are not as far as the cache may say what is over.
        if let Some(ticket) = ticket.filter(|ticket| ticket.after <= reached) {
            cache.fill(ticket, name.clone());
        }
        names.insert(customer.clone(), name);
    }
    Ok(names)
}

/// Why an order is given up.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancelled {
    reason: Option<String>,
}

async fn cancel(
    State(app): State<App>,
    Key(order_id): Key<OrderId>,
    Only(Nothing {}): Only,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Cancelled>,
) -> Result<impl IntoResponse, Problem> {
    check_text("reason", data.reason.as_deref())?;
    let reason = data.reason.unwrap_or_else(|| "customer".to_owned());
    let command = CancelOrder { order_id: order_id.clone(), reason };
    let receipt = carry_out(&app, command, key.as_ref(), &[&raw]).await?;
    Ok(accepted(&app, &order_id, None, &receipt))
}

/// What comes back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Returned {
    items: Vec<ReturnedItem>,
    reason: Option<String>,
}

/// An item as it was sent, and which of the order's lines it is of.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReturnedItem {
    #[serde(alias = "productId", alias = "itemId")]
    sku: Sku,
    #[serde(default)]
    quantity: Value,
    line: Option<u32>,
}

impl ReturnedItem {
    fn split(self) -> (Item, Option<u32>) {
        (Item { sku: self.sku, quantity: self.quantity }, self.line)
    }
}

async fn take_back(
    State(app): State<App>,
    Key(order_id): Key<OrderId>,
    Only(Nothing {}): Only,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Returned>,
) -> Result<impl IntoResponse, Problem> {
    check_text("reason", data.reason.as_deref())?;
    let (items, lines): (Vec<Item>, Vec<_>) = data.items.into_iter().map(ReturnedItem::split).unzip();
    let items = quantities(&items)?.into_iter().zip(lines);
    let items = items.map(|(item, line)| ReturnItem { line, ..item.into() }).collect();
    let reason = data.reason.unwrap_or_else(|| "customer".to_owned());
    let command = ReturnOrder { order_id: order_id.clone(), credit_id: None, items, amount: None, reason };
    let receipt = carry_out(&app, command, key.as_ref(), &[&raw]).await?;
    Ok(accepted(&app, &order_id, None, &receipt))
}

/// What a person says of a held order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Looked {
    verdict: Verdict,
    by: Option<String>,
}

async fn release_hold(
    State(app): State<App>,
    Key(order_id): Key<OrderId>,
    Only(Nothing {}): Only,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Looked>,
) -> Result<impl IntoResponse, Problem> {
    check_text("by", data.by.as_deref())?;
    let command = ReleaseHold { order_id: order_id.clone(), verdict: data.verdict, by: data.by };
    let receipt = carry_out(&app, command, key.as_ref(), &[&raw]).await?;
    Ok(accepted(&app, &order_id, None, &receipt))
}

/// It is durable, and what follows from it is under way.
fn accepted(app: &App, order: &OrderId, status: Option<OrderStatus>, receipt: &Receipt) -> impl IntoResponse + use<> {
    let link = format!("/orders/{}", encoded(order));
    let links = json!({ "self": link, "cancel": format!("{link}/cancel"), "return": format!("{link}/return") });
    let mut body = json!({ "orderId": order, "links": links });
    if let Some(status) = status {
        body["status"] = word(status).into();
    }
    let simulated = simulated(app);
    if !simulated.is_empty() {
        body["simulated"] = json!(simulated);
    }
    (StatusCode::ACCEPTED, position(app.lineage(), receipt.position), Json(body))
}

fn rejected(rejection: OrderRejection) -> Problem {
    ExecuteError::Rejected(rejection.into()).into()
}
