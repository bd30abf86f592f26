//! A service that keeps its own tables, and a unit beside it: an order is a row of the one, and what the other hears of.

pub mod dispatch;

use factum::{
    envelope::Outgoing,
    error::{NameError, StoreError},
    payload::PayloadError,
    postgres::{
        inbox,
        outbox::{Outbox, OutboxError},
        tokio_postgres::{self, Client, Row},
    },
    prelude::*,
    stream::StreamId,
};

/// Published when an order is placed.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.placed")]
pub struct OrderPlaced {
    /// The order.
    pub order_id: String,
    /// What is wanted.
    pub sku: String,
    /// How much of it.
    pub quantity: i32,
}

/// An order, as the service's own table has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Its number.
    pub id: i64,
    /// What is wanted.
    pub sku: String,
    /// How much of it.
    pub quantity: i32,
}

/// Who takes orders.
pub struct Orders {
    outbox: Outbox,
}

/// Why there is no order.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// Nobody can order that.
    #[error("an order is of one piece at least")]
    Nothing,
    /// The unit or the inbox cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The service's own tables cannot be used.
    #[error(transparent)]
    Tables(#[from] tokio_postgres::Error),
    /// The event cannot be made.
    #[error(transparent)]
    Event(#[from] PayloadError),
    /// Its stream has no name.
    #[error(transparent)]
    Stream(#[from] NameError),
    /// It is not known, or known not, to stand. The same request may be sent again: it makes one order.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

impl Orders {
    /// Makes the tables that are missing, and finds the unit that is told of orders.
    pub async fn open(client: &Client, unit: &str) -> Result<Self, OrderError> {
        let table = "CREATE TABLE IF NOT EXISTS orders (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            request text UNIQUE NOT NULL, sku text NOT NULL, quantity int NOT NULL)";
        client.batch_execute(table).await?;
        inbox::prepare(client).await?;
        Ok(Self { outbox: Outbox::open(unit, "orders").await? })
    }

    /// Takes an order: looks the request up, makes the order, marks the request, publishes the event, all in one transaction. A
    /// request that comes again gets the order that it made.
    pub async fn create(
        &self,
        client: &mut Client,
        request: &str,
        sku: &str,
        quantity: i32,
    ) -> Result<Order, OrderError> {
        let transaction = client.transaction().await?;
        if !inbox::once(&transaction, "orders.create", "web", request).await? {
            let known = "SELECT id, sku, quantity FROM orders WHERE request = $1";
            return Ok(order(&transaction.query_one(known, &[&request]).await?));
        }
        if quantity < 1 {
            // What is dropped is rolled back, the mark with it: the request may come again, and be right then.
            return Err(OrderError::Nothing);
        }
        let put = "INSERT INTO orders (request, sku, quantity) VALUES ($1, $2, $3) RETURNING id, sku, quantity";
        let order = order(&transaction.query_one(put, &[&request, &sku, &quantity]).await?);
        self.outbox.commit_with(transaction, self.placed(request, &order)?).await?;
        Ok(order)
    }

    fn placed(&self, request: &str, order: &Order) -> Result<Outgoing, OrderError> {
        let Order { id, sku, quantity } = order.clone();
        let order_id = id.to_string();
        let stream = StreamId::new("order", &order_id)?;
        let event = self.outbox.event(stream, &OrderPlaced { order_id, sku, quantity })?;
        Ok(event.correlated(MessageId::parse(request)?))
    }
}

fn order(row: &Row) -> Order {
    Order { id: row.get(0), sku: row.get(1), quantity: row.get(2) }
}
