//! Rows, as an app answers them.

use factum::{prelude::*, view::Rows};

use super::{Basket, Filled, fill};

#[derive(Clone, Debug, PartialEq, Row)]
#[row("pieces")]
struct Piece {
    #[key]
    id: String,
    #[index]
    number: u32,
}

/// Each piece is two thousand rows.
fn pieces(rows: &mut Rows<'_, Piece>, event: &Recorded<'_, Filled>) {
    for number in 0..event.data.pieces * 2_000 {
        rows.put(Piece { id: format!("{}-{number:05}", event.data.basket), number: number % 3 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rows_are_read_part_by_part_each_once() {
    let service = Service::new("basket").decider::<Basket>().view(1, pieces);
    let app = App::in_memory().with(service).start().await.unwrap();
    // A part and the beginning of a second one; then parts that are full to the last.
    for (basket, count) in [("a", 7), ("b", 3)] {
        app.execute(fill(basket, "apples", count)).await.unwrap();
        let all = app.rows::<Piece>().after(app.position()).order_by("number").slice(7, 1).all().await.unwrap();
        let keys: Vec<String> = all.iter().map(|piece| piece.id.clone()).collect();
        assert!(keys.is_sorted() && keys.first().is_some_and(|key| key == "a-00000"));
        assert_eq!(keys.len(), if basket == "a" { 14_000 } else { 20_000 });
    }
    let third = app.rows::<Piece>().equal("number", &1).all().await.unwrap();
    assert_eq!(third.len(), 4_667 + 2_000);
    app.stop().await;
}
