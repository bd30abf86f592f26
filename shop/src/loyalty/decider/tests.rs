//! What may happen to a customer's points, rule by rule.

use factum_testing::scenario::{given, given_nothing};

use super::*;

fn award(order: &str, points: i64) -> LoyaltyCommand {
    let (customer_id, order_id) = (CustomerId::from("c"), OrderId::from(order));
    LoyaltyCommand::Award(AwardPoints { customer_id, order_id, points })
}

fn revoke(order: &str, gone: i64) -> LoyaltyCommand {
    let (customer_id, order_id) = (CustomerId::from("c"), OrderId::from(order));
    LoyaltyCommand::Revoke(RevokePoints { customer_id, order_id, gone })
}

fn awarded(order: &str, points: i64, balance: i64) -> LoyaltyEvent {
    let (customer_id, order_id) = (CustomerId::from("c"), OrderId::from(order));
    LoyaltyEvent::Awarded(PointsAwarded { customer_id, order_id, points, balance })
}

fn revoked(order: &str, points: i64, balance: i64) -> LoyaltyEvent {
    let (customer_id, order_id) = (CustomerId::from("c"), OrderId::from(order));
    LoyaltyEvent::Revoked(PointsRevoked { customer_id, order_id, points, balance })
}

#[test]
fn an_order_brings_points_once_whatever_is_said_later() {
    given_nothing::<Account>().when(award("1", 7)).then([awarded("1", 7, 7)]).again_changes_nothing();
    given::<Account>([awarded("1", 7, 7)]).when(award("1", 9)).then_nothing();
    given::<Account>([awarded("1", 7, 7)]).when(award("2", 3)).then([awarded("2", 3, 10)]);
    given::<Account>([awarded("1", 7, 7), revoked("1", 7, 0)]).when(award("1", 7)).then_nothing();
    given_nothing::<Account>().when(award("1", 0)).then_rejected("bad_points");
}

#[test]
fn what_is_gone_is_said_in_all_so_that_it_goes_once() {
    given::<Account>([awarded("1", 7, 7)]).when(revoke("1", 3)).then([revoked("1", 3, 4)]).again_changes_nothing();
    given::<Account>([awarded("1", 7, 7), revoked("1", 3, 4)]).when(revoke("1", 5)).then([revoked("1", 2, 2)]);
    given::<Account>([awarded("1", 7, 7), revoked("1", 5, 2)]).when(revoke("1", 3)).then_nothing();
}

#[test]
fn no_order_loses_more_than_it_brought_so_that_no_balance_is_negative() {
    given::<Account>([awarded("1", 7, 7), awarded("2", 3, 10)]).when(revoke("1", i64::MAX)).then([revoked("1", 7, 3)]);
    given::<Account>([awarded("2", 3, 3)]).when(revoke("1", 1)).then_rejected("nothing_awarded");
    given::<Account>([awarded("1", 7, 7)]).when(revoke("1", -1)).then_rejected("bad_points");
}

#[test]
fn a_balance_beyond_all_numbers_stays_at_the_largest() {
    given::<Account>([awarded("1", i64::MAX, i64::MAX)]).when(award("2", 5)).then([awarded("2", 5, i64::MAX)]);
}
