//! Carts over HTTP. What changes one is answered as soon as it is decided; only a check-out looks at rows of the whole cart.

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{delete, get, post},
};
use factum::{
    RowsOf,
    http::{Body, IdempotencyKey, Key, Problem, encoded, position},
    prelude::*,
    stream::Position,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::views::{CartPriceRow, CartRow, CartStatus};
use crate::{
    contracts::{
        cart::{AbandonCart, AddItem, CheckOutCart, CreateCart, Offer, PriceNow, RemoveItem},
        ids::{CartId, CustomerId, OrderId, PaymentMethod, Sku},
    },
    http::{
        Asked, Filter, Keys, Nothing, Only, SentAddress, SentMoney, address, amount, carry_out, check_id_field,
        check_text, list, missing, one, units,
    },
};

/// The routes of the carts.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/carts", get(list::<CartRow, Which>).post(open))
        .route("/carts/{id}", get(read))
        .route("/carts/{id}/items", post(add))
        .route("/carts/{id}/items/{sku}", delete(remove))
        .route("/carts/{id}/check-out", post(check_out))
        .route("/carts/{id}/abandon", post(abandon))
}

/// Whose cart is opened.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Opened {
    customer_id: Option<CustomerId>,
}

async fn open(
    State(app): State<App>,
    Only(Nothing {}): Only,
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
struct Which {
    customer: Option<CustomerId>,
    status: Option<CartStatus>,
}

impl Filter<CartRow> for Which {
    fn of(&self, rows: RowsOf<CartRow>) -> RowsOf<CartRow> {
        rows.equal_if("customerId", self.customer.as_ref()).equal_if("status", self.status.as_ref())
    }
}

async fn read(
    State(app): State<App>,
    Key(id): Key<CartId>,
    Asked { after, .. }: Asked,
) -> Result<impl IntoResponse, Problem> {
    one(app.rows::<CartRow>().after(after), "cart", id).await
}

/// What goes in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    #[serde(alias = "productId", alias = "itemId")]
    sku: Sku,
    #[serde(default)]
    quantity: Value,
}

async fn add(
    State(app): State<App>,
    Key(cart_id): Key<CartId>,
    Asked { after, .. }: Asked,
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
    // Whether it is for sale is the cart's to say: what was put in under this key was, whatever it is by now.
    let offer = price.map(|CartPriceRow { name, price: unit_price, active, .. }| Offer { name, unit_price, active });
    let command = AddItem { cart_id: cart_id.clone(), sku, quantity, offer };
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
    Only(out): Only<Out>,
    key: Option<IdempotencyKey>,
) -> Result<impl IntoResponse, Problem> {
    let sent = format!("{sku}\n{:?}", out.quantity);
    let command = RemoveItem { cart_id: cart_id.clone(), sku, quantity: out.quantity };
    let receipt = carry_out(&app, command, key.as_ref(), &[sent.as_bytes()]).await?;
    Ok(answer(&app, &cart_id, &receipt))
}

/// How it is ordered.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Order {
    customer_id: Option<CustomerId>,
    shipping_address: Option<SentAddress>,
    payment_method: Option<PaymentMethod>,
    /// What the customer agrees to pay.
    total: Option<SentMoney>,
}

async fn check_out(
    State(app): State<App>,
    Key(cart_id): Key<CartId>,
    Asked { after, .. }: Asked,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Order>,
) -> Result<impl IntoResponse, Problem> {
    if let Some(customer) = &data.customer_id {
        check_id_field("customerId", customer.as_str())?;
    }
    if let Some(method) = &data.payment_method {
        check_id_field("paymentMethod", method.as_str())?;
    }
    let shipping_address = address("shippingAddress", data.shipping_address)?;
    let total = amount("total", data.total)?;
    let command = CheckOutCart {
        cart_id: cart_id.clone(),
        customer_id: data.customer_id,
        prices: prices(&app, after.max(app.position()), &cart_id).await?,
        total,
        shipping_address,
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
#[serde(deny_unknown_fields)]
struct Why {
    reason: Option<String>,
}

async fn abandon(
    State(app): State<App>,
    Key(cart_id): Key<CartId>,
    Only(Nothing {}): Only,
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
