//! What may happen to a product. Registering one again changes what differs.

use factum::{money::UnitPrice, prelude::*};

use crate::contracts::{
    catalog::{ProductChanged, ProductCommand, ProductEvent, ProductRegistered},
    ids::{InvalidId, Sku},
};

/// A product.
#[derive(Default)]
pub struct Product {
    known: Option<(String, UnitPrice, bool)>,
}

/// Why the catalogue says no.
#[derive(Debug, Rejection)]
#[allow(missing_docs, reason = "each variant says itself what it is")]
pub enum ProductRejection {
    #[rejection("bad_sku", "that is no article number: {problem}", invalid)]
    BadSku { problem: InvalidId },
    #[rejection("negative_price", "the price of {sku} is {price}: it must not be negative", invalid)]
    NegativePrice { sku: Sku, price: String },
}

impl Decider for Product {
    const CATEGORY: &'static str = "product";
    type Id = Sku;
    type Command = ProductCommand;
    type Event = ProductEvent;
    type Rejection = ProductRejection;

    fn address(command: &ProductCommand, _: &Envelope) -> Sku {
        let ProductCommand::Register(register) = command;
        register.sku.clone()
    }

    fn decide(&self, sku: &Sku, command: ProductCommand, _: &Context) -> Result<Vec<ProductEvent>, ProductRejection> {
        let ProductCommand::Register(wanted) = command;
        sku.check().map_err(|problem| ProductRejection::BadSku { problem })?;
        if wanted.price.amount().starts_with('-') {
            let price = wanted.price.amount().to_owned();
            return Err(ProductRejection::NegativePrice { sku: sku.clone(), price });
        }
        let Some((name, price, active)) = &self.known else {
            let (sku, name, price, active) = (wanted.sku, wanted.name, wanted.price, wanted.active);
            return Ok(vec![ProductEvent::Registered(ProductRegistered { sku, name, price, active })]);
        };
        let name = (wanted.name != *name).then_some(wanted.name);
        let price = (wanted.price != *price).then_some(wanted.price);
        let active = (wanted.active != *active).then_some(wanted.active);
        let changed = [("name", name.is_some()), ("price", price.is_some()), ("active", active.is_some())];
        let fields: Vec<String> =
            changed.iter().filter(|(_, changed)| *changed).map(|(field, _)| (*field).to_owned()).collect();
        if fields.is_empty() {
            return Ok(vec![]);
        }
        Ok(vec![ProductEvent::Changed(ProductChanged { sku: wanted.sku, fields, name, price, active })])
    }

    fn evolve(&mut self, event: &ProductEvent) {
        match event {
            ProductEvent::Registered(e) => self.known = Some((e.name.clone(), e.price.clone(), e.active)),
            ProductEvent::Changed(e) => {
                if let Some((name, price, active)) = &mut self.known {
                    *name = e.name.clone().unwrap_or_else(|| name.clone());
                    *price = e.price.clone().unwrap_or_else(|| price.clone());
                    *active = e.active.unwrap_or(*active);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
