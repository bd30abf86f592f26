//! The catalog room: products, and whether an order's products exist.

pub mod decider;
pub mod http;
pub mod reactions;
pub mod views;

use factum::prelude::*;

use crate::contracts::{
    catalog::{ValidateProducts, ValidationCompleted},
    process::Process,
};

/// The catalog service.
pub fn service(process: Process) -> Service {
    Service::new("catalog")
        .source("catalog-service")
        .decider::<decider::Product>()
        .owns("validation")
        .folding(reactions::validation(process))
        .answers(
            Replies::to::<ValidateProducts>()
                .done_if::<ValidationCompleted>(|e| e.is_valid)
                .refused_if::<ValidationCompleted>(|e| (!e.is_valid).then(|| "invalid_products".to_owned()))
                .nothing_to_undo(),
        )
        .view(1, views::products)
        .routes(http::routes())
}
