//! What may happen to a customer.

use factum::prelude::*;

use crate::contracts::{
    customer::{CustomerCommand, CustomerEvent, CustomerRegistered, CustomerUpdated, UpdateCustomer},
    ids::CustomerId,
    shapes::Address,
};

/// A customer.
#[derive(Default)]
pub struct Customer {
    known: bool,
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    address: Option<Address>,
}

/// Why the customer service says no.
#[derive(Debug, Rejection)]
#[allow(missing_docs, reason = "each variant says itself what it is")]
pub enum CustomerRejection {
    #[rejection("bad_customer_id", "`{id}` is no valid id: use 1 to 128 printable characters", invalid)]
    BadId { id: CustomerId },
    #[rejection("unknown_customer", "there is no customer {id}: register first", missing)]
    Unknown { id: CustomerId },
}

impl Decider for Customer {
    const CATEGORY: &'static str = "customer";
    type Id = CustomerId;
    type Command = CustomerCommand;
    type Event = CustomerEvent;
    type Rejection = CustomerRejection;

    fn address(command: &CustomerCommand, _: &Envelope) -> CustomerId {
        match command {
            CustomerCommand::Register(register) => register.customer_id.clone(),
            CustomerCommand::Update(update) => update.customer_id.clone(),
        }
    }

    fn decide(
        &self,
        id: &CustomerId,
        command: CustomerCommand,
        _: &Context,
    ) -> Result<Vec<CustomerEvent>, CustomerRejection> {
        if !id.valid() {
            return Err(CustomerRejection::BadId { id: id.clone() });
        }
        match command {
            CustomerCommand::Register(_) if self.known => Ok(vec![]),
            CustomerCommand::Register(register) => Ok(vec![CustomerEvent::Registered(CustomerRegistered {
                customer_id: register.customer_id,
                name: register.name,
                email: register.email,
                phone: register.phone,
                address: register.address,
            })]),
            CustomerCommand::Update(_) if !self.known => Err(CustomerRejection::Unknown { id: id.clone() }),
            CustomerCommand::Update(update) => Ok(self.update(update)),
        }
    }

    fn evolve(&mut self, event: &CustomerEvent) {
        let (name, email, phone, address) = match event {
            CustomerEvent::Registered(e) => (&e.name, &e.email, &e.phone, &e.address),
            CustomerEvent::Updated(e) => (&e.name, &e.email, &e.phone, &e.address),
        };
        self.known = true;
        take(&mut self.name, name);
        take(&mut self.email, email);
        take(&mut self.phone, phone);
        take(&mut self.address, address);
    }
}

impl Customer {
    /// Only what differs is news.
    fn update(&self, update: UpdateCustomer) -> Vec<CustomerEvent> {
        let name = update.name.filter(|name| Some(name) != self.name.as_ref());
        let email = update.email.filter(|email| Some(email) != self.email.as_ref());
        let phone = update.phone.filter(|phone| Some(phone) != self.phone.as_ref());
        let address = update.address.filter(|address| Some(address) != self.address.as_ref());
        let changed = [
            ("name", name.is_some()),
            ("email", email.is_some()),
            ("phone", phone.is_some()),
            ("address", address.is_some()),
        ];
        let fields: Vec<String> =
            changed.iter().filter(|(_, changed)| *changed).map(|(field, _)| (*field).to_owned()).collect();
        if fields.is_empty() {
            return vec![];
        }
        let customer_id = update.customer_id;
        vec![CustomerEvent::Updated(CustomerUpdated { customer_id, fields, name, email, phone, address })]
    }
}

fn take<T: Clone>(known: &mut Option<T>, news: &Option<T>) {
    if news.is_some() {
        known.clone_from(news);
    }
}
