//! customer-service: who the customers are and how to reach them. Stream `customer-<customerId>`.

use super::ids::CustomerId;
use super::shapes::Address;
use factum::prelude::*;

/// Published at sign-up, or when a customer is seen for the first time.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("customer.registered")]
pub struct CustomerRegistered {
    /// The customer.
    pub customer_id: CustomerId,
    /// What they are called.
    #[personal(subject = customer_id)]
    pub name: Option<String>,
    /// Address for mail.
    #[personal(subject = customer_id)]
    pub email: Option<String>,
    /// Number for calls and texts.
    #[personal(subject = customer_id)]
    pub phone: Option<String>,
    /// Where they live.
    #[personal(subject = customer_id)]
    pub address: Option<Address>,
}

/// Published when a customer's data changes. A field that is named but absent has been removed.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("customer.updated")]
pub struct CustomerUpdated {
    /// The customer.
    pub customer_id: CustomerId,
    /// Names of the changed fields.
    pub fields: Vec<String>,
    /// The new name.
    #[personal(subject = customer_id)]
    pub name: Option<String>,
    /// The new address for mail.
    #[personal(subject = customer_id)]
    pub email: Option<String>,
    /// The new number.
    #[personal(subject = customer_id)]
    pub phone: Option<String>,
    /// The new address.
    #[personal(subject = customer_id)]
    pub address: Option<Address>,
}

/// Asks the customer service to take up a customer; answered by `customer.registered`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("customer.register")]
pub struct RegisterCustomer {
    /// The customer.
    pub customer_id: CustomerId,
    /// What they are called.
    #[personal(subject = customer_id)]
    pub name: Option<String>,
    /// Address for mail.
    #[personal(subject = customer_id)]
    pub email: Option<String>,
    /// Number for calls and texts.
    #[personal(subject = customer_id)]
    pub phone: Option<String>,
    /// Where they live.
    #[personal(subject = customer_id)]
    pub address: Option<Address>,
}

/// Asks the customer service to change a customer's data; answered by `customer.updated`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("customer.update")]
pub struct UpdateCustomer {
    /// The customer.
    pub customer_id: CustomerId,
    /// Names of the fields to change; none means all that are given. A field that is named but absent is removed.
    #[serde(default)]
    pub fields: Vec<String>,
    /// The new name.
    #[personal(subject = customer_id)]
    pub name: Option<String>,
    /// The new address for mail.
    #[personal(subject = customer_id)]
    pub email: Option<String>,
    /// The new number.
    #[personal(subject = customer_id)]
    pub phone: Option<String>,
    /// The new address.
    #[personal(subject = customer_id)]
    pub address: Option<Address>,
}

/// What can happen to a customer.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum CustomerEvent {
    Registered(CustomerRegistered),
    Updated(CustomerUpdated),
}

/// What a customer can be asked.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum CustomerCommand {
    Register(RegisterCustomer),
    Update(UpdateCustomer),
}
