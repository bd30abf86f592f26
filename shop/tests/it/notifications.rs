//! What customers are told of their orders, by channels that work, refuse, lose answers, hang and are away.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use factum::{http::client::Remote, stream::Position};
use serde_json::{Value, json};
use shop::{
    contracts::notification::{Channel, OpenNotification},
    notification::gateway::{Channels, Mail, Relay},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::shop::Shop;

/// What a relay does with mail.
#[derive(Clone, Copy, PartialEq)]
pub enum Relays {
    Takes,
    /// It knows no such address.
    Refuses,
    /// It takes it later.
    Later,
    /// It takes the first mail, and breaks off before it says so.
    LosesAnswer,
    /// It says nothing at all.
    Hangs,
}

/// A relay that keeps the mails.
pub struct Smtp {
    mails: Mutex<Vec<String>>,
}

impl Smtp {
    pub async fn open(does: Relays) -> (Arc<Self>, Relay) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = format!("smtp://{}", listener.local_addr().unwrap()).parse().unwrap();
        let smtp = Arc::new(Self { mails: Mutex::new(Vec::new()) });
        let kept = smtp.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = kept.clone();
                tokio::spawn(async move { _ = kept.talk(stream, does).await });
            }
        });
        (smtp, relay)
    }

    async fn talk(&self, stream: TcpStream, does: Relays) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        if does == Relays::Hangs {
            std::future::pending::<()>().await;
        }
        stream.write_all(b"220 relay\r\n").await?;
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            let answer: &[u8] = match line.split([' ', ':', '\r']).next().unwrap_or_default() {
                "RCPT" if does == Relays::Refuses => b"550 no such user\r\n",
                "RCPT" if does == Relays::Later => b"450 come back later\r\n",
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    let mut mail = String::new();
                    while !mail.ends_with("\r\n.\r\n") {
                        stream.read_line(&mut mail).await?;
                    }
                    let mut mails = self.mails.lock().unwrap();
                    mails.push(mail);
                    if does == Relays::LosesAnswer && mails.len() == 1 {
                        return Ok(());
                    }
                    b"250 taken\r\n"
                }
                "QUIT" => b"221 bye\r\n",
                _ => b"250 relay\r\n",
            };
            stream.write_all(answer).await?;
            line.clear();
        }
        Ok(())
    }

    pub fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }
}

pub fn by_mail(relay: Relay) -> Channels {
    Channels { mail: Some(Mail { relay, from: "shop@example.org".parse().unwrap() }), ..Channels::default() }
}

/// Ann, who has left everything, orders tea.
async fn anns_order(shop: &Shop) -> String {
    let ann = json!({ "name": "Ann", "email": "ann@b.example", "phone": "+44 1" });
    assert_eq!(shop.put("/customers/ann", &ann).await.status, 200);
    shop.post("/orders", &json!({ "customerId": "ann", "items": [{ "sku": "TEA", "quantity": 2 }] })).await.order()
}

pub async fn told(shop: &Shop, query: &str) -> Vec<Value> {
    let list = shop.get(&format!("/notifications?{query}")).await;
    assert_eq!(list.status, 200, "{list:?}");
    list.body["items"].as_array().unwrap().clone()
}

/// Channel, template and status of each, in their order.
pub fn in_short(told: &[Value]) -> BTreeSet<String> {
    let short = |row: &Value| ["channel", "template", "status"].map(|field| row[field].as_str().unwrap()).join(" ");
    told.iter().map(short).collect()
}

pub fn words(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn an_order_is_told_of_from_the_first_step_to_the_money_that_goes_back() {
    let shop = Shop::open().await;
    let order = anns_order(&shop).await;
    shop.days(6).await;
    let life = [
        "email order_created sent",
        "email order_paid sent",
        "email order_shipped sent",
        "sms order_shipped sent",
        "email order_delivered sent",
        "push order_delivered sent",
    ];
    let rows = told(&shop, &format!("order={order}")).await;
    assert_eq!((in_short(&rows), rows.len()), (words(&life), 6));
    let items = json!([{ "sku": "TEA", "quantity": 1 }]);
    let back = shop.post(&format!("/orders/{order}/return"), &json!({ "items": items, "reason": "broken" })).await;
    assert_eq!(back.status, 202, "{back:?}");
    shop.app.rest().await.unwrap();
    let rows = told(&shop, &format!("order={order}")).await;
    let refunded = rows.iter().find(|row| row["template"] == "payment_refunded").unwrap();
    assert_eq!(refunded["to"], "ann@b.example");
    assert_eq!(refunded["body"], "Dear Ann,\n\nwe have sent 2.55 GBP back to you (broken).\n");

    // One of them alone, and its events; and who may not have been told.
    let id = refunded["notificationId"].as_str().unwrap();
    assert_eq!(shop.get(&format!("/notifications/{id}")).await.body, *refunded);
    let events = shop.events(Position::START, &format!("notification-{id}"));
    assert_eq!(events, ["notification.opened", "notification.sent"]);
    assert_eq!(told(&shop, "customer=ann").await.len(), 7);
    assert_eq!(told(&shop, "status=failed").await, Vec::<Value>::new());
    shop.get("/notifications/none").await.refuses(404, "not_found", "notification none");
    shop.get("/notifications?status=lost").await.refuses(400, "bad_query", "status");
}

#[tokio::test]
async fn who_has_left_no_address_and_who_orders_as_a_guest_is_not_told() {
    let shop = Shop::open().await;
    let items = json!([{ "sku": "TEA", "quantity": 2 }]);
    let order = shop.post("/orders", &json!({ "customerId": "c-1", "items": items })).await.order();
    let guest = shop.post("/orders", &json!({ "items": items })).await.order();
    shop.a_minute().await;
    let rows = told(&shop, &format!("order={order}&status=failed")).await;
    assert_eq!(in_short(&rows), words(&["email order_created failed"]), "one note an order");
    assert!(rows.iter().all(|row| row["reason"] == "no_address" && row["to"].is_null()));
    assert_eq!(told(&shop, &format!("order={guest}")).await, Vec::<Value>::new());
}

#[tokio::test]
async fn mail_goes_to_the_relay_with_its_text() {
    let (smtp, relay) = Smtp::open(Relays::Takes).await;
    let shop = Shop::telling(by_mail(relay)).await;
    let order = anns_order(&shop).await;
    shop.a_minute().await;
    let mails = smtp.mails();
    let paid = mails.iter().find(|mail| mail.contains("is paid")).unwrap();
    for line in ["From: shop@example.org", "To: ann@b.example", "Dear Ann,", "we have received 5.10 GBP for your order"]
    {
        assert!(paid.contains(line), "{paid}");
    }
    let rows = told(&shop, &format!("order={order}")).await;
    assert_eq!(rows.iter().filter(|row| row["channel"] == "email" && row["status"] == "sent").count(), mails.len());
}

#[tokio::test]
async fn a_mail_whose_answer_is_lost_comes_again_as_the_same_one() {
    let (smtp, relay) = Smtp::open(Relays::LosesAnswer).await;
    let shop = Shop::telling(by_mail(relay)).await;
    let order = anns_order(&shop).await;
    shop.hours(1).await;
    let id = |mail: &String| mail.lines().find(|line| line.starts_with("Message-ID: ")).unwrap().to_owned();
    let mails = smtp.mails();
    let ids: BTreeSet<String> = mails.iter().map(id).collect();
    let rows = told(&shop, &format!("order={order}")).await;
    let sent = rows.iter().filter(|row| row["channel"] == "email" && row["status"] == "sent").count();
    assert_eq!((mails.len(), ids.len()), (sent + 1, sent));
}

#[tokio::test]
async fn an_address_that_the_relay_does_not_know_is_a_failed_notification() {
    let (smtp, relay) = Smtp::open(Relays::Refuses).await;
    let shop = Shop::telling(by_mail(relay)).await;
    let order = anns_order(&shop).await;
    shop.days(6).await;
    assert_eq!(shop.get(&format!("/orders/{order}")).await.body["status"], "delivered");
    let rows = told(&shop, &format!("order={order}&status=failed")).await;
    assert!(rows.len() == 4 && rows.iter().all(|row| row["reason"] == "smtp_550"), "{rows:#?}");
    assert!(rows.iter().all(|row| row["body"].as_str().unwrap().contains(&order)));
    assert_eq!(smtp.mails().len(), 0);
    assert_eq!(told(&shop, "status=sent").await.len(), 2);
}

#[tokio::test]
async fn a_mail_that_is_put_off_for_hours_is_given_up() {
    let (_smtp, relay) = Smtp::open(Relays::Later).await;
    let shop = Shop::telling(by_mail(relay)).await;
    let order = anns_order(&shop).await;
    shop.hours(1).await;
    assert_eq!(told(&shop, &format!("order={order}&status=failed")).await.len(), 0);
    shop.days(1).await;
    let rows = told(&shop, &format!("order={order}&status=failed")).await;
    assert!(rows.len() >= 3 && rows.iter().all(|row| row["reason"] == "smtp_450"), "{rows:#?}");
    assert_eq!(shop.get("/factum/v1/letters").await.body["letters"], json!([]));
}

#[tokio::test]
async fn what_was_told_is_not_told_again_however_often_it_comes() {
    let (smtp, relay) = Smtp::open(Relays::Takes).await;
    let shop = Shop::telling(by_mail(relay)).await;
    let order = anns_order(&shop).await;
    shop.a_minute().await;
    let (before, mails) = (told(&shop, "").await, smtp.mails().len());
    for row in &before {
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        let channel = if row["channel"] == "email" { Channel::Email } else { Channel::Sms };
        let open = OpenNotification {
            notification_id: text("notificationId").as_str().into(),
            channel,
            template: text("template"),
            customer_id: None,
            order_id: None,
            cause_id: text("causeId"),
            to: Some("else@b.example".to_owned()),
            subject: "s".to_owned(),
            body: "b".to_owned(),
        };
        shop.app.execute(open).await.unwrap();
    }
    // A person has the event delivered once more.
    let again = json!({ "act": "redeliver", "consumer": "notification.telling", "key": order, "by": "mara" });
    let plan = shop.post("/factum/v1/plans", &again).await;
    assert!(plan.status < 300, "{plan:?}");
    let (id, hash) = (&plan.body["plan"]["id"], &plan.body["plan"]["hash"]);
    let approve = format!("/factum/v1/plans/{}/approve", id.as_str().unwrap());
    let approved = shop.post(&approve, &json!({ "by": "mara", "hash": hash })).await;
    assert!(approved.status < 300, "{approved:?}");
    shop.app.rest().await.unwrap();
    assert_eq!((told(&shop, "").await, smtp.mails().len()), (before, mails));
}

/// Whoever sends texts and pushes: what was asked, with its key.
#[derive(Default)]
struct Texts(Mutex<Vec<(String, String, Value)>>);

async fn take(
    State(texts): State<Arc<Texts>>,
    Path(what): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    texts.0.lock().unwrap().push((what.clone(), key, body));
    match what.as_str() {
        "pushes" => (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "reason": "no_device" }))).into_response(),
        _ => Json(json!({ "id": "m-1" })).into_response(),
    }
}

#[tokio::test]
async fn texts_and_pushes_go_over_http_each_under_a_key_of_its_own() {
    let texts = Arc::new(Texts::default());
    let router = Router::new().route("/{what}", post(take)).with_state(texts.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Remote = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    let shop = Shop::telling(Channels { sms: Some(url.clone()), push: Some(url), ..Channels::default() }).await;
    let order = anns_order(&shop).await;
    shop.days(6).await;
    let asked = texts.0.lock().unwrap().clone();
    let [(text, key, sms), (push, other, pushed)] = &asked[..] else { panic!("{asked:#?}") };
    assert_eq!((text.as_str(), push.as_str(), key != other), ("messages", "pushes", true));
    assert_eq!((&sms["to"], sms["title"].is_null()), (&json!("+44 1"), true));
    assert!(sms["text"].as_str().unwrap().starts_with(&format!("Your order {order} is on its way with Pigeon Post")));
    assert_eq!((&pushed["to"], &pushed["title"]), (&json!("ann"), &json!("Your order has arrived")));
    let rows = told(&shop, &format!("order={order}")).await;
    assert!(in_short(&rows).is_superset(&words(&["sms order_shipped sent", "push order_delivered failed"])));
    assert_eq!(rows.iter().find(|row| row["channel"] == "push").unwrap()["reason"], "no_device");
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), waiting).await.is_ok(), "in vain: {what}");
}

#[tokio::test]
async fn channels_that_hang_or_are_away_hold_up_no_order_and_not_each_other() {
    let (_smtp, hangs) = Smtp::open(Relays::Hangs).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away: Remote = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let shop = Shop::live(Channels { push: Some(away), ..by_mail(hangs) }).await;
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(anns_order(&shop).await);
    }
    for order in &orders {
        let path = format!("/orders/{order}");
        until("the order is delivered", async || shop.get(&path).await.body["status"] == "delivered").await;
        let query = format!("order={order}");
        // Texts go through meanwhile; mail and pushes wait.
        let wanted = words(&["email order_delivered open", "push order_delivered open", "sms order_shipped sent"]);
        until("the rest is told", async || in_short(&told(&shop, &query).await).is_superset(&wanted)).await;
    }
    assert_eq!(told(&shop, "status=failed").await, Vec::<Value>::new());
    shop.app.stop().await;
}
