//! The loader: a file's invoices through the whole shop, day by day on the data's own time.
//!
//! Each invoice is one commit: what it asks of the shop, and its line in the journal. So an import can be killed at any
//! moment and started again; it goes on where it was, with nothing doubled. A return is handed in when its order has
//! surely arrived; the order remembers the credit notes it has seen, so that a return handed in twice counts once.
//!
//! Nothing that a file holds ends an import: an invoice that the shop refuses is noted with the reason, and a return that
//! cannot be becomes a credit.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use factum::{App, AppBuilder, Archive, ExecuteError, Together, error::CommitError, prelude::*, stream::StreamId};
use futures_util::future::try_join_all;
use jiff::tz::TimeZone;

use super::{
    AWAY,
    commands::{back, balance, instead, kind, register},
    demand::movements,
    file::{File, Unreadable},
    history::{Edition, History},
    invoice::{Invoice, Kind},
    journal::{self, FinishImport, InvoiceKind, NoteRows, Owed, ResumeImport, StartImport, SuspendImport, TakeInvoice},
    live,
    manner::{self, Manner},
    plan::{Plan, parts},
};
use crate::{
    contracts::{
        catalog::RegisterProduct,
        ids::{OrderId, Sku, WarehouseId},
        inventory::{AdjustStock, ReceiveStock},
        process::Process,
    },
    data::Data,
    inventory::decider::DEFAULT_WAREHOUSE,
    money::price,
    partners::{Partners, refuse_others},
    services::{Options, open, services},
};

pub use super::commands::order;

/// Invoices that are handed in at once.
const AT_ONCE: usize = 500;

/// How an import runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// The share of payments that are declined.
    pub declines: f64,
    /// Interleaves deliveries by this seed.
    pub shuffle: Option<u64>,
    /// How the orders are run; if it is not said, as the file's import was begun, or else orchestrated.
    pub process: Option<Process>,
    /// Whether customers get an address for mail, which the file does not have, so that what they are told can be seen.
    pub mail: bool,
}

/// What an import did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Invoices of the file.
    pub invoices: u64,
    /// Invoices that an earlier run, or an earlier edition of the file, had brought.
    pub before: u64,
    /// Rows that could not be read, and the first row of each invoice that the shop refused.
    pub unreadable: Vec<Unreadable>,
    /// Rows that can be read now, of invoices that came in without them before.
    pub late: Vec<Unreadable>,
    /// How long this run took.
    pub took: Duration,
    /// How long each invoice of this run took to be durably accepted, shortest first.
    pub accepted: Vec<Duration>,
}

/// A shop on data time, for imports.
pub fn options(settings: &Settings) -> Options {
    Options { declines: settings.declines, process: settings.process.unwrap_or_default(), ..Options::default() }
}

/// The app of an import over these data.
pub(super) fn shop(data: &Data, settings: &Settings) -> anyhow::Result<AppBuilder> {
    let mut app = open(data)?.on_data_time().with(journal::service());
    for service in services(&options(settings)) {
        app = app.with(service);
    }
    Ok(match settings.shuffle {
        Some(seed) => app.shuffled(seed),
        None => app,
    })
}

/// Imports a file into a shop's data, telling how many invoices are through. One that was begun goes on where it was.
///
/// # Errors
/// If the file or the data cannot be used, something is under way there that no file brought, other partners than
/// simulated ones have to do with it, an import was begun there in another manner, or another import has taken invoices of the
/// file; a sentence says what to do, and nothing of the file was stored.
pub async fn import(
    path: &Path,
    data: impl Into<Data>,
    settings: &Settings,
    progress: &dyn Fn(u64, u64),
) -> anyhow::Result<Outcome> {
    import_as(path, data.into(), settings, Begun::Perhaps, progress).await
}

/// Goes on with an import that was begun, also if it was set aside.
///
/// # Errors
/// As [`import`], and if it was not begun or is finished.
pub async fn resume(
    path: &Path,
    data: impl Into<Data>,
    settings: &Settings,
    progress: &dyn Fn(u64, u64),
) -> anyhow::Result<Outcome> {
    import_as(path, data.into(), settings, Begun::Surely, progress).await
}

/// Whether an import was begun before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    Perhaps,
    /// It goes on also if it was set aside.
    Surely,
}

async fn import_as(
    path: &Path,
    data: Data,
    settings: &Settings,
    begun: Begun,
    progress: &dyn Fn(u64, u64),
) -> anyhow::Result<Outcome> {
    let file = super::read(path)?;
    // An import runs with simulated partners.
    refuse_others(&data, &Partners::of(None, None))?;
    live::refuse(&data)?;
    let Manner { declines, process } = manner::of(&file, &data, settings)?;
    let settings = Settings { declines, process: Some(process), ..*settings };
    let app = shop(&data, &settings)?.start().await?;
    let outcome = match begun {
        Begun::Perhaps => run(&app, &file, &settings, progress).await,
        Begun::Surely => go_on(&app, &file, &settings, progress).await,
    };
    let health = app.health();
    app.stop().await;
    let outcome = outcome?;
    if !health.is_well() {
        bail!("the shop did not run well: {}", serde_json::to_string(&health)?);
    }
    Ok(outcome)
}

/// The same as [`run`] for an import that was begun, also if it was set aside.
///
/// # Errors
/// As [`resume`].
pub async fn go_on(
    app: &App,
    file: &File,
    settings: &Settings,
    progress: &dyn Fn(u64, u64),
) -> anyhow::Result<Outcome> {
    let history = History::of(&Archive::of(app.reader()))?;
    match history.imports().get(&file.digest) {
        Some(begun) if !begun.finished => {}
        _ => bail!("no import of {} waits to be resumed here: leave --resume out", file.name),
    }
    // Told before anything is stored, if another import has taken its invoices meanwhile.
    history.edition(file)?;
    app.execute(ResumeImport { digest: file.digest.clone() }).at(Timestamp::UNIX_EPOCH).patient(AWAY).await?;
    run(app, file, settings, progress).await
}

/// Runs a file through an app that is on data time and has the shop's services and the journal.
///
/// # Errors
/// As [`import`].
pub async fn run(app: &App, file: &File, settings: &Settings, progress: &dyn Fn(u64, u64)) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let history = History::of(&Archive::of(app.reader()))?;
    let begun = history.imports().get(&file.digest);
    let edition = history.edition(file)?;
    let nothing = BTreeSet::new();
    let done = begun.map_or(&nothing, |import| &import.done);
    let plan = Plan::of(&edition, &history);
    let loader = Loader { app, file, edition: &edition, history: &history, plan, mail: settings.mail };
    let is_news = begun.is_some() || !edition.invoices.is_empty() || !edition.unreadable.is_empty();
    if is_news {
        let first = edition.invoices.first().map_or(Timestamp::UNIX_EPOCH, |invoice| invoice.at);
        app.advance(first);
        loader.start(settings, first).await?;
    }
    let mut returns: Returns = history.pending().map(|(note, owed)| entry(note, owed)).collect();
    let (mut through, mut accepted, mut unreadable) = (0, Vec::new(), file.unreadable.clone());
    for (day, invoices) in by_day(&edition.invoices) {
        until(app, day, &mut returns).await?;
        let fresh: Vec<&Invoice> = invoices.iter().copied().filter(|invoice| !done.contains(&invoice.number)).collect();
        for some in fresh.chunks(AT_ONCE) {
            for (took, refused) in try_join_all(some.iter().map(|invoice| loader.hand_in(invoice))).await? {
                accepted.push(took);
                unreadable.extend(refused);
            }
        }
        for note in fresh {
            let owed = loader.plan.owed.get(&note.number).into_iter().flatten();
            returns.extend(owed.filter(|owed| !owed.settled).map(|owed| entry(&note.number, owed)));
        }
        app.rest().await?;
        through += invoices.len() as u64;
        progress(through, edition.invoices.len() as u64);
    }
    until(app, Timestamp::MAX, &mut returns).await?;
    if is_news {
        loader.finish().await?;
    }
    app.rest().await?;
    accepted.sort_unstable();
    let before = (file.invoices.len() - edition.invoices.len() + done.len()) as u64;
    Ok(Outcome {
        invoices: file.numbers,
        before,
        unreadable,
        late: edition.late.clone(),
        took: started.elapsed(),
        accepted,
    })
}

/// Returns that wait for their time, by it, the credit note that they come from and the order.
pub(super) type Returns = BTreeMap<(Timestamp, String, String), Owed>;

pub(super) fn entry(note: &str, owed: &Owed) -> ((Timestamp, String, String), Owed) {
    ((owed.due, note.to_owned(), owed.order.to_string()), owed.clone())
}

struct Loader<'a> {
    app: &'a App,
    file: &'a File,
    edition: &'a Edition<'a>,
    history: &'a History,
    plan: Plan,
    /// See [`Settings::mail`].
    mail: bool,
}

impl Loader<'_> {
    /// Notes the import, that it takes the place of earlier editions, and the rows that come to nothing.
    async fn start(&self, settings: &Settings, at: Timestamp) -> anyhow::Result<()> {
        let start = StartImport {
            digest: self.file.digest.clone(),
            file: self.file.name.clone(),
            declines: settings.declines,
            shuffle: settings.shuffle,
            process: settings.process.unwrap_or_default(),
        };
        self.app.execute(start).at(at).patient(AWAY).await?;
        for digest in &self.edition.earlier {
            let reason = format!("{} holds all of it and more", self.file.name);
            self.app.execute(SuspendImport { digest: digest.clone(), reason }).at(at).patient(AWAY).await?;
        }
        for (part, (skipped, unreadable)) in (0..).zip(parts(self.edition)) {
            let digest = self.file.digest.clone();
            self.app.execute(NoteRows { digest, part, skipped, unreadable }).at(at).patient(AWAY).await?;
        }
        Ok(())
    }

    /// One invoice, in one commit; answers how long it took to be durable, and why the shop refused it, if it did.
    async fn hand_in(&self, invoice: &Invoice) -> anyhow::Result<(Duration, Option<Unreadable>)> {
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
        match together.add(&self.take(invoice, None), invoice.at).patient(AWAY).execute().await {
            Ok(_) => Ok((started.elapsed(), None)),
            Err(error) if is_about_the_request(&error) => {
                let reason = error.to_string();
                self.refuse(invoice, &reason).await?;
                let (line, number) = (invoice.places.first().copied().unwrap_or_default(), invoice.number.clone());
                let reason = format!("invoice {number}: {reason}");
                Ok((started.elapsed(), Some(Unreadable { line, invoice: Some(number), reason })))
            }
            Err(error) => Err(error).with_context(|| format!("invoice {}", invoice.number)),
        }
    }

    /// Notes that the shop does not take an invoice. What it is the first to name is made known all the same: others will
    /// name it too.
    async fn refuse(&self, invoice: &Invoice, reason: &str) -> anyhow::Result<()> {
        let refused = self.take(invoice, Some(reason.to_owned()));
        let sights = self.first_sights(self.app.together(), invoice)?;
        match sights.add(&refused, invoice.at).patient(AWAY).execute().await {
            Err(error) if is_about_the_request(&error) => {
                _ = self.app.execute(refused).at(invoice.at).patient(AWAY).await?
            }
            other => _ = other?,
        }
        Ok(())
    }

    fn take(&self, invoice: &Invoice, refused: Option<String>) -> TakeInvoice {
        let taken = refused.is_none();
        let owed = self.plan.owed.get(&invoice.number).filter(|_| taken);
        TakeInvoice {
            digest: self.file.digest.clone(),
            invoice: invoice.number.clone(),
            kind: if taken { kind(&invoice.kind) } else { InvoiceKind::Refused },
            rows: invoice.rows,
            amount: if taken { invoice.amount() } else { 0 },
            content: invoice.content(&BTreeSet::new()),
            owed: owed.cloned().unwrap_or_default(),
            refused,
        }
    }

    /// Products and customers that this invoice is the first to name, and what the file takes of the products.
    fn first_sights<'a>(&self, mut together: Together<'a>, invoice: &Invoice) -> anyhow::Result<Together<'a>> {
        for (code, demand) in self.plan.products.get(&invoice.number).into_iter().flatten() {
            let sku = Sku::from(code.as_str());
            let is_known = self.history.knows_product(code);
            if !is_known {
                let (name, price) = (demand.name.clone(), price(&demand.price)?);
                together = together.add(&RegisterProduct { sku: sku.clone(), name, price, active: true }, invoice.at);
            }
            for quantity in movements(if is_known { demand.units } else { demand.receipt() }) {
                let warehouse_id = WarehouseId::from(DEFAULT_WAREHOUSE);
                together = together.add(&ReceiveStock { sku: sku.clone(), quantity, warehouse_id }, invoice.at);
            }
        }
        for (id, customer) in self.plan.customers.get(&invoice.number).into_iter().flatten() {
            together = together.add(&register(id, customer, self.mail), invoice.at);
        }
        Ok(together)
    }

    /// What of a credit note waits for no order.
    fn credit<'a>(&self, mut together: Together<'a>, note: &Invoice) -> anyhow::Result<Together<'a>> {
        if let Some(rest) = self.plan.balances.get(&note.number) {
            together = together.add(&balance(note, rest)?, note.at);
        }
        let owed = self.plan.owed.get(&note.number).into_iter().flatten();
        for owed in owed.filter(|owed| owed.settled) {
            let number = format!("{}/settled", note.number);
            together = together.add(&instead(&number, owed, 0, owed.amount, "came_back_before"), note.at);
        }
        Ok(together)
    }

    async fn finish(&self) -> anyhow::Result<()> {
        let kept: BTreeSet<&str> = self.file.invoices.iter().map(|invoice| invoice.number.as_str()).collect();
        let is_kept = |row: &&&Unreadable| row.invoice.as_deref().is_some_and(|number| kept.contains(number));
        let orphans: Vec<&Unreadable> = self.edition.unreadable.iter().filter(|row| !is_kept(row)).copied().collect();
        let invoices: BTreeSet<&str> = orphans.iter().filter_map(|row| row.invoice.as_deref()).collect();
        let last = self.file.invoices.last().map_or(Timestamp::UNIX_EPOCH, |invoice| invoice.at);
        let (rows, invoices) = (orphans.len() as u64, invoices.len() as u64);
        let finish = FinishImport { digest: self.file.digest.clone(), rows, invoices };
        self.app.execute(finish).at(last).patient(AWAY).await?;
        Ok(())
    }
}

/// Whether an error speaks of what was asked, and not of the shop.
fn is_about_the_request(error: &ExecuteError) -> bool {
    matches!(
        error,
        ExecuteError::Rejected(_) | ExecuteError::Handler(_) | ExecuteError::Commit(CommitError::Refused(_))
    )
}

/// Moves the mark on: timers fire and returns are handed in, in order of time, until nothing is due before `end`.
pub(super) async fn until(app: &App, end: Timestamp, returns: &mut Returns) -> anyhow::Result<()> {
    loop {
        let rested = app.rest().await?;
        let back = returns.first_key_value().map(|((due, ..), _)| *due).filter(|due| *due < end);
        let timer = rested.next.filter(|due| *due < end);
        let Some(next) = back.into_iter().chain(timer).min() else { break };
        let day = end_of_day(next).min(end);
        app.advance(day);
        app.rest().await?;
        let later = returns.split_off(&(day, String::new(), String::new()));
        let due = std::mem::replace(returns, later);
        try_join_all(due.iter().map(|((at, note, _), owed)| take_back(app, *at, note, owed))).await?;
    }
    if end < Timestamp::MAX {
        app.advance(end);
    }
    Ok(())
}

/// Hands a return in; the order gives no more than was paid. What cannot be becomes a credit: of an order that was never
/// paid nothing goes back, nor for goods that came back before; else the file's word counts.
async fn take_back(app: &App, at: Timestamp, note: &str, owed: &Owed) -> anyhow::Result<()> {
    let credit = if was_cancelled(app, &owed.order)? {
        instead(note, owed, 0, owed.amount, "order_cancelled")
    } else {
        match app.execute(back(note, owed)).at(at).patient(AWAY).await {
            Ok(_) => return Ok(()),
            Err(ExecuteError::Rejected(refused)) if refused.code == "not_that_many" => {
                instead(note, owed, 0, owed.amount, "came_back_before")
            }
            Err(ExecuteError::Rejected(refused)) => instead(note, owed, owed.amount, 0, &refused.code),
            Err(error) => return Err(error).with_context(|| format!("the return of {} by {note}", owed.order)),
        }
    };
    app.execute(credit)
        .at(at)
        .patient(AWAY)
        .await
        .with_context(|| format!("the credit for {} by {note}", owed.order))?;
    Ok(())
}

fn was_cancelled(app: &App, order: &OrderId) -> anyhow::Result<bool> {
    let messages = Archive::of(app.reader()).stream(&StreamId::new("order", order.as_str())?)?;
    Ok(messages.iter().any(|stored| matches!(stored.type_name(), "order.cancelled" | "order.rejected")))
}

fn by_day<'a>(invoices: &[&'a Invoice]) -> BTreeMap<Timestamp, Vec<&'a Invoice>> {
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
    start_of_day(at).checked_add(jiff::SignedDuration::from_hours(24)).unwrap_or(Timestamp::MAX)
}
