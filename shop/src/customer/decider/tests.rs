//! What may happen to a customer, rule by rule.

use factum_testing::scenario::{Given, given, given_nothing};

use super::*;
use crate::contracts::customer::RegisterCustomer;

fn registered() -> CustomerEvent {
    let (name, email) = (Some("Ann".to_owned()), Some("ann@b".to_owned()));
    let customer_id = CustomerId::from("c");
    CustomerEvent::Registered(CustomerRegistered { customer_id, name, email, phone: None, address: None })
}

fn register(id: &str) -> CustomerCommand {
    let (name, email) = (Some("Ann".to_owned()), Some("ann@b".to_owned()));
    let customer_id = CustomerId::from(id);
    CustomerCommand::Register(RegisterCustomer { customer_id, name, email, phone: None, address: None })
}

fn update(fields: &[&str], name: Option<&str>, email: Option<&str>) -> CustomerCommand {
    CustomerCommand::Update(UpdateCustomer {
        customer_id: CustomerId::from("c"),
        fields: fields.iter().map(ToString::to_string).collect(),
        name: name.map(str::to_owned),
        email: email.map(str::to_owned),
        phone: None,
        address: None,
    })
}

fn updated(fields: &[&str], name: Option<&str>, email: Option<&str>) -> CustomerEvent {
    CustomerEvent::Updated(CustomerUpdated {
        customer_id: CustomerId::from("c"),
        fields: fields.iter().map(ToString::to_string).collect(),
        name: name.map(str::to_owned),
        email: email.map(str::to_owned),
        phone: None,
        address: None,
    })
}

fn ann() -> Given<Customer> {
    given([registered()])
}

#[test]
fn a_customer_registers_once() {
    given_nothing::<Customer>().when(register("c")).then([registered()]).again_changes_nothing();
    // What cannot name a stream at all does not come here.
    given_nothing::<Customer>().when(register(&"x".repeat(121))).then_rejected("bad_customer_id");
    given_nothing::<Customer>().when(update(&[], Some("Bob"), None)).then_rejected("unknown_customer");
}

#[test]
fn only_what_differs_is_changed() {
    ann()
        .when(update(&[], Some("Bea"), Some("ann@b")))
        .then([updated(&["name"], Some("Bea"), None)])
        .again_changes_nothing();
    ann().when(update(&[], None, None)).then_nothing();
}

#[test]
fn a_field_that_is_named_but_absent_is_removed_and_one_that_is_not_named_stays() {
    ann()
        .when(update(&["email"], Some("Bea"), None))
        .then([updated(&["email"], None, None)])
        .again_changes_nothing()
        .when(update(&["email", "phone"], None, Some("ann@b")))
        .then([updated(&["email"], None, Some("ann@b"))]);
}
