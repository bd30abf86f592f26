//! What may happen in a warehouse, rule by rule.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use factum_testing::{
    conformance::participant,
    scenario::{Given, NOW, given, given_nothing},
};

use super::*;

fn sku(sku: &str) -> Sku {
    Sku::from(sku)
}

fn of(name: &str, quantity: i64) -> Quantity {
    Quantity { sku: sku(name), quantity }
}

fn received(name: &str, quantity: i64) -> InventoryEvent {
    let warehouse_id = WarehouseId::from(DEFAULT_WAREHOUSE);
    InventoryEvent::StockReceived(StockReceived { sku: sku(name), quantity, warehouse_id })
}

fn reserve(order: &str, items: &[Quantity]) -> InventoryCommand {
    InventoryCommand::Reserve(ReserveStock { order_id: order.into(), items: items.to_vec(), warehouse_id: None })
}

fn release(order: &str) -> InventoryCommand {
    let reason = "undone".to_owned();
    InventoryCommand::Release(ReleaseStock { order_id: order.into(), reason, warehouse_id: None })
}

fn ship(order: &str) -> InventoryCommand {
    InventoryCommand::Ship(ShipStock { order_id: order.into(), warehouse_id: None })
}

fn restock(order: &str, items: &[Quantity]) -> InventoryCommand {
    InventoryCommand::Restock(Restock { order_id: order.into(), items: items.to_vec(), warehouse_id: None })
}

fn receive(name: &str, quantity: i64) -> InventoryCommand {
    let warehouse_id = WarehouseId::from(DEFAULT_WAREHOUSE);
    InventoryCommand::Receive(ReceiveStock { sku: sku(name), quantity, warehouse_id })
}

fn adjust(name: &str, quantity: i64) -> InventoryCommand {
    let reason = "damaged".to_owned();
    InventoryCommand::Adjust(AdjustStock { sku: sku(name), quantity, reason, warehouse_id: None })
}

fn reserved(order: &str, items: &[Quantity]) -> InventoryEvent {
    let kept = |(line, item): (u32, &Quantity)| Reservation {
        sku: item.sku.clone(),
        quantity: item.quantity,
        reservation_id: ReservationId::from(format!("{order}/{line}")),
    };
    let items = (1..).zip(items).map(kept).collect();
    InventoryEvent::Reserved(InventoryReserved { order_id: order.into(), items })
}

fn released(order: &str, items: &[Quantity]) -> InventoryEvent {
    let reason = "undone".to_owned();
    InventoryEvent::Released(InventoryReleased { order_id: order.into(), items: items.to_vec(), reason })
}

fn failed(order: &str, name: &str, requested: i64, available: i64) -> InventoryEvent {
    let items = vec![Shortage { sku: sku(name), requested, available }];
    let reason = "out_of_stock".to_owned();
    InventoryEvent::ReservationFailed(ReservationFailed { order_id: order.into(), items, reason })
}

fn shipped(order: &str, items: &[Quantity]) -> InventoryEvent {
    InventoryEvent::StockShipped(StockShipped { order_id: order.into(), items: items.to_vec() })
}

fn returned(order: &str, items: &[Quantity]) -> InventoryEvent {
    InventoryEvent::StockReturned(StockReturned { order_id: order.into(), items: items.to_vec() })
}

fn low(name: &str, left: i64) -> InventoryEvent {
    let (current_quantity, threshold) = (left, LOW_STOCK);
    InventoryEvent::LowStockDetected(LowStockDetected { sku: sku(name), current_quantity, threshold })
}

fn warehouse(events: Vec<InventoryEvent>) -> Given<Warehouse> {
    given(events).through_a_snapshot()
}

struct Reserving;

impl participant::Subject for Reserving {
    type Aggregate = Warehouse;
    fn before(&self) -> Vec<InventoryEvent> {
        vec![received("A", 50)]
    }
    fn act(&self) -> InventoryCommand {
        reserve("1", &[of("A", 5)])
    }
    fn undo(&self) -> InventoryCommand {
        release("1")
    }
    fn refusal(&self) -> (Vec<InventoryEvent>, InventoryCommand, Option<InventoryCommand>) {
        (vec![received("A", 4)], self.act(), None)
    }
    fn confirms(&self, event: &InventoryEvent) -> bool {
        matches!(event, InventoryEvent::Released(_))
    }
    fn holds(&self, events: &[InventoryEvent]) -> bool {
        let units = |event: &InventoryEvent| match event {
            InventoryEvent::Reserved(e) => e.items.iter().map(|item| item.quantity).sum(),
            InventoryEvent::Released(e) => -e.items.iter().map(|item| item.quantity).sum::<i64>(),
            _ => 0,
        };
        events.iter().map(units).sum::<i64>() != 0
    }
    fn too_late(&self) -> &'static str {
        "already_released"
    }
    fn remembers(&self) -> Duration {
        REMEMBERED.unsigned_abs()
    }
}

#[test]
fn keeps_the_rules_of_a_participant() {
    participant::run(&Reserving);
}

#[test]
fn reserves_all_lines_or_none() {
    let stock = || vec![received("A", 50), received("B", 20)];
    warehouse(stock()).when(reserve("1", &[of("A", 5), of("B", 6)])).then([reserved("1", &[of("A", 5), of("B", 6)])]);
    warehouse(stock())
        .when(reserve("1", &[of("A", 5), of("B", 21)]))
        .then([failed("1", "B", 21, 20)])
        .when(reserve("2", &[of("A", 39)]))
        .then([reserved("2", &[of("A", 39)])]);
}

#[test]
fn lines_of_one_article_are_added_up() {
    warehouse(vec![received("A", 30)]).when(reserve("1", &[of("A", 16), of("a", 15)])).then([failed("1", "A", 31, 30)]);
    let huge = vec![of("A", MOST_UNITS); 12];
    warehouse(vec![received("A", 30)]).when(reserve("1", &huge)).then([failed("1", "A", 12 * MOST_UNITS, 30)]);
}

#[test]
fn an_order_without_goods_reserves_and_ships_nothing() {
    given_nothing::<Warehouse>()
        .when(reserve("1", &[]))
        .then([reserved("1", &[])])
        .when(ship("1"))
        .then([shipped("1", &[])]);
}

#[test]
fn what_is_released_can_be_reserved_again_by_others() {
    warehouse(vec![received("A", 20), reserved("1", &[of("A", 20)])])
        .when(release("1"))
        .then([released("1", &[of("A", 20)])])
        .when(reserve("2", &[of("A", 5)]))
        .then([reserved("2", &[of("A", 5)])]);
}

#[test]
fn low_stock_is_told_once_per_crossing() {
    warehouse(vec![received("A", 20)])
        .when(reserve("1", &[of("A", 9)]))
        .then([reserved("1", &[of("A", 9)])])
        .when(reserve("2", &[of("A", 1)]))
        .then([reserved("2", &[of("A", 1)]), low("A", 10)])
        .when(reserve("3", &[of("A", 1)]))
        .then([reserved("3", &[of("A", 1)])])
        .when(receive("A", 2))
        .then([received("A", 2)])
        .when(adjust("A", -3))
        .then([
            InventoryEvent::StockAdjusted(StockAdjusted { sku: sku("A"), quantity: -3, reason: "damaged".to_owned() }),
            low("A", 8),
        ]);
}

#[test]
fn no_more_is_written_off_than_there_is() {
    warehouse(vec![received("A", 5)]).when(adjust("A", -6)).then_rejected("not_in_stock");
    warehouse(vec![received("A", 5)]).when(adjust("A", 0)).then_nothing();
    warehouse(vec![received("A", 5), reserved("1", &[of("A", 5)])]).when(adjust("A", -1)).then_rejected("not_in_stock");
}

#[test]
fn quantities_and_numbers_that_make_no_sense_are_rejected() {
    for quantity in [0, -1, MOST_UNITS + 1, i64::MAX, i64::MIN] {
        given_nothing::<Warehouse>().when(receive("A", quantity)).then_rejected("bad_quantity");
        given_nothing::<Warehouse>().when(reserve("1", &[of("A", quantity)])).then_rejected("bad_quantity");
        let sent = || warehouse(vec![received("A", 9), reserved("1", &[of("A", 9)]), shipped("1", &[of("A", 9)])]);
        sent().when(restock("1", &[of("A", quantity)])).then_rejected("bad_quantity");
    }
    for quantity in [MOST_UNITS + 1, i64::MAX, i64::MIN] {
        given_nothing::<Warehouse>().when(adjust("A", quantity)).then_rejected("bad_quantity");
    }
    for name in ["", "A\n", "x".repeat(121).as_str()] {
        given_nothing::<Warehouse>().when(receive(name, 1)).then_rejected("bad_sku");
        given_nothing::<Warehouse>().when(adjust(name, 1)).then_rejected("bad_sku");
    }
}

#[test]
fn only_what_is_reserved_is_shipped_and_only_once() {
    let kept = || vec![received("A", 20), reserved("1", &[of("A", 4)])];
    warehouse(kept()).when(ship("1")).then([shipped("1", &[of("A", 4)])]).again_changes_nothing();
    given_nothing::<Warehouse>().when(ship("1")).then_rejected("not_reserved");
    let mut gone = kept();
    gone.push(released("1", &[of("A", 4)]));
    warehouse(gone).when(ship("1")).then_rejected("not_reserved");
    warehouse(vec![failed("1", "A", 1, 0)]).when(ship("1")).then_rejected("not_reserved");
}

#[test]
fn what_is_shipped_is_not_released_but_comes_back_as_a_return() {
    let sent = || vec![received("A", 20), reserved("1", &[of("A", 20)]), shipped("1", &[of("A", 20)])];
    warehouse(sent()).when(release("1")).then_rejected("already_shipped");
    warehouse(sent()).when(reserve("1", &[of("A", 20)])).then_nothing();
    warehouse(sent())
        .when(restock("1", &[of("A", 3)]))
        .then([returned("1", &[of("A", 3)])])
        .when(reserve("2", &[of("A", 3)]))
        .then([reserved("2", &[of("A", 3)])]);
}

/// Each of them, ended one way or the other, with what is left of it then.
#[test]
fn what_is_over_is_forgotten_a_month_later_by_the_newest_event() {
    let history = || {
        let items = [of("A", 1)];
        let mut events = vec![received("A", 99)];
        events.extend(["shipped", "released"].map(|order| reserved(order, &items)));
        events.extend([shipped("shipped", &items), released("released", &items), released("never", &[])]);
        events.extend([reserved("open", &items), failed("failed", "A", 100, 97)]);
        warehouse(events)
    };
    let month = REMEMBERED.unsigned_abs();
    for (after, forgotten) in [(month, false), (month + Duration::from_nanos(1), true)] {
        // Time alone makes nothing be forgotten: an event does.
        let later = || history().at(NOW + after).when(receive("B", 1)).then([received("B", 1)]);
        let again = |order| later().when(reserve(order, &[of("A", 1)]));
        later().when(release("open")).then([released("open", &[of("A", 1)])]);
        later().when(ship("open")).then([shipped("open", &[of("A", 1)])]);
        again("open").then_nothing();
        if forgotten {
            for order in ["shipped", "released", "never", "failed"] {
                again(order).then([reserved(order, &[of("A", 1)])]);
            }
            later().when(ship("shipped")).then_rejected("not_reserved");
        } else {
            again("shipped").then_nothing();
            again("failed").then_nothing();
            again("released").then_rejected("already_released");
            again("never").then_rejected("already_released");
            later().when(ship("shipped")).then_nothing();
            later().when(release("shipped")).then_rejected("already_shipped");
        }
        // Goods come back however late: how many may is known to the order.
        later().when(restock("shipped", &[of("A", 1)])).then([returned("shipped", &[of("A", 1)])]);
    }
    history().at(NOW + 2 * month).when(reserve("released", &[of("A", 1)])).then_rejected("already_released");
}

#[test]
fn an_order_that_ends_twice_is_forgotten_once_and_time_that_goes_back_forgets_nothing() {
    let day = Duration::from_secs(24 * 60 * 60);
    let mut warehouse = Warehouse::default();
    warehouse.evolve_at(&failed("1", "A", 1, 0), NOW);
    warehouse.evolve_at(&released("1", &[]), NOW + 20 * day);
    warehouse.evolve_at(&released("2", &[]), NOW - 90 * day);
    assert_eq!(warehouse.over.get(&"1".into()), Some(&Over::Released));
    warehouse.evolve_at(&received("A", 1), NOW + 31 * day);
    let left: Vec<_> = warehouse.over.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["2"], "it was over twenty days later, whatever its own time says");
    warehouse.evolve_at(&reserved("1", &[of("A", 1)]), NOW + 32 * day);
    warehouse.evolve_at(&received("A", 1), NOW + 60 * day);
    assert!(warehouse.over.is_empty() && warehouse.ends.is_empty() && warehouse.reserved.len() == 1);
}
