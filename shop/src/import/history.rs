//! What a directory knows before a file is imported into it, folded from its log: earlier imports, products and customers,
//! and what of its orders can still come back.

use std::collections::{BTreeMap, BTreeSet};

use factum::{Archive, prelude::*};

use super::{
    commands,
    file::{File, Unreadable},
    invoice::Invoice,
    journal::{ImportFinished, ImportStarted, InvoiceImported, InvoiceKind, Owed, RowsNoted, UnreadableRow},
    returns::{Ledger, Sale, SoldLine},
    row::micros,
};
use crate::contracts::{
    catalog::ProductRegistered,
    customer::CustomerRegistered,
    order::{OrderCreated, OrderCredited, OrderReturned},
    shapes::{LineKind, Quantity},
};

/// What the log says, as far as an import must know it.
#[derive(Default)]
pub(super) struct History {
    imports: BTreeMap<String, Import>,
    /// By number; what the shop refused is not taken.
    invoices: BTreeMap<String, Taken>,
    products: BTreeSet<String>,
    customers: BTreeSet<String>,
    sales: Vec<Sale>,
    /// By order: what came back.
    returned: BTreeMap<String, Vec<Returned>>,
    credits: BTreeSet<String>,
    /// By note.
    owed: BTreeMap<String, Vec<Owed>>,
}

/// An import, as its journal tells it.
#[derive(Default)]
pub(super) struct Import {
    file: String,
    /// Numbers of the invoices that were handed in, also those that the shop refused.
    pub done: BTreeSet<String>,
    noted: BTreeSet<(u64, String)>,
    /// The whole file was handed in.
    pub finished: bool,
}

struct Returned {
    /// The credit note, if there was one.
    note: Option<String>,
    items: Vec<Quantity>,
}

struct Taken {
    digest: String,
    content: Option<String>,
    kind: InvoiceKind,
    rows: u64,
    amount: i64,
}

/// What of a file is an import's own: the rest is in the directory from an earlier edition of it.
pub(super) struct Edition<'a> {
    /// By time.
    pub invoices: Vec<&'a Invoice>,
    pub unreadable: Vec<&'a Unreadable>,
    /// Rows that the earlier edition could not read, of invoices that came in without them.
    pub late: Vec<Unreadable>,
    /// Digests of the earlier editions.
    pub earlier: BTreeSet<String>,
}

#[derive(Event)]
#[allow(clippy::large_enum_variant, reason = "one at a time, never kept")]
enum Told {
    Started(ImportStarted),
    Noted(RowsNoted),
    Imported(InvoiceImported),
    Finished(ImportFinished),
    Product(ProductRegistered),
    Customer(CustomerRegistered),
    Created(OrderCreated),
    Returned(OrderReturned),
    Credited(OrderCredited),
}

impl Import {
    /// Lines that could not be read.
    fn unread(&self) -> BTreeSet<u64> {
        self.noted.iter().map(|(line, _)| *line).collect()
    }

    fn note(&mut self, rows: &[UnreadableRow]) {
        self.noted.extend(rows.iter().map(|row| (row.line, row.reason.clone())));
    }
}

impl History {
    /// Reads a log.
    pub fn of(archive: &Archive) -> Result<Self, HandlerError> {
        archive.fold::<Told, Self>(Self::default(), |history, event| history.hear(event))
    }

    fn hear(&mut self, event: &Recorded<Told>) {
        match &event.data {
            Told::Started(e) => {
                let import = self.import(&e.digest);
                import.file.clone_from(&e.file);
            }
            Told::Noted(e) => self.import(&e.digest).note(&e.unreadable),
            Told::Finished(e) => {
                let import = self.import(&e.digest);
                import.note(&e.unreadable);
                import.finished = true;
            }
            Told::Imported(e) => self.imported(e),
            Told::Product(e) => _ = self.products.insert(e.sku.to_string()),
            Told::Customer(e) => _ = self.customers.insert(e.customer_id.to_string()),
            Told::Created(e) => self.sales.extend(sale(e, event.at())),
            Told::Returned(e) => {
                let back = Returned {
                    note: e.credit_id.as_ref().map(ToString::to_string),
                    items: e.items.iter().cloned().map(Into::into).collect(),
                };
                self.returned.entry(e.order_id.to_string()).or_default().push(back);
            }
            Told::Credited(e) => _ = self.credits.insert(e.credit_id.to_string()),
        }
    }

    fn import(&mut self, digest: &str) -> &mut Import {
        self.imports.entry(digest.to_owned()).or_default()
    }

    fn imported(&mut self, e: &InvoiceImported) {
        let import = self.import(&e.digest);
        import.note(&e.unreadable);
        import.done.insert(e.invoice.clone());
        if e.kind == InvoiceKind::Refused {
            return;
        }
        let (digest, content) = (e.digest.clone(), e.content.clone());
        let taken = Taken { digest, content, kind: e.kind, rows: e.rows, amount: e.amount };
        self.invoices.insert(e.invoice.clone(), taken);
        if let Some(owed) = &e.owed {
            self.owed.insert(e.invoice.clone(), owed.clone());
        }
    }

    /// The imports by their files' digests.
    pub fn imports(&self) -> &BTreeMap<String, Import> {
        &self.imports
    }

    pub fn knows_product(&self, code: &str) -> bool {
        self.products.contains(code)
    }

    pub fn knows_customer(&self, id: &str) -> bool {
        self.customers.contains(id)
    }

    /// What a credit note that was handed in gives back; `None` if it was not, or an older import did not note it.
    pub fn owed(&self, note: &str) -> Option<&Vec<Owed>> {
        self.owed.get(note)
    }

    /// Whether a credit note's return of an order was handed in.
    pub fn is_handed_in(&self, note: &str, order: &str) -> bool {
        let returned = self.returned.get(order);
        let noted = |back: &Returned| back.note.as_deref() == Some(note);
        returned.is_some_and(|returned| returned.iter().any(noted))
            || self.credits.contains(&commands::credit_id(note, order))
    }

    /// Returns of credit notes that were handed in and whose time had not come.
    pub fn pending(&self) -> impl Iterator<Item = (&String, &Owed)> {
        let all = self.owed.iter().flat_map(|(note, owed)| owed.iter().map(move |owed| (note, owed)));
        all.filter(|(note, owed)| !owed.settled && !self.is_handed_in(note, owed.order.as_str()))
    }

    /// What can come back of the orders that are known, but for those with these numbers.
    pub fn ledger(&self, but: &BTreeSet<&str>) -> Ledger {
        let gone = self.gone();
        let mut ledger = Ledger::default();
        for sale in self.sales.iter().filter(|sale| !but.contains(sale.order.as_str())) {
            ledger.order(&self.what_is_left(sale.clone(), &gone));
        }
        ledger
    }

    /// By order: what credit notes take of it.
    pub fn gone(&self) -> BTreeMap<&str, Vec<&Owed>> {
        let mut gone: BTreeMap<&str, Vec<&Owed>> = BTreeMap::new();
        for owed in self.owed.values().flatten() {
            gone.entry(owed.order.as_str()).or_default().push(owed);
        }
        gone
    }

    /// An order without what came back, or will.
    pub fn what_is_left(&self, mut sale: Sale, gone: &BTreeMap<&str, Vec<&Owed>>) -> Sale {
        let notes = gone.get(sale.order.as_str()).map_or(&[][..], Vec::as_slice);
        let portions = |settled: bool| {
            notes
                .iter()
                .filter(move |owed| owed.settled == settled)
                .flat_map(|owed| &owed.lines)
                .flat_map(|line| &line.of)
        };
        for (number, quantity) in portions(false) {
            if let Some(line) = sale.lines.iter_mut().find(|line| line.line == *number) {
                line.left -= quantity;
            }
        }
        for Returned { note, items } in self.returned.get(&sale.order).into_iter().flatten() {
            let noted = note.as_ref().is_some_and(|note| self.owed.contains_key(note));
            for item in items.iter().filter(|_| !noted) {
                let mut open = item.quantity;
                for line in sale.lines.iter_mut().filter(|line| line.code == item.sku.as_str()) {
                    let taken = line.left.clamp(0, open.max(0));
                    line.left -= taken;
                    line.back += if note.is_none() { taken } else { 0 };
                    open -= taken;
                }
            }
        }
        for (number, quantity) in portions(true) {
            if let Some(line) = sale.lines.iter_mut().find(|line| line.line == *number) {
                line.back -= quantity;
            }
        }
        sale
    }

    /// What of a file is to be imported. Invoices that an earlier edition of it brought are known: if all of that edition
    /// are in the file as they were, the file goes on behind them.
    ///
    /// # Errors
    /// A sentence, if another import has taken a number of the file and this is no later edition of that one.
    pub fn edition<'a>(&self, file: &'a File) -> anyhow::Result<Edition<'a>> {
        let theirs = |invoice: &Invoice| {
            let taken = self.invoices.get(&invoice.number)?;
            (taken.digest != file.digest).then_some(taken)
        };
        let mut earlier = BTreeSet::new();
        let mut known = 0_u64;
        let mut differs = None;
        let (mut invoices, mut late) = (Vec::new(), Vec::new());
        for invoice in &file.invoices {
            let Some(taken) = theirs(invoice) else {
                invoices.push(invoice);
                continue;
            };
            known += 1;
            earlier.insert(taken.digest.clone());
            if taken.is(invoice, &BTreeSet::new()) {
                continue;
            }
            let unread = self.imports.get(&taken.digest).map(Import::unread).unwrap_or_default();
            if taken.is(invoice, &unread) {
                let corrected = invoice.places.iter().filter(|line| unread.contains(line));
                late.extend(corrected.map(|line| too_late(*line, invoice)));
            } else {
                differs.get_or_insert((invoice.number.as_str(), &taken.digest, "is another there"));
            }
        }
        let numbers: BTreeSet<&str> = file.invoices.iter().map(|invoice| invoice.number.as_str()).collect();
        let lost =
            |(number, taken): &(&String, &Taken)| earlier.contains(&taken.digest) && !numbers.contains(number.as_str());
        if let Some((number, taken)) = self.invoices.iter().find(lost) {
            differs.get_or_insert((number, &taken.digest, "is missing here"));
        }
        if let Some((number, digest, how)) = differs {
            let other = self.imports.get(digest).map_or("another file", |import| import.file.as_str());
            anyhow::bail!(
                "{} names what is in this directory already, from {other}: {known} of its invoices. It is not that file \
                 with more in it: invoice {number} {how}. Nothing was stored: take what is in already out of the file, or \
                 import it into a fresh directory",
                file.name
            );
        }
        let noted = |row: &&Unreadable| {
            let mut imports = earlier.iter().filter_map(|digest| self.imports.get(digest));
            imports.any(|import| import.noted.contains(&(row.line, row.reason.clone())))
        };
        let unreadable = file.unreadable.iter().filter(|row| !noted(row)).collect();
        Ok(Edition { invoices, unreadable, late, earlier })
    }
}

impl Taken {
    /// Whether an invoice, but for rows in these lines, is the one that was taken.
    fn is(&self, invoice: &Invoice, but: &BTreeSet<u64>) -> bool {
        match &self.content {
            Some(content) => *content == invoice.content(but),
            // Older imports noted less.
            None => {
                (self.kind, self.rows, self.amount) == (commands::kind(&invoice.kind), invoice.rows, invoice.amount())
            }
        }
    }
}

fn too_late(line: u64, invoice: &Invoice) -> Unreadable {
    let number = invoice.number.clone();
    let reason = format!("invoice {number} is in without this row, and stays so: book what it says by hand");
    Unreadable { line, invoice: Some(number), reason }
}

/// An order that was placed, whoever placed it; `None` for a guest's.
fn sale(created: &OrderCreated, at: Timestamp) -> Option<Sale> {
    let goods = created.items.iter().filter(|line| line.kind == LineKind::Goods);
    let lines = goods.filter_map(|line| {
        let unit_price_micros = micros(line.unit_price.as_ref()?.amount())?;
        let (code, left) = (line.sku.to_string(), line.quantity);
        Some(SoldLine { line: line.line, code, unit_price_micros, left, back: 0 })
    });
    let (order, customer) = (created.order_id.to_string(), created.customer_id.as_ref()?.to_string());
    Some(Sale { order, at, customer, lines: lines.collect() })
}
