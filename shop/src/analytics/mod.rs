//! The analytics room: what the shop's orders come to, by hour, country, article and customer, and how long they take.

pub mod http;
pub mod reactions;
pub mod views;

use factum::prelude::*;

/// The analytics service.
pub fn service() -> Service {
    Service::new("analytics")
        .source("analytics-service")
        .pipeline(reactions::customer_totals())
        .view(1, views::hours)
        .view(1, views::countries)
        .view(1, views::articles)
        .view(1, views::funnel)
        .view(1, views::fulfilment)
        .view(1, views::customers)
        .routes(http::routes())
}
