//! What each piece of an order is worth in pence, fixed by its lines: what goes back for it when it comes back.
//!
//! A line of goods is worth its amount less its share of the order's discounts (lines of negative amount), which are
//! spread by value, largest remainder first, the lower line before the other. Its pieces share that; the first `value mod
//! quantity` of them are worth a penny more. So the pieces of an order, one at a time or together, in any order, come to
//! exactly what its goods cost.

use std::cmp::Reverse;

use crate::contracts::{
    ids::Sku,
    shapes::{Line, LineKind, ReturnItem},
};

/// The pieces of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OfLine {
    line: u32,
    sku: Sku,
    quantity: i64,
    value: i64,
    /// Pieces that came back; the first ones come back first.
    back: i64,
}

impl OfLine {
    fn is(&self, sku: &Sku, line: Option<u32>) -> bool {
        self.sku == *sku && line.is_none_or(|line| line == self.line)
    }

    /// What the pieces between two are worth.
    fn worth(&self, from: i64, to: i64) -> i128 {
        let (quantity, value) = (i128::from(self.quantity), i128::from(self.value));
        let (each, dearer) = (value / quantity, value % quantity);
        let (from, to) = (i128::from(from), i128::from(to));
        (to - from) * each + to.min(dearer) - from.min(dearer)
    }
}

/// The pieces of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces(Vec<OfLine>);

impl Pieces {
    /// The pieces of an order's lines.
    pub fn of(lines: &[Line]) -> Self {
        let goods = lines.iter().filter(|line| line.kind == LineKind::Goods && line.quantity > 0);
        let mut pieces: Vec<OfLine> = goods
            .map(|line| OfLine {
                line: line.line,
                sku: line.sku.clone(),
                quantity: line.quantity,
                value: line.amount.amount.max(0),
                back: 0,
            })
            .collect();
        let discounts: i128 = lines.iter().map(|line| i128::from(line.amount.amount.min(0))).sum();
        spread(&mut pieces, -discounts);
        Self(pieces)
    }

    /// Pieces that did not come back, of an article, in the line if one is named; none if that line is of another article.
    pub fn left(&self, sku: &Sku, line: Option<u32>) -> i64 {
        let of = self.0.iter().filter(|of| of.is(sku, line));
        i64::try_from(of.map(|of| i128::from(of.quantity - of.back)).sum::<i128>()).unwrap_or(i64::MAX)
    }

    /// All that did not come back, line by line.
    pub fn all_left(&self) -> Vec<ReturnItem> {
        let left = self.0.iter().filter(|line| line.back < line.quantity);
        let item = |line: &OfLine| (line.sku.clone(), line.quantity - line.back, Some(line.line));
        left.map(item).map(|(sku, quantity, line)| ReturnItem { sku, quantity, line }).collect()
    }

    /// Takes pieces back and says what they are worth: those of a named line before those of any, and these of the first
    /// line first. Pieces that the order has not are worth nothing.
    pub fn take_back(&mut self, items: &[ReturnItem]) -> i64 {
        let (named, others): (Vec<_>, Vec<_>) = items.iter().partition(|item| item.line.is_some());
        let mut worth = 0;
        for item in named.into_iter().chain(others) {
            let mut wanted = item.quantity.max(0);
            for of in self.0.iter_mut().filter(|of| of.is(&item.sku, item.line)) {
                let taken = wanted.min(of.quantity - of.back);
                worth += of.worth(of.back, of.back + taken);
                of.back += taken;
                wanted -= taken;
            }
        }
        i64::try_from(worth).unwrap_or(i64::MAX)
    }

    /// About how many bytes they take.
    pub fn bytes(&self) -> usize {
        96 * self.0.len()
    }
}

/// Takes discounts off the lines, by their values; at most all of them.
fn spread(lines: &mut [OfLine], discounts: i128) {
    let sum: i128 = lines.iter().map(|line| i128::from(line.value)).sum();
    let discounts = discounts.min(sum);
    if discounts <= 0 {
        return;
    }
    let share = |value: i64| (i128::from(value) * discounts / sum, i128::from(value) * discounts % sum);
    let given: i128 = lines.iter().map(|line| share(line.value).0).sum();
    let mut by_remainder: Vec<usize> = (0..lines.len()).collect();
    by_remainder.sort_by_key(|at| (Reverse(share(lines[*at].value).1), *at));
    // Each remainder is less than one penny, so that fewer pennies are left than lines have one.
    let dearer = usize::try_from(discounts - given).unwrap_or(0);
    for (place, at) in by_remainder.into_iter().enumerate() {
        let off = share(lines[at].value).0 + i128::from(place < dearer);
        lines[at].value -= i64::try_from(off).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::{pence, price};

    fn goods(line: u32, sku: &str, quantity: i64, unit: &str) -> Line {
        Line::goods(line, Sku::from(sku), "", quantity, price(unit).unwrap()).unwrap()
    }

    fn manual(line: u32, amount: i64) -> Line {
        let (kind, sku, name) = (LineKind::Manual, Sku::from("D"), String::new());
        Line { line, kind, sku, name, quantity: 1, unit_price: None, amount: pence(amount) }
    }

    fn of(sku: &str, quantity: i64) -> ReturnItem {
        ReturnItem { sku: Sku::from(sku), quantity, line: None }
    }

    fn of_line(line: u32, sku: &str, quantity: i64) -> ReturnItem {
        ReturnItem { line: Some(line), ..of(sku, quantity) }
    }

    fn one_by_one(lines: &[Line], sku: &str, count: usize) -> Vec<i64> {
        let mut pieces = Pieces::of(lines);
        (0..count).map(|_| pieces.take_back(&[of(sku, 1)])).collect()
    }

    #[test]
    fn a_penny_that_cannot_be_shared_is_of_the_first_pieces() {
        let lines = [goods(1, "A", 3, "0.135")];
        assert_eq!(lines[0].amount.amount, 40);
        assert_eq!(one_by_one(&lines, "A", 4), [14, 13, 13, 0]);
        assert_eq!(Pieces::of(&lines).take_back(&[of("A", 3)]), 40, "together as one by one");
    }

    #[test]
    fn one_article_at_two_prices_comes_back_of_the_first_line_first() {
        let lines = [goods(1, "A", 2, "5.00"), goods(2, "B", 1, "9.99"), goods(3, "A", 1, "3.00")];
        assert_eq!(one_by_one(&lines, "A", 3), [500, 500, 300]);
        let mut pieces = Pieces::of(&lines);
        assert_eq!(pieces.take_back(&[of("A", 1), of("B", 1), of("A", 2)]), 500 + 999 + 500 + 300);
        assert_eq!((pieces.left(&Sku::from("A"), None), pieces.all_left()), (0, vec![]));
    }

    #[test]
    fn a_named_line_gives_its_own_pieces_and_the_others_what_is_left() {
        let lines = [goods(1, "A", 2, "5.00"), goods(2, "B", 1, "9.99"), goods(3, "A", 1, "3.00")];
        let sku = Sku::from("A");
        let mut pieces = Pieces::of(&lines);
        assert_eq!((pieces.left(&sku, Some(1)), pieces.left(&sku, Some(3)), pieces.left(&sku, Some(2))), (2, 1, 0));
        assert_eq!(pieces.take_back(&[of("A", 1), of_line(1, "A", 2)]), 1_000 + 300, "whatever order they are told in");
        assert_eq!(pieces.left(&sku, None), 0);
        let mut pieces = Pieces::of(&lines);
        assert_eq!(pieces.take_back(&[of_line(3, "A", 1)]), 300);
        assert_eq!(pieces.take_back(&[of_line(2, "A", 1), of_line(9, "B", 1)]), 0, "of another article, or no line");
        assert_eq!(pieces.take_back(&[of("A", 2), of("B", 1)]), 1_000 + 999);
    }

    #[test]
    fn discounts_are_spread_over_the_goods_by_value_and_never_more_than_they_cost() {
        let lines = [goods(1, "A", 10, "1.00"), manual(2, -500), manual(3, 250)];
        assert_eq!(Pieces::of(&lines).take_back(&[of("A", 5)]), 250, "five of ten at half the price");
        assert_eq!(Pieces::of(&lines).take_back(&[of("A", 10)]), 500);
        let thirds = [goods(1, "A", 1, "1.00"), goods(2, "B", 1, "1.00"), goods(3, "C", 1, "1.00"), manual(4, -100)];
        let each = ["A", "B", "C"].map(|sku| Pieces::of(&thirds).take_back(&[of(sku, 1)]));
        assert_eq!(each, [66, 67, 67], "the penny goes off the lower line");
        let all = [goods(1, "A", 1, "2.00"), manual(2, -5_000)];
        assert_eq!(Pieces::of(&all).take_back(&[of("A", 1)]), 0);
        assert_eq!(Pieces::of(&[goods(1, "A", 2, "0")]).take_back(&[of("A", 2)]), 0, "what was free");
    }

    #[test]
    fn in_any_order_one_at_a_time_or_at_once_the_pieces_come_to_what_the_goods_cost() {
        for seed in 0..400 {
            let mut random = fastrand::Rng::with_seed(seed);
            let count = if seed % 50 == 0 { 1_114 } else { random.u32(1..12) };
            let mut lines: Vec<Line> = (1..=count)
                .map(|line| {
                    let sku = ["A", "B", "C"][random.usize(..3)];
                    let price = format!("{}.{:03}", random.u32(..9), random.u32(..1_000));
                    goods(line, sku, random.i64(1..40), &price)
                })
                .collect();
            let cost: i64 = lines.iter().map(|line| line.amount.amount).sum();
            let off = if random.bool() { random.i64(0..=cost.max(1)) } else { 0 };
            lines.push(manual(count + 1, -off));
            let mut pieces = Pieces::of(&lines);
            let mut given = 0;
            while let [first, ..] = pieces.all_left().as_slice() {
                let quantity = random.i64(1..=first.quantity.max(1)).min(pieces.left(&first.sku, None));
                let others = pieces.all_left();
                let other = &others[random.usize(..others.len())];
                let line = first.line.filter(|_| random.bool() && quantity <= first.quantity);
                let items = [ReturnItem { line, ..of(first.sku.as_ref(), quantity) }, of(other.sku.as_ref(), 1)];
                given += pieces.take_back(&items[..random.usize(1..=2)]);
            }
            assert_eq!(given, cost - off.min(cost), "seed {seed}");
        }
    }
}
