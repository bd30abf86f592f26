//! The shop's own rooms as a whole node in simulation: money and stock balance whatever happens around it.

use std::time::Duration;

use factum::{
    Archive,
    envelope::Draft,
    money::{Currency, UnitPrice},
};
use factum_testing::sim::{Simulation, Violation, World, sweep};
use shop::{
    check,
    contracts::{
        catalog::RegisterProduct,
        ids::Sku,
        inventory::{AdjustStock, ReceiveStock},
        order::{CancelOrder, CreateOrder},
        shapes::Line,
    },
    money::pence,
    services::{Options, services},
};

/// `FACTUM_SEEDS` for more.
const SEEDS: u64 = 150;
const PRICE: i64 = 255;

/// A catalogue and a stock, then orders, of which customers cancel some.
pub fn command(random: &mut fastrand::Rng, number: usize) -> Draft {
    let sku = |number: usize| Sku::from(format!("S-{}", number % 2));
    let price = || UnitPrice::new("2.55", Currency::GBP).unwrap();
    let draft = match (number, random.u8(..10)) {
        (0..=1, _) => {
            let (sku, name) = (sku(number), format!("article {number}"));
            Draft::of(&RegisterProduct { sku, name, price: price(), active: true })
        }
        (2..=3, _) => Draft::of(&ReceiveStock { sku: sku(number), quantity: 40, warehouse_id: "main".into() }),
        (_, 0..=5) => {
            let quantity = random.i64(1..12);
            let item = Line::goods(1, sku(number), "an article", quantity, price()).unwrap();
            Draft::of(&CreateOrder {
                channel: Default::default(),
                order_id: format!("o-{number}").into(),
                customer_id: None,
                cart_id: None,
                items: vec![item],
                subtotal: None,
                discount: None,
                tax: None,
                shipping_charge: None,
                total: pence(quantity * PRICE),
                shipping_address: None,
                payment_method: Some("card".into()),
            })
        }
        (_, 6..=8) => {
            let order_id = format!("o-{}", number.saturating_sub(random.usize(1..8))).into();
            Draft::of(&CancelOrder { order_id, reason: "customer".to_owned() })
        }
        _ => {
            let (sku, quantity) = (sku(number), random.i64(-3..10));
            Draft::of(&AdjustStock { sku, quantity, reason: "found".to_owned(), warehouse_id: None })
        }
    };
    draft.unwrap()
}

/// What `shop check` finds.
fn balances(world: &World<'_>) -> Result<(), Violation> {
    let findings = check::check(&Archive::of(world.reader.clone())).unwrap();
    match findings.is_well() {
        true => Ok(()),
        false => Violation::found("I9, I10", findings.problems.join("; ")),
    }
}

#[test]
fn money_and_stock_balance_whatever_happens_around_the_shop() {
    let latency = Duration::from_millis(30);
    let options = Options { declines: 0.2, latency, ..Options::default() };
    let simulation = move |seed| {
        let options = options.clone();
        Simulation::new(seed).services(move |_| services(&options)).commands(16, command).check(balances)
    };
    sweep(SEEDS, simulation);
}
