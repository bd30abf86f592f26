//! Carts over HTTP. What changes one is answered as soon as it is decided; only a check-out looks at rows of the whole cart.

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{delete, get, post},
};
use factum::{
    http::{After, IdempotencyKey, Key, Problem, Query, encoded, position},
    prelude::*,
    stream::Position,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::views::{CartPriceRow, CartRow, CartStatus};
use crate::{
    contracts::{
        cart::{AbandonCart, AddItem, CheckOutCart, CreateCart, PriceNow, RemoveItem},
        ids::{CartId, CustomerId, OrderId, PaymentMethod, Sku},
        shapes::Address,
    },
    http::{Body, Keys, Paging, carry_out, check_address, check_id_field, check_text, missing, one, page, units},
};

/// The routes of the carts.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/carts", get(list).post(open))
        .route("/carts/{id}", get(read))
        .route("/carts/{id}/items", post(add))
        .route("/carts/{id}/items/{sku}", delete(remove))
        .route("/carts/{id}/check-out", post(check_out))
        .route("/carts/{id}/abandon", post(abandon))
}

/// Whose cart is opened.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Opened {
    customer_id: Option<CustomerId>,
}

async fn open(
    State(app): State<App>,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Opened>,
) -> Result<impl IntoResponse, Problem> {
    if let Some(customer) = &data.customer_id {
        check_id_field("customerId", customer.as_str())?;
    }
    // A request that is sent again is for the same cart.
    let cart_id = match &key {
        Some(key) => CartId::of_key(key.as_str()),
        None => CartId::from(app.new_id().to_string()),
    };
    let command = CreateCart { cart_id: cart_id.clone(), customer_id: data.customer_id };
    let receipt = carry_out(&app, command, key.as_ref(), &[&raw]).await?;
    let location = [(header::LOCATION, format!("/carts/{cart_id}"))];
    Ok((StatusCode::CREATED, location, answer(&app, &cart_id, &receipt)))
}

/// Which carts.
#[derive(Deserialize)]
struct Filter {
    customer: Option<CustomerId>,
    status: Option<CartStatus>,
}

async fn list(
    State(app): State<App>,
    After(after): After,
    Query(filter): Query<Filter>,
    paging: Paging,
) -> Result<impl IntoResponse, Problem> {
    let mut rows = app.rows::<CartRow>().after(after);
    if let Some(customer) = &filter.customer {
        rows = rows.equal("customerId", customer);
    }
    if let Some(status) = &filter.status {
        rows = rows.equal("status", status);
    }
    page(rows, &paging).await
}

async fn read(State(app): State<App>, Key(id): Key<CartId>, After(after): After) -> Result<impl IntoResponse, Problem> {
    one(app.rows::<CartRow>().after(after), "cart", id).await
}

/// What goes in.
#[derive(Deserialize)]
struct Item {
    #[serde(alias = "productId", alias = "itemId")]
    sku: Sku,
    #[serde(default)]
    quantity: Value,
}

async fn add(
    State(app): State<App>,
    Key(cart_id): Key<CartId>,
    After(after): After,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Item>,
) -> Result<impl IntoResponse, Problem> {
    let sku = data.sku;
    sku.check().map_err(|error| Problem::invalid("bad_id", format!("the sku: {error}")).with("field", "sku"))?;
    let quantity = units(&data.quantity, 1)
        .map_err(|what| Problem::invalid("bad_quantity", format!("the quantity of {sku} {what}")))?;
    let rows = || app.rows::<CartPriceRow>();
    let price = match rows().after(after).get(&sku).await? {
        Some(price) => Some(price),
        // The rows may not know yet what the log knows.
        None => rows().after(after.max(app.position())).get(&sku).await?,
    };
    let CartPriceRow { name, price: unit_price, .. } = for_sale(&sku, price)?;
    let command = AddItem { cart_id: cart_id.clone(), sku, quantity, name, unit_price };
    let receipt = carry_out(&app, command, key.as_ref(), &[&raw]).await?;
    Ok(answer(&app, &cart_id, &receipt))
}

fn for_sale(sku: &Sku, row: Option<CartPriceRow>) -> Result<CartPriceRow, Problem> {
    let row =
        row.ok_or_else(|| Problem::invalid("unknown_product", format!("there is no product {sku} in the shop")))?;
    match row.active {
        true => Ok(row),
        false => Err(Problem::invalid("not_for_sale", format!("{sku} is not for sale: take something else"))),
    }
}

/// How many go out.
#[derive(Deserialize)]
struct Out {
    quantity: Option<i64>,
}

async fn remove(
    State(app): State<App>,
    Keys(cart_id, sku): Keys<CartId, Sku>,
    Query(out): Query<Out>,
    key: Option<IdempotencyKey>,
) -> Result<impl IntoResponse, Problem> {
    let sent = format!("{sku}\n{:?}", out.quantity);
    let command = RemoveItem { cart_id: cart_id.clone(), sku, quantity: out.quantity };
    let receipt = carry_out(&app, command, key.as_ref(), &[sent.as_bytes()]).await?;
    Ok(answer(&app, &cart_id, &receipt))
}

/// How it is ordered.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    customer_id: Option<CustomerId>,
    shipping_address: Option<Address>,
    payment_method: Option<PaymentMethod>,
    /// What the customer agrees to pay.
    total: Option<Money>,
}

async fn check_out(
    State(app): State<App>,
    Key(cart_id): Key<CartId>,
    After(after): After,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Order>,
) -> Result<impl IntoResponse, Problem> {
    if let Some(customer) = &data.customer_id {
        check_id_field("customerId", customer.as_str())?;
    }
    if let Some(method) = &data.payment_method {
        check_id_field("paymentMethod", method.as_str())?;
    }
    check_address("shippingAddress", data.shipping_address.as_ref())?;
    let command = CheckOutCart {
        cart_id: cart_id.clone(),
        customer_id: data.customer_id,
        prices: prices(&app, after.max(app.position()), &cart_id).await?,
        total: data.total,
        shipping_address: data.shipping_address,
        payment_method: data.payment_method,
    };
    let receipt = carry_out(&app, command, key.as_ref(), &[&raw]).await?;
    let order = OrderId::of_cart(&cart_id);
    let link = format!("/orders/{}", encoded(&order));
    let links = json!({ "self": format!("/carts/{}", encoded(&cart_id)), "order": link });
    let body = json!({ "cartId": cart_id, "orderId": order, "links": links });
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, link)], position(app.lineage(), receipt.position), Json(body)))
}

/// What the articles of a cart cost now. What goes in beside this costs what it did then.
async fn prices(app: &App, at: Position, cart: &CartId) -> Result<Vec<PriceNow>, Problem> {
    let row = app.rows::<CartRow>().after(at).get(cart).await?.ok_or_else(|| missing("cart", cart))?;
    if row.order_id.is_some() {
        // It is ordered already, and that does not change.
        return Ok(Vec::new());
    }
    let skus: Vec<&Sku> = row.items.iter().map(|item| &item.sku).collect();
    let prices = app.rows::<CartPriceRow>().after(at).many(skus.clone()).await?;
    let priced = skus.into_iter().zip(prices).map(|(sku, price)| {
        let CartPriceRow { sku, name, price: unit_price, .. } = for_sale(sku, price)?;
        Ok(PriceNow { sku, name, unit_price })
    });
    priced.collect()
}

/// Why it is given up.
#[derive(Deserialize)]
struct Why {
    reason: Option<String>,
}

async fn abandon(
    State(app): State<App>,
    Key(cart_id): Key<CartId>,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Why>,
) -> Result<impl IntoResponse, Problem> {
    check_text("reason", data.reason.as_deref())?;
    let reason = data.reason.unwrap_or_else(|| "customer".to_owned());
    let command = AbandonCart { cart_id: cart_id.clone(), reason, unchanged_since: None };
    let receipt = carry_out(&app, command, key.as_ref(), &[&raw]).await?;
    Ok(answer(&app, &cart_id, &receipt))
}

fn answer(app: &App, cart: &CartId, receipt: &Receipt) -> impl IntoResponse + use<> {
    let link = format!("/carts/{}", encoded(cart));
    let links = json!({ "self": link, "items": format!("{link}/items"), "checkOut": format!("{link}/check-out") });
    (position(app.lineage(), receipt.position), Json(json!({ "cartId": cart, "links": links })))
}
