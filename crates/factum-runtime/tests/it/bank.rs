//! A small field to test with: accounts that are paid into, and books that a reaction keeps of them.

use std::sync::atomic::{AtomicBool, Ordering};

use factum_core::{
    decider::{Context, Decider},
    envelope::{Envelope, Recorded, Stored},
    payload::Payload as _,
    reaction::Effects,
    rejection::Never,
    service::Service,
};
use factum_macros::{Command, Event, Rejection};
use serde::{Deserialize, Serialize};

/// Books fail on a note of so many cents.
pub const POISON: i64 = 999_999;
/// While this is up, the book `broken` fails on every note.
pub static BROKEN: AtomicBool = AtomicBool::new(false);

/// No account may hold more.
pub const MOST: i64 = 1_000;

#[derive(Event, Clone, Debug, PartialEq)]
#[event("account.paid", version = "1.1.0")]
pub struct Paid {
    pub id: String,
    pub cents: i64,
    pub note: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("account.pay")]
pub struct Pay {
    pub id: String,
    pub cents: i64,
    pub note: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
pub enum AccountEvent {
    Paid(Paid),
}

#[derive(Command, Clone, Debug, PartialEq)]
pub enum AccountCommand {
    Pay(Pay),
}

#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Account {
    balance: i64,
}

#[derive(Debug, Rejection)]
pub enum AccountRejection {
    #[rejection("full", "account {id} would hold {balance}: that is too much")]
    Full { id: String, balance: i64 },
}

impl Decider for Account {
    const CATEGORY: &'static str = "account";
    type Id = String;
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Rejection = AccountRejection;

    fn address(AccountCommand::Pay(pay): &AccountCommand, _: &Envelope) -> String {
        pay.id.clone()
    }

    fn decide(
        &self,
        id: &String,
        AccountCommand::Pay(pay): AccountCommand,
        _: &Context,
    ) -> Result<Vec<AccountEvent>, AccountRejection> {
        assert!(pay.note != "panic in the decider", "as asked");
        let balance = self.balance + pay.cents;
        if balance > MOST {
            return Err(AccountRejection::Full { id: id.clone(), balance });
        }
        if pay.cents == 0 {
            return Ok(vec![]);
        }
        Ok(vec![AccountEvent::Paid(Paid { id: pay.id, cents: pay.cents, note: pay.note })])
    }

    fn evolve(&mut self, AccountEvent::Paid(paid): &AccountEvent) {
        self.balance += paid.cents;
    }
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("book.noted")]
pub struct Noted {
    pub id: String,
    pub cents: i64,
    pub sum: i64,
}

/// What other services than the book's say of a payment.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("tally.told")]
pub struct Told {
    pub id: String,
    pub cents: i64,
    pub sum: i64,
}

/// What a note, a telling or a copy says: they have one shape.
pub fn figures(stored: &Stored) -> Noted {
    Noted::decode("book.noted", &stored.message.data).unwrap()
}

/// A copy of a payment.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("mirror.copied")]
pub struct Copied {
    pub id: String,
    pub cents: i64,
    pub sum: i64,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("book.note")]
pub struct Note {
    pub id: String,
    pub cents: i64,
}

#[derive(Event, Clone, Debug, PartialEq)]
pub enum BookEvent {
    Noted(Noted),
}

#[derive(Command, Clone, Debug, PartialEq)]
pub enum BookCommand {
    Note(Note),
}

#[derive(Default)]
pub struct Book {
    sum: i64,
}

#[derive(Debug, Rejection)]
pub enum BookRejection {
    #[rejection("negative", "book {id} notes nothing negative", invalid)]
    Negative { id: String },
}

impl Decider for Book {
    const CATEGORY: &'static str = "book";
    type Id = String;
    type Command = BookCommand;
    type Event = BookEvent;
    type Rejection = BookRejection;

    fn address(BookCommand::Note(note): &BookCommand, _: &Envelope) -> String {
        note.id.clone()
    }

    fn decide(
        &self,
        id: &String,
        BookCommand::Note(note): BookCommand,
        _: &Context,
    ) -> Result<Vec<BookEvent>, BookRejection> {
        assert!(note.cents != POISON, "as asked");
        assert!(!(id == "broken" && BROKEN.load(Ordering::SeqCst)), "as asked");
        if note.cents < 0 {
            return Err(BookRejection::Negative { id: id.clone() });
        }
        Ok(vec![BookEvent::Noted(Noted { id: note.id, cents: note.cents, sum: self.sum + note.cents })])
    }

    fn evolve(&mut self, BookEvent::Noted(noted): &BookEvent) {
        self.sum = noted.sum;
    }
}

pub fn pay(id: &str, cents: i64) -> Pay {
    pay_with(id, cents, "")
}

pub fn pay_with(id: &str, cents: i64, note: &str) -> Pay {
    Pay { id: id.to_owned(), cents, note: note.to_owned() }
}

pub fn accounts() -> Service {
    Service::new("accounts").decider::<Account>()
}

/// Keeps the book of every account.
pub fn note(event: &Recorded<'_, Paid>, fx: &mut Effects) {
    fx.send(Note { id: event.id.clone(), cents: event.cents });
}

pub fn books() -> Service {
    Service::new("books").decider::<Book>().react("note", note)
}

/// Accounts and their books.
pub fn bank() -> Vec<Service> {
    vec![accounts(), books()]
}

/// A payment as an older program stored it.
#[derive(Event)]
#[event("account.paid", version = "1.0.0")]
pub struct OldPaid {
    pub id: String,
    pub cents: i64,
    pub note: String,
}

#[derive(Default)]
pub struct OldAccount;

impl Decider for OldAccount {
    const CATEGORY: &'static str = "account";
    type Id = String;
    type Command = Pay;
    type Event = OldPaid;
    type Rejection = Never;

    fn address(pay: &Pay, _: &Envelope) -> String {
        pay.id.clone()
    }

    fn decide(&self, _: &String, pay: Pay, _: &Context) -> Result<Vec<OldPaid>, Never> {
        Ok(vec![OldPaid { id: pay.id, cents: pay.cents, note: pay.note }])
    }

    fn evolve(&mut self, _: &OldPaid) {}
}

/// Accounts, by an older program.
pub fn old_accounts() -> Service {
    Service::new("accounts").decider::<OldAccount>()
}

/// The bank, by an older program.
pub fn old_bank() -> Vec<Service> {
    let note = |event: &Recorded<'_, OldPaid>, fx: &mut Effects| {
        fx.send(Note { id: event.id.clone(), cents: event.cents });
    };
    vec![old_accounts(), Service::new("books").decider::<Book>().react("note", note)]
}
