//! The loader: a file's invoices through the whole shop, day by day on the data's own time.
//!
//! Each invoice is one commit: what it asks of the shop, and its line in the journal. So an import can be killed at any
//! moment and started again; it goes on where it was, with nothing doubled. A return is handed in when its order has
//! surely arrived; the order remembers the credit notes it has seen, so that a return handed in twice counts once.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use factum::{App, Archive, ExecuteError, Together, prelude::*, stream::StreamId};
use futures_util::future::try_join_all;
use jiff::tz::TimeZone;

use super::{
    Class, Credit, Customer, Demand, File, Invoice, Kind, Ledger, Line as FileLine,
    journal::{
        self, FinishImport, ImportEvent, InvoiceKind, Journal, SkippedRow, StartImport, TakeInvoice, UnreadableRow,
    },
};
use crate::{
    contracts::{
        catalog::RegisterProduct,
        customer::RegisterCustomer,
        ids::{CreditId, CustomerId, OrderId, PaymentMethod, Sku, WarehouseId},
        inventory::{AdjustStock, ReceiveStock},
        order::{CreateOrder, CreditOrder, ReturnOrder},
        shapes::{Address, Line, LineKind, Quantity},
    },
    inventory::decider::DEFAULT_WAREHOUSE,
    money::{pence, price},
    services::{Options, services},
    shipping::gateway::LONGEST_DAYS,
};

/// How an import runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// The share of payments that are declined.
    pub declines: f64,
    /// Interleaves deliveries by this seed.
    pub shuffle: Option<u64>,
}

/// What an import did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Invoices of the file.
    pub invoices: u64,
    /// Invoices that an earlier run had taken.
    pub before: u64,
    /// Rows that could not be read.
    pub unreadable: Vec<super::Unreadable>,
    /// How long this run took.
    pub took: Duration,
    /// How long each invoice of this run took to be durably accepted, shortest first.
    pub accepted: Vec<Duration>,
}

/// A shop on data time, for imports.
pub fn options(settings: &Settings) -> Options {
    Options {
        provider: None,
        carrier: None,
        declines: settings.declines,
        hold_suspicious: false,
        day: 1.days(),
        latency: 0.ms(),
    }
}

/// Imports a file into a directory, telling how many invoices are through.
///
/// # Errors
/// If the file or the directory cannot be used, or the shop refuses an invoice; a sentence says what to do.
pub async fn import(
    path: &Path,
    data: &Path,
    settings: &Settings,
    progress: &dyn Fn(u64, u64),
) -> anyhow::Result<Outcome> {
    let file = super::read(path)?;
    let mut app = App::open(data)?.on_data_time().with(journal::service());
    for service in services(&options(settings)) {
        app = app.with(service);
    }
    if let Some(seed) = settings.shuffle {
        app = app.shuffled(seed);
    }
    let app = app.start().await?;
    let outcome = run(&app, &file, settings, progress).await;
    let health = app.health();
    app.stop().await;
    if !health.is_well() {
        bail!("the shop did not run well: {}", serde_json::to_string(&health)?);
    }
    outcome
}

/// Runs a file through an app that is on data time and has the shop's services and the journal.
///
/// # Errors
/// As [`import`].
pub async fn run(app: &App, file: &File, settings: &Settings, progress: &dyn Fn(u64, u64)) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let journal = read_journal(app, &file.digest)?;
    let before = journal.count() as u64;
    if let Some(first) = file.invoices.first() {
        app.advance(first.at);
    }
    let start = StartImport {
        digest: file.digest.clone(),
        file: file.name.clone(),
        declines: settings.declines,
        shuffle: settings.shuffle,
    };
    let at = file.invoices.first().map_or(Timestamp::UNIX_EPOCH, |invoice| invoice.at);
    app.execute(start).at(at).await?;
    let plan = Plan::of(file);
    let loader = Loader { app, file, plan };
    let mut through = 0;
    let mut accepted = Vec::new();
    let mut returns = BTreeMap::new();
    for (day, invoices) in by_day(&file.invoices) {
        loader.until(day, &mut returns).await?;
        let fresh: Vec<&Invoice> = invoices.iter().copied().filter(|invoice| !journal.has(&invoice.number)).collect();
        accepted.extend(try_join_all(fresh.iter().map(|invoice| loader.hand_in(invoice))).await?);
        for invoice in &invoices {
            if let Some(credit) = loader.plan.credits.get(&invoice.number) {
                schedule(&mut returns, invoice, credit);
            }
        }
        app.rest().await?;
        through += invoices.len() as u64;
        progress(through, file.invoices.len() as u64);
    }
    loader.until(Timestamp::MAX, &mut returns).await?;
    if !journal.is_finished() {
        loader.finish().await?;
    }
    app.rest().await?;
    accepted.sort_unstable();
    let (unreadable, took) = (file.unreadable.clone(), started.elapsed());
    Ok(Outcome { invoices: file.numbers, before, unreadable, took, accepted })
}

/// What the whole file says, known before the first invoice is handed in.
struct Plan {
    products: BTreeMap<String, Vec<(String, Demand)>>,
    customers: BTreeMap<String, Vec<(String, Customer)>>,
    credits: BTreeMap<String, Credit>,
    unreadable: BTreeMap<String, Vec<UnreadableRow>>,
}

impl Plan {
    fn of(file: &File) -> Self {
        let mut products: BTreeMap<String, Vec<(String, Demand)>> = BTreeMap::new();
        for (code, demand) in super::demand(file) {
            products.entry(demand.invoice.clone()).or_default().push((code, demand));
        }
        let mut customers: BTreeMap<String, Vec<(String, Customer)>> = BTreeMap::new();
        for (id, customer) in super::customers(file) {
            customers.entry(customer.invoice.clone()).or_default().push((id, customer));
        }
        let mut ledger = Ledger::default();
        let mut credits = BTreeMap::new();
        for invoice in &file.invoices {
            match &invoice.kind {
                Kind::Order { .. } => ledger.order(invoice),
                Kind::CreditNote { .. } => _ = credits.insert(invoice.number.clone(), ledger.credit(invoice)),
                Kind::Stock { .. } | Kind::Skipped => {}
            }
        }
        let mut unreadable: BTreeMap<String, Vec<UnreadableRow>> = BTreeMap::new();
        for row in &file.unreadable {
            let invoice = row.invoice.clone().unwrap_or_default();
            unreadable.entry(invoice).or_default().push(UnreadableRow { line: row.line, reason: row.reason.clone() });
        }
        Self { products, customers, credits, unreadable }
    }
}

/// Returns that wait for their time, with the credit note that they come from.
type Returns = BTreeMap<(Timestamp, String, String), ReturnOrder>;

fn schedule(returns: &mut Returns, note: &Invoice, credit: &Credit) {
    for back in &credit.returns {
        let arrived = back.order_at + (u64::from(LONGEST_DAYS) + 1).days();
        let items =
            back.lines.iter().map(|line| Quantity { sku: Sku::from(line.code.as_str()), quantity: line.quantity });
        let command = ReturnOrder {
            order_id: OrderId::from(back.order.as_str()),
            credit_id: Some(CreditId::from(note.number.as_str())),
            items: items.collect(),
            amount: Some(pence(back.amount)),
            reason: "returned".to_owned(),
        };
        returns.insert((note.at.max(arrived), note.number.clone(), back.order.clone()), command);
    }
}

struct Loader<'a> {
    app: &'a App,
    file: &'a File,
    plan: Plan,
}

impl Loader<'_> {
    /// Moves the mark on: timers fire and returns are handed in, in order of time, until nothing is due before `end`.
    async fn until(&self, end: Timestamp, returns: &mut Returns) -> anyhow::Result<()> {
        loop {
            let rested = self.app.rest().await?;
            let back = returns.first_key_value().map(|((due, ..), _)| *due).filter(|due| *due < end);
            let timer = rested.next.filter(|due| *due < end);
            let Some(next) = back.into_iter().chain(timer).min() else { break };
            let day = end_of_day(next).min(end);
            self.app.advance(day);
            self.app.rest().await?;
            let later = returns.split_off(&(day, String::new(), String::new()));
            let due = std::mem::replace(returns, later);
            try_join_all(due.iter().map(|((at, note, _), back)| self.take_back(*at, note, back))).await?;
        }
        if end < Timestamp::MAX {
            self.app.advance(end);
        }
        Ok(())
    }

    async fn take_back(&self, at: Timestamp, note: &str, back: &ReturnOrder) -> anyhow::Result<()> {
        if !self.was_cancelled(&back.order_id)? {
            let context = || format!("the return of {} by {note}", back.order_id);
            self.app.execute(back.clone()).at(at).await.with_context(context)?;
            return Ok(());
        }
        let order = back.order_id.as_str();
        let original =
            self.plan.credits.get(note).and_then(|credit| credit.returns.iter().find(|back| back.order == order));
        let Some(original) = original else { return Ok(()) };
        let lines = original.lines.iter().map(|line| Line {
            line: line.line,
            kind: LineKind::Goods,
            sku: Sku::from(line.code.as_str()),
            name: String::new(),
            quantity: line.quantity,
            unit_price: None,
            amount: pence(line.amount),
        });
        let credit = CreditOrder {
            credit_id: CreditId::from(format!("{note}-{order}")),
            customer_id: None,
            items: lines.collect(),
            // What was never paid is not given back.
            amount: pence(0),
            order_id: Some(OrderId::from(order)),
            not_due: back.amount,
            reason: "order_cancelled".to_owned(),
        };
        self.app.execute(credit).at(at).await?;
        Ok(())
    }

    fn was_cancelled(&self, order: &OrderId) -> anyhow::Result<bool> {
        let stream = StreamId::new("order", order.as_str())?;
        let messages = Archive::of(self.app.reader()).stream(&stream)?;
        Ok(messages.iter().any(|stored| matches!(stored.type_name(), "order.cancelled" | "order.rejected")))
    }

    /// One invoice, in one commit; answers how long it took to be durable.
    async fn hand_in(&self, invoice: &Invoice) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let together = self.first_sights(self.app.together(), invoice)?;
        let together = match &invoice.kind {
            Kind::Order { lines } => together.add(&order(invoice, lines)?, invoice.at),
            Kind::CreditNote { .. } => self.credit(together, invoice)?,
            Kind::Stock { lines } => lines.iter().fold(together, |together, line| {
                let (sku, reason) = (Sku::from(line.sku.as_str()), line.reason.clone());
                together.add(&AdjustStock { sku, quantity: line.quantity, reason, warehouse_id: None }, invoice.at)
            }),
            Kind::Skipped => together,
        };
        let skipped = invoice.skipped.iter().map(|row| SkippedRow {
            line: row.line,
            code: row.code.clone(),
            reason: row.reason.to_owned(),
        });
        let take = TakeInvoice {
            digest: self.file.digest.clone(),
            invoice: invoice.number.clone(),
            kind: kind(&invoice.kind),
            rows: invoice.rows,
            amount: invoice.amount(),
            skipped: skipped.collect(),
            unreadable: self.plan.unreadable.get(&invoice.number).cloned().unwrap_or_default(),
        };
        match together.add(&take, invoice.at).execute().await {
            Ok(_) => Ok(started.elapsed()),
            Err(ExecuteError::Rejected(refused)) if refused.code == "order_exists" => bail!(
                "invoice {} is in this directory already, from another file: import into a fresh directory",
                invoice.number
            ),
            Err(error) => Err(error).with_context(|| format!("invoice {}", invoice.number)),
        }
    }

    /// Products and customers that this invoice is the first to name.
    fn first_sights<'a>(&self, mut together: Together<'a>, invoice: &Invoice) -> anyhow::Result<Together<'a>> {
        for (code, demand) in self.plan.products.get(&invoice.number).into_iter().flatten() {
            let sku = Sku::from(code.as_str());
            let line = invoice.lines().iter().find(|line| line.code == *code);
            let price = price(line.map_or("0", |line| line.unit_price.as_str()))?;
            let register = RegisterProduct { sku: sku.clone(), name: demand.name.clone(), price, active: true };
            let warehouse_id = WarehouseId::from(DEFAULT_WAREHOUSE);
            together = together
                .add(&register, invoice.at)
                .add(&ReceiveStock { sku, quantity: demand.receipt(), warehouse_id }, invoice.at);
        }
        for (id, customer) in self.plan.customers.get(&invoice.number).into_iter().flatten() {
            let register = RegisterCustomer {
                customer_id: CustomerId::from(id.as_str()),
                name: None,
                email: None,
                phone: None,
                address: Some(address(&customer.country)),
            };
            together = together.add(&register, invoice.at);
        }
        Ok(together)
    }

    /// What of a credit note belongs to no order.
    fn credit<'a>(&self, together: Together<'a>, note: &Invoice) -> anyhow::Result<Together<'a>> {
        let balance = self.plan.credits.get(&note.number).and_then(|credit| credit.credit.as_ref());
        let Some(balance) = balance else { return Ok(together) };
        let credit = CreditOrder {
            credit_id: CreditId::from(note.number.as_str()),
            customer_id: note.customer.as_deref().map(CustomerId::from),
            items: balance.lines.iter().map(line).collect::<anyhow::Result<_>>()?,
            amount: pence(balance.amount),
            order_id: None,
            not_due: None,
            reason: "no_matching_order".to_owned(),
        };
        Ok(together.add(&credit, note.at))
    }

    async fn finish(&self) -> anyhow::Result<()> {
        let kept: BTreeSet<&str> = self.file.invoices.iter().map(|invoice| invoice.number.as_str()).collect();
        let orphans = self.plan.unreadable.iter().filter(|(invoice, _)| !kept.contains(invoice.as_str()));
        let unreadable: Vec<UnreadableRow> = orphans.flat_map(|(_, rows)| rows.clone()).collect();
        let last = self.file.invoices.last().map_or(Timestamp::UNIX_EPOCH, |invoice| invoice.at);
        let finish = FinishImport {
            digest: self.file.digest.clone(),
            rows: unreadable.len() as u64,
            invoices: self.file.numbers - kept.len() as u64,
            unreadable,
        };
        self.app.execute(finish).at(last).await?;
        Ok(())
    }
}

/// The journal of a file, folded from the log.
fn read_journal(app: &App, digest: &str) -> anyhow::Result<Journal> {
    let mut journal = Journal::default();
    for stored in Archive::of(app.reader()).stream(&StreamId::new("import", digest)?)? {
        journal.evolve(&stored.decode::<ImportEvent>()?);
    }
    Ok(journal)
}

fn by_day(invoices: &[Invoice]) -> BTreeMap<Timestamp, Vec<&Invoice>> {
    let mut days: BTreeMap<Timestamp, Vec<&Invoice>> = BTreeMap::new();
    for invoice in invoices {
        days.entry(start_of_day(invoice.at)).or_default().push(invoice);
    }
    days
}

fn start_of_day(at: Timestamp) -> Timestamp {
    at.to_zoned(TimeZone::UTC).start_of_day().map_or(at, |day| day.timestamp())
}

fn end_of_day(at: Timestamp) -> Timestamp {
    start_of_day(at) + 1.days()
}

fn kind(kind: &Kind) -> InvoiceKind {
    match kind {
        Kind::Order { .. } => InvoiceKind::Order,
        Kind::CreditNote { .. } => InvoiceKind::CreditNote,
        Kind::Stock { .. } => InvoiceKind::Stock,
        Kind::Skipped => InvoiceKind::Skipped,
    }
}

/// The order that an invoice stands for.
///
/// # Errors
/// If a price is no decimal number.
pub fn order(invoice: &Invoice, lines: &[FileLine]) -> anyhow::Result<CreateOrder> {
    Ok(CreateOrder {
        order_id: OrderId::from(invoice.number.as_str()),
        customer_id: invoice.customer.as_deref().map(CustomerId::from),
        cart_id: None,
        items: lines.iter().map(line).collect::<anyhow::Result<_>>()?,
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: pence(invoice.amount()),
        shipping_address: Some(address(&invoice.country)),
        payment_method: Some(PaymentMethod::from("card")),
    })
}

fn line(line: &FileLine) -> anyhow::Result<Line> {
    Ok(Line {
        line: line.line,
        kind: match line.class {
            Class::Goods => LineKind::Goods,
            Class::Carriage => LineKind::Carriage,
            Class::Manual => LineKind::Manual,
        },
        sku: Sku::from(line.code.as_str()),
        name: line.name.clone(),
        quantity: line.quantity,
        unit_price: Some(price(&line.unit_price)?),
        amount: pence(line.amount),
    })
}

fn address(country: &str) -> Address {
    Address { country: country.to_owned(), name: None, street: None, city: None, region: None, postcode: None }
}
