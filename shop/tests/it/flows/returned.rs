//! Return in pieces: shelves, money, points and mail, each time.

use factum::envelope::Kind;
use serde_json::json;

use super::{ann, available, ends, in_order, is_well, log, payment, placed};
use crate::{notifications::told, shop::Shop};

/// R220, R229, R239: each part comes back to the shelves, in money, in points and in a mail, in whatever parts.
#[tokio::test]
async fn what_comes_back_in_parts_is_undone_in_every_room() {
    let shop = Shop::open().await;
    ann(&shop).await;
    let order = placed(&shop, "TEA", 100).await;
    shop.days(6).await;
    // Pieces of a part; and afterwards all that came back, pennies given back, points left.
    for (part, pieces, refunded, points) in [(1, 1, 255, 252), (59, 60, 15_300, 102), (40, 100, 25_500, 0)] {
        let before = shop.app.position();
        let items = json!([{ "sku": "TEA", "quantity": part }]);
        let back = shop.post(&format!("/orders/{order}/return"), &json!({ "items": items, "reason": "broken" })).await;
        assert_eq!(back.status, 202, "{back:?}");
        shop.app.rest().await.unwrap();
        let rows: [(&str, &[&str]); 3] = [
            ("returned", &["order.returned"]),
            ("asked", &["inventory.restock", "payment.refund"]),
            ("done", &["inventory.stock_returned", "payment.refunded"]),
        ];
        let log = log(&shop, before, &[Kind::Event, Kind::Command]);
        in_order(&log, &rows);
        for once in ["order.returned", "payment.refunded", "inventory.stock_returned", "loyalty.points_revoked"] {
            assert_eq!(log.iter().filter(|name| *name == once).count(), 1, "{once} after {pieces}");
        }
        in_order(&log, &[("mail", &["payment.refunded"]), ("mail", &["notification.sent"])]);
        assert_eq!(ends(&shop, &order).await, ("returned".to_owned(), "broken".to_owned()));
        assert_eq!(payment(&shop, &order).await["refunded"]["amount"], refunded, "after {pieces}");
        assert_eq!(shop.get("/loyalty/ann").await.body["balance"], points, "after {pieces}");
        assert_eq!(available(&shop, "TEA").await, 99_900 + pieces, "after {pieces}");
    }
    let mails = told(&shop, &format!("order={order}&status=sent")).await;
    let refunds = mails.iter().filter(|mail| mail["template"] == "payment_refunded");
    let amount = |mail: &serde_json::Value| mail["body"].as_str().unwrap().split(' ').nth(4).unwrap().to_owned();
    let mut amounts: Vec<String> = refunds.map(amount).collect();
    amounts.sort();
    assert_eq!(amounts, ["102.00", "150.45", "2.55"]);
    let article = shop.get("/analytics/articles?sort=units").await.body["items"][0].clone();
    assert_eq!((&article["units"], &article["returned"]), (&json!(100), &json!(100)));
    is_well(&shop);
}
