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
    #[rejection("bad_customer_id", "`{id}` is no valid id: use 1 to 120 bytes of printable text", invalid)]
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
        match event {
            CustomerEvent::Registered(e) => {
                self.known = true;
                self.name.clone_from(&e.name);
                self.email.clone_from(&e.email);
                self.phone.clone_from(&e.phone);
                self.address.clone_from(&e.address);
            }
            CustomerEvent::Updated(e) => {
                take(&e.fields, "name", &mut self.name, &e.name);
                take(&e.fields, "email", &mut self.email, &e.email);
                take(&e.fields, "phone", &mut self.phone, &e.phone);
                take(&e.fields, "address", &mut self.address, &e.address);
            }
        }
    }
}

impl Customer {
    /// Only what differs is news.
    fn update(&self, update: UpdateCustomer) -> Vec<CustomerEvent> {
        let (mut fields, named) = (Vec::new(), update.fields);
        let name = news(&named, "name", &self.name, update.name, &mut fields);
        let email = news(&named, "email", &self.email, update.email, &mut fields);
        let phone = news(&named, "phone", &self.phone, update.phone, &mut fields);
        let address = news(&named, "address", &self.address, update.address, &mut fields);
        if fields.is_empty() {
            return vec![];
        }
        let customer_id = update.customer_id;
        vec![CustomerEvent::Updated(CustomerUpdated { customer_id, fields, name, email, phone, address })]
    }
}

/// A field's new value, if it is to change; its name then joins `fields`. One that is named but absent is removed.
fn news<T: PartialEq>(
    named: &[String],
    field: &str,
    known: &Option<T>,
    value: Option<T>,
    fields: &mut Vec<String>,
) -> Option<T> {
    let wanted = if named.is_empty() { value.is_some() } else { named.iter().any(|name| name == field) };
    if !wanted || value == *known {
        return None;
    }
    fields.push(field.to_owned());
    value
}

fn take<T: Clone>(fields: &[String], field: &str, known: &mut Option<T>, value: &Option<T>) {
    if fields.iter().any(|name| name == field) {
        known.clone_from(value);
    }
}

#[cfg(test)]
mod tests;
