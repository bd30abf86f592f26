//! What may happen to a cart: `– ─► open ─► checked_out | abandoned`. It changes only while it is open.
//!
//! A cart that is checked out sells at the prices of now. If that comes to another sum than the cart shows, the customer has
//! to agree to it first.

use factum::{
    money::{MoneyError, UnitPrice},
    prelude::*,
};

use crate::{
    contracts::{
        cart::*,
        ids::{CartId, CustomerId, OrderId, Sku},
        shapes::Line,
    },
    money::pence,
};

/// Articles that a cart may hold: an order takes as many lines and more.
pub const MAX_LINES: usize = 500;
/// Pieces of one article that it may hold, as many as an order's line.
const MAX_QUANTITY: i64 = 1_000_000_000;

/// A cart.
#[derive(Default)]
pub struct Cart {
    state: State,
    customer: Option<CustomerId>,
    lines: Vec<Line>,
    changed_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    None,
    Open,
    CheckedOut,
    Abandoned,
}

/// Why the cart service says no.
#[derive(Debug, Rejection)]
#[allow(missing_docs, reason = "each variant says itself what it is")]
pub enum CartRejection {
    #[rejection("bad_id", "the {what} is no valid id: use 1 to 115 bytes of printable text", invalid)]
    BadId { what: &'static str },
    #[rejection("unknown_cart", "there is no cart {id}: open one with POST /carts", missing)]
    Unknown { id: CartId },
    #[rejection("cart_exists", "cart {id} exists already: use another id")]
    Exists { id: CartId },
    #[rejection("cart_ended", "cart {id} is {state} and does not change any more: open another one")]
    Ended { id: CartId, state: &'static str },
    #[rejection("empty_cart", "there is nothing in cart {id}: put something in first")]
    Empty { id: CartId },
    #[rejection("too_many_lines", "a cart holds 500 articles: check out, or take something out", invalid)]
    TooManyLines,
    #[rejection("unknown_product", "there is no product {sku} in the shop", invalid)]
    UnknownProduct { sku: Sku },
    #[rejection("not_for_sale", "{sku} is not for sale: take something else", invalid)]
    NotForSale { sku: Sku },
    #[rejection("bad_quantity", "{quantity} of {sku} cannot be: a cart holds 1 to 1000000000 of it", invalid)]
    BadQuantity { sku: Sku, quantity: i64 },
    #[rejection("not_in_the_cart", "{sku} is not in cart {id}", missing)]
    NotThere { id: CartId, sku: Sku },
    #[rejection("not_that_many", "{quantity} of {sku} cannot go out: there are {left} in the cart", invalid)]
    NotThatMany { sku: Sku, quantity: i64, left: i64 },
    #[rejection("no_price", "the cart cannot be priced: {why}", invalid)]
    NoPrice { why: String },
    #[rejection(
        "total_changed",
        "the cart comes to {now}, not to {agreed}: send `total` with it to agree, or change it"
    )]
    TotalChanged { now: Money, agreed: Money },
}

impl From<MoneyError> for CartRejection {
    fn from(error: MoneyError) -> Self {
        Self::NoPrice { why: error.to_string() }
    }
}

impl Decider for Cart {
    const CATEGORY: &'static str = "cart";
    type Id = CartId;
    type Command = CartCommand;
    type Event = CartEvent;
    type Rejection = CartRejection;

    fn address(command: &CartCommand, _: &Envelope) -> CartId {
        use CartCommand as C;
        match command {
            C::Create(c) => &c.cart_id,
            C::AddItem(c) => &c.cart_id,
            C::RemoveItem(c) => &c.cart_id,
            C::CheckOut(c) => &c.cart_id,
            C::Abandon(c) => &c.cart_id,
        }
        .clone()
    }

    fn decide(&self, id: &CartId, command: CartCommand, _: &Context) -> Result<Vec<CartEvent>, CartRejection> {
        use CartCommand as C;
        let ended = |state| Err(CartRejection::Ended { id: id.clone(), state });
        match (self.state, command) {
            (State::None, C::Create(create)) => Self::create(create),
            (State::None, _) => Err(CartRejection::Unknown { id: id.clone() }),
            (_, C::Create(_)) => Err(CartRejection::Exists { id: id.clone() }),
            // Twice is once: whoever asks again means the same order.
            (State::CheckedOut, C::CheckOut(_)) | (State::Abandoned, C::Abandon(_)) => Ok(vec![]),
            // Its time was over just when it was checked out.
            (State::CheckedOut, C::Abandon(abandon)) if abandon.unchanged_since.is_some() => Ok(vec![]),
            (State::CheckedOut, _) => ended("checked out"),
            (State::Abandoned, _) => ended("abandoned"),
            (State::Open, C::AddItem(add)) => self.add(add),
            (State::Open, C::RemoveItem(remove)) => self.remove(remove),
            (State::Open, C::CheckOut(check_out)) => self.check_out(check_out),
            (State::Open, C::Abandon(abandon)) => Ok(self.abandon(abandon)),
        }
    }

    fn evolve(&mut self, event: &CartEvent) {
        match event {
            CartEvent::Created(e) => {
                self.customer.clone_from(&e.customer_id);
                self.state = State::Open;
            }
            CartEvent::ItemAdded(e) => put_in(&mut self.lines, &e.item),
            CartEvent::ItemRemoved(e) => take_out(&mut self.lines, &e.sku, e.quantity),
            CartEvent::CheckedOut(_) => self.state = State::CheckedOut,
            CartEvent::Abandoned(_) => self.state = State::Abandoned,
        }
    }

    fn evolve_at(&mut self, event: &CartEvent, at: Timestamp) {
        self.evolve(event);
        self.changed_at = self.changed_at.max(Some(at));
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + 192 * self.lines.len()
    }
}

impl Cart {
    fn create(create: CreateCart) -> Result<Vec<CartEvent>, CartRejection> {
        // The order's id follows from it, and others from that.
        if !create.cart_id.valid() || !OrderId::of_cart(&create.cart_id).valid() {
            return Err(CartRejection::BadId { what: "cartId" });
        }
        if create.customer_id.as_ref().is_some_and(|customer| !customer.valid()) {
            return Err(CartRejection::BadId { what: "customerId" });
        }
        let CreateCart { cart_id, customer_id } = create;
        Ok(vec![CartEvent::Created(CartCreated { cart_id, customer_id })])
    }

    fn add(&self, add: AddItem) -> Result<Vec<CartEvent>, CartRejection> {
        let AddItem { cart_id, sku, quantity, offer } = add;
        if !sku.valid() {
            return Err(CartRejection::BadId { what: "sku" });
        }
        let Offer { name, unit_price, .. } = match offer {
            None => return Err(CartRejection::UnknownProduct { sku }),
            Some(offer) if !offer.active => return Err(CartRejection::NotForSale { sku }),
            Some(offer) => offer,
        };
        let there = self.lines.iter().find(|line| line.sku == sku);
        let all = there.map_or(0, |line| line.quantity).saturating_add(quantity);
        if quantity < 1 || all > MAX_QUANTITY {
            return Err(CartRejection::BadQuantity { sku, quantity: if quantity < 1 { quantity } else { all } });
        }
        if there.is_none() && self.lines.len() == MAX_LINES {
            return Err(CartRejection::TooManyLines);
        }
        let line = there.map_or_else(|| next_line(&self.lines), |line| line.line);
        let item = Line::goods(line, sku, &name, quantity, unit_price)?;
        let mut lines = self.lines.clone();
        put_in(&mut lines, &item);
        // What is in it can be paid.
        total(&lines)?;
        Ok(vec![CartEvent::ItemAdded(CartItemAdded { cart_id, item })])
    }

    fn remove(&self, remove: RemoveItem) -> Result<Vec<CartEvent>, CartRejection> {
        let RemoveItem { cart_id, sku, quantity } = remove;
        let Some(there) = self.lines.iter().find(|line| line.sku == sku) else {
            return Err(CartRejection::NotThere { id: cart_id, sku });
        };
        match quantity {
            Some(quantity) if quantity < 1 => Err(CartRejection::BadQuantity { sku, quantity }),
            Some(quantity) if quantity > there.quantity => {
                Err(CartRejection::NotThatMany { sku, quantity, left: there.quantity })
            }
            _ => Ok(vec![CartEvent::ItemRemoved(CartItemRemoved { cart_id, sku, quantity })]),
        }
    }

    fn check_out(&self, asked: CheckOutCart) -> Result<Vec<CartEvent>, CartRejection> {
        let CheckOutCart { cart_id, customer_id, prices, total: agreed, shipping_address, payment_method } = asked;
        if self.lines.is_empty() {
            return Err(CartRejection::Empty { id: cart_id });
        }
        let customer_id = self.customer.clone().or(customer_id);
        if customer_id.as_ref().is_some_and(|customer| !customer.valid()) {
            return Err(CartRejection::BadId { what: "customerId" });
        }
        let shown = total(&self.lines)?;
        let mut items = self.lines.clone();
        for (number, item) in (1..).zip(&mut items) {
            if let Some(PriceNow { name, unit_price, .. }) = prices.iter().find(|price| price.sku == item.sku) {
                *item = Line::goods(number, item.sku.clone(), name, item.quantity, unit_price.clone())?;
            }
            item.line = number;
        }
        let (total, agreed) = (total(&items)?, agreed.unwrap_or(shown));
        if total != agreed {
            return Err(CartRejection::TotalChanged { now: total, agreed });
        }
        Ok(vec![CartEvent::CheckedOut(CartCheckedOut {
            cart_id,
            customer_id,
            items,
            subtotal: total,
            discount: None,
            tax: None,
            total,
            shipping_address,
            payment_method,
        })])
    }

    fn abandon(&self, abandon: AbandonCart) -> Vec<CartEvent> {
        let AbandonCart { cart_id, reason, unchanged_since } = abandon;
        // Its time was over just when somebody changed it.
        if unchanged_since.is_some_and(|since| self.changed_at.is_some_and(|changed| changed > since)) {
            return vec![];
        }
        let (customer_id, items) = (self.customer.clone(), self.lines.clone());
        vec![CartEvent::Abandoned(CartAbandoned { cart_id, customer_id, reason, items })]
    }
}

/// A number that no line has.
fn next_line(lines: &[Line]) -> u32 {
    lines.iter().map(|line| line.line).max().unwrap_or_default().saturating_add(1)
}

/// Puts so many more pieces in; all of them have the newest name and price.
pub fn put_in(lines: &mut Vec<Line>, item: &Line) {
    match lines.iter_mut().find(|line| line.sku == item.sku) {
        None => lines.push(item.clone()),
        Some(line) => {
            let quantity = line.quantity.saturating_add(item.quantity);
            *line = Line { line: line.line, quantity, ..item.clone() };
            reprice(line);
        }
    }
}

/// Takes so many pieces out, or all of them.
pub fn take_out(lines: &mut Vec<Line>, sku: &Sku, quantity: Option<i64>) {
    for line in lines.iter_mut().filter(|line| line.sku == *sku) {
        line.quantity = quantity.map_or(0, |quantity| line.quantity.saturating_sub(quantity));
        reprice(line);
    }
    lines.retain(|line| line.quantity > 0);
}

fn reprice(line: &mut Line) {
    if let Some(Ok(amount)) = line.unit_price.as_ref().map(|price: &UnitPrice| price.times(line.quantity)) {
        line.amount = amount;
    }
}

/// What a cart comes to.
///
/// # Errors
/// [`MoneyError`] if it is beyond what money can count.
pub fn total(lines: &[Line]) -> Result<Money, MoneyError> {
    lines.iter().try_fold(pence(0), |sum, line| sum.checked_add(line.amount))
}

#[cfg(test)]
mod tests;
