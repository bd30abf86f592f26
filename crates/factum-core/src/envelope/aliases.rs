//! What other systems call our types and services.

use std::collections::BTreeMap;

use crate::{
    error::NameError,
    id::{Name, check_type_name},
};

/// Foreign spellings and ours. The caller fills it, from the contracts and the configuration.
#[derive(Clone, Debug, Default)]
pub struct Aliases {
    types: BTreeMap<String, Name>,
    services: BTreeMap<String, Name>,
}

impl Aliases {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads `foreign` as our type `ours`, whatever `foreign` looks like. An adopted name is an alias of itself.
    ///
    /// # Errors
    /// [`NameError`] if `ours` is not a type's name.
    pub fn with_type(mut self, foreign: &str, ours: &str) -> Result<Self, NameError> {
        check_type_name(ours)?;
        self.types.insert(foreign.to_owned(), Name::Shared(ours.into()));
        Ok(self)
    }

    /// Reads `foreign` as our service `ours`, whatever `foreign` looks like.
    ///
    /// # Errors
    /// [`NameError`] if `ours` is not a service's name.
    pub fn with_service(mut self, foreign: &str, ours: &str) -> Result<Self, NameError> {
        self.services.insert(foreign.to_owned(), Name::parse("source", ours)?);
        Ok(self)
    }

    /// The type that `foreign` means: what the table says, or the name itself if it follows our rules.
    ///
    /// # Errors
    /// [`NameError`] with the alias that would help.
    pub fn type_name(&self, foreign: &str) -> Result<Name, NameError> {
        name(&self.types, "type", foreign).map_err(|error| match domain_and_name(foreign) {
            Some(likely) => {
                let problem =
                    format!("`{foreign}` is not a name of ours: add an alias to what it means, perhaps `{likely}`");
                NameError { what: "type", problem }
            }
            None => error,
        })
    }

    /// The service that `foreign` means: what the table says, or the name itself if it follows our rules.
    ///
    /// # Errors
    /// [`NameError`] that says what is wrong.
    pub fn service(&self, foreign: &str) -> Result<Name, NameError> {
        name(&self.services, "source", foreign)
    }
}

fn name(table: &BTreeMap<String, Name>, what: &'static str, foreign: &str) -> Result<Name, NameError> {
    match table.get(foreign) {
        Some(ours) => Ok(ours.clone()),
        None => Name::parse(what, foreign).map_err(|error| {
            let problem = format!("{}; send it so, or add an alias for it", error.problem);
            NameError { what, problem }
        }),
    }
}

/// `OrderCreated` and `orderCreated` look like `order.created`. A guess for a message, never used as a name.
fn domain_and_name(foreign: &str) -> Option<String> {
    let words_only = foreign.len() <= crate::id::MAX_NAME_BYTES && foreign.bytes().all(|b| b.is_ascii_alphanumeric());
    let mut words: Vec<String> = Vec::new();
    for letter in foreign.chars().filter(|_| words_only) {
        match words.last_mut() {
            Some(word) if !letter.is_ascii_uppercase() => word.push(letter),
            _ => words.push(letter.to_ascii_lowercase().to_string()),
        }
    }
    let (domain, rest) = words.split_first()?;
    (!rest.is_empty()).then(|| format!("{domain}.{}", rest.join("_")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_comes_first_then_our_own_rules() {
        let aliases = Aliases::new().with_type("OrderPlaced", "order.created").unwrap();
        let aliases = aliases.with_type("payment.process-requested", "payment.process").unwrap();
        let aliases = aliases.with_service("fulfillment-service", "shipping-service").unwrap();
        assert_eq!(aliases.type_name("OrderPlaced").unwrap(), "order.created");
        assert_eq!(aliases.type_name("payment.process-requested").unwrap(), "payment.process");
        assert_eq!(aliases.type_name("order.create-requested").unwrap(), "order.create-requested");
        assert_eq!(aliases.service("fulfillment-service").unwrap(), "shipping-service");
        assert_eq!(aliases.service("order-service").unwrap(), "order-service");
    }

    #[test]
    fn a_name_that_is_not_ours_is_refused_with_the_alias_that_would_help() {
        for (foreign, remedy) in [
            ("OrderCreated", "add an alias to what it means, perhaps `order.created`"),
            ("inventoryReservationFailed", "`inventory.reservation_failed`"),
            ("Cart Checkout Event", "add an alias"),
            ("Created", "add an alias"),
            ("", "is empty"),
        ] {
            let error = Aliases::new().type_name(foreign).unwrap_err().to_string();
            assert!(error.contains(remedy), "{error}");
        }
        assert!(Aliases::new().service("OrderService").unwrap_err().to_string().contains("add an alias"));
    }

    #[test]
    fn an_alias_leads_to_a_name_of_ours() {
        assert!(Aliases::new().with_type("A", "Order Created").is_err());
        assert!(Aliases::new().with_service("A", "").is_err());
    }
}
