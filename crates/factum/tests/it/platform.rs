//! The platform's own routes, asked as a client asks them: letters from the failure to their end, consumers, health, and
//! what is refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, http::Request};
use factum::{
    error::HandlerError,
    http::{encoded, guarded},
    ports::Scan,
    prelude::*,
    stream::Position,
};
use serde_json::{Value, json};
use tower::ServiceExt;

#[derive(Event)]
#[event("order.placed")]
struct Placed {
    order: String,
    pieces: u32,
}

#[derive(Command)]
#[command("order.place")]
struct Place {
    order: String,
    pieces: u32,
}

#[derive(Default)]
struct Order;

impl Decider for Order {
    const CATEGORY: &'static str = "order";
    type Id = String;
    type Command = Place;
    type Event = Placed;
    type Rejection = Never;

    fn address(command: &Place, _: &Envelope) -> String {
        command.order.clone()
    }

    fn decide(&self, _: &String, place: Place, _: &Context) -> Result<Vec<Placed>, Never> {
        Ok(vec![Placed { order: place.order, pieces: place.pieces }])
    }

    fn evolve(&mut self, _: &Placed) {}
}

#[derive(Event)]
#[event("parcel.packed")]
struct Packed {
    order: String,
    pieces: u32,
}

#[derive(Command)]
#[command("parcel.remind")]
struct Remind {
    order: String,
}

/// Its reminders fail for whoever is late.
#[derive(Default)]
struct Parcel;

impl Decider for Parcel {
    const CATEGORY: &'static str = "reminder";
    type Id = String;
    type Command = Remind;
    type Event = Packed;
    type Rejection = Never;

    fn address(command: &Remind, _: &Envelope) -> String {
        command.order.clone()
    }

    fn decide(&self, _: &String, remind: Remind, _: &Context) -> Result<Vec<Packed>, Never> {
        assert!(remind.order != "late", "the reminder is broken");
        Ok(Vec::new())
    }

    fn evolve(&mut self, _: &Packed) {}
}

#[derive(Clone, Debug, PartialEq, Row)]
#[row("orders")]
struct OrderRow {
    #[key]
    order: String,
    pieces: u32,
}

/// A timer's name with all in it that an address has to encode.
const PART: &str = "for a@b ü?#%2F&+..";
const WAIT: TimerTo<Remind> = TimerTo::new("wait");

struct Shop {
    app: App,
    router: Router,
    broken: Arc<AtomicBool>,
}

struct Answer {
    status: u16,
    body: Value,
}

impl Answer {
    /// It is a problem with this code, and says this.
    #[track_caller]
    fn refuses(&self, status: u16, code: &str, says: &str) {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        let detail = self.body["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{detail}");
    }
}

impl Shop {
    /// A shop whose packing fails at 13 pieces, and its view at 99, as long as it is broken.
    async fn open() -> Self {
        let broken = Arc::new(AtomicBool::new(true));
        let fails = broken.clone();
        let pack = move |event: &Recorded<'_, Placed>, fx: &mut Effects| {
            if event.pieces == 13 && fails.load(Ordering::Relaxed) {
                return Err(HandlerError::failed("13 pieces do not fit"));
            }
            fx.emit("parcel", &event.order, Packed { order: event.order.clone(), pieces: event.pieces });
            if event.order == "late" {
                fx.after(WAIT.of(PART), Duration::ZERO, Remind { order: event.order.clone() });
            }
            Ok(())
        };
        let fails = broken.clone();
        let orders = move |rows: &mut Rows<'_, OrderRow>, event: &Recorded<'_, Placed>| {
            assert!(event.pieces != 99 || !fails.load(Ordering::Relaxed), "99 have no place in a row");
            rows.put(OrderRow { order: event.order.clone(), pieces: event.pieces });
        };
        let packing = Service::new("parcel").owns("parcel").decider::<Parcel>();
        let packing = packing.reaction(Reaction::new("pack", pack).emits::<Packed>("parcel").sets(WAIT));
        let builder = App::in_memory().with(Service::new("order").decider::<Order>().view(1, orders)).with(packing);
        let app = builder.program("shop 1.4.0").start().await.unwrap();
        let router = guarded(app.router());
        Self { app, router, broken }
    }

    async fn place(&self, order: &str, pieces: u32) {
        self.app.execute(Place { order: order.to_owned(), pieces }).await.unwrap();
        self.app.rest().await.unwrap();
    }

    /// Two orders, one with a letter and two messages behind it.
    async fn failed() -> (Self, String) {
        let shop = Self::open().await;
        for pieces in [1, 13, 2, 3] {
            shop.place("a", pieces).await;
        }
        shop.place("b", 4).await;
        let letters = shop.get("/factum/v1/letters").await.body;
        let id = letters["letters"][0]["id"].as_str().unwrap().to_owned();
        (shop, id)
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status.as_u16(), body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], Body::empty()).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[("host", "127.0.0.1:8080")], body.to_string()).await
    }

    async fn act(&self, id: &str, what: &str) -> Answer {
        let body = json!({ "by": "mara", "why": "the box is larger now" });
        self.post(&format!("/factum/v1/letters/{}/{what}", encoded(id)), &body).await
    }

    /// Pieces of the parcels of an order, in order.
    fn packed(&self, order: &str) -> Vec<u64> {
        let of = self.messages("parcel.packed").into_iter().filter(|data| data["order"] == order);
        of.map(|data| data["pieces"].as_u64().unwrap()).collect()
    }

    /// Data of the log's messages of a type.
    fn messages(&self, type_name: &str) -> Vec<Value> {
        let reader = self.app.reader();
        let scan = Scan { after: Position::START, until: reader.head(), bytes: usize::MAX, types: None };
        let messages = reader.scan(&scan).unwrap().messages.into_iter();
        let of_type = messages.filter(|stored| stored.type_name() == type_name);
        of_type.map(|stored| serde_json::from_slice(&stored.message.data).unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_listed_shown_tried_and_redriven_until_its_cause_is_mended() {
    let (shop, id) = Shop::failed().await;
    assert_eq!((shop.packed("a"), shop.packed("b")), (vec![1], vec![4]));
    let list = shop.get("/factum/v1/letters").await.body;
    let letter = &list["letters"][0];
    assert_eq!((&list["total"], list["letters"].as_array().unwrap().len()), (&json!(1), 1), "{list}");
    assert_eq!((&letter["consumer"], &letter["type"]), (&json!("parcel.pack"), &json!("order.placed")));
    assert_eq!((&letter["key"], &letter["waiting"]), (&json!("key/a"), &json!(2)));
    assert_eq!((&letter["failureReason"], &letter["failureCount"]), (&json!("13 pieces do not fit"), &json!(1)));

    let path = format!("/factum/v1/letters/{}", encoded(&id));
    let shown = shop.get(&path).await;
    assert_eq!((shown.status, &shown.body["id"], &shown.body["waiting"]), (200, &json!(id), &json!(2)));
    assert_eq!(shown.body["originalEvent"]["data"], json!({ "order": "a", "pieces": 13 }));
    assert_eq!(shown.body["failures"][0]["program"], "shop 1.4.0");

    let before = shop.app.position();
    let tried = shop.act(&id, "try").await;
    assert_eq!((tried.status, &tried.body["outcome"]), (200, &json!("tried")), "{}", tried.body);
    assert_eq!(tried.body["failure"], "13 pieces do not fit");
    assert_eq!(shop.app.position(), before, "nothing is stored");
    let again = shop.act(&id, "redrive").await;
    assert_eq!((again.status, &again.body["outcome"]), (200, &json!("failedAgain")), "{}", again.body);
    assert_eq!(shop.get(&path).await.body["failureCount"], 2);

    shop.broken.store(false, Ordering::Relaxed);
    let tried = shop.act(&id, "try").await.body;
    assert_eq!(tried["effects"][0]["data"], json!({ "order": "a", "pieces": 13 }), "{tried}");
    let done = shop.act(&id, "redrive").await;
    assert_eq!((done.status, &done.body["outcome"]), (200, &json!("done")), "{}", done.body);
    assert_eq!(done.body["followed"][0]["type"], "parcel.packed");
    shop.app.rest().await.unwrap();
    assert_eq!(shop.packed("a"), [1, 13, 2, 3], "what waited follows in order");
    assert_eq!(shop.get("/factum/v1/letters").await.body, json!({ "letters": [], "total": 0 }));
    shop.get(&path).await.refuses(404, "no_letter", "it has ended");
    shop.act(&id, "redrive").await.refuses(404, "no_letter", &id);

    let acts = shop.messages("letter.redriven");
    let told: Vec<_> = acts.iter().map(|act| (&act["by"], &act["why"], &act["outcome"], &act["letter"])).collect();
    let (mara, why, id) = (json!("mara"), json!("the box is larger now"), json!(id));
    assert_eq!(told, [(&mara, &why, &json!("failed"), &id), (&mara, &why, &json!("done"), &id)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discard_and_a_release_let_follow_what_waits() {
    let (shop, id) = Shop::failed().await;
    let path = format!("/factum/v1/letters/{}/discard", encoded(&id));
    shop.post(&path, &json!({ "by": "mara" })).await.refuses(400, "bad_why", "say why");
    shop.post(&path, &json!({ "by": "mara", "why": " " })).await.refuses(400, "bad_why", "say why");
    assert_eq!(shop.act(&id, "release").await.status, 200);
    shop.app.rest().await.unwrap();
    assert_eq!(shop.packed("a"), [1, 2, 3]);
    assert_eq!(shop.get("/factum/v1/letters").await.body["letters"][0]["waiting"], 0);
    assert_eq!(shop.act(&id, "discard").await.status, 200);
    assert_eq!(shop.get("/factum/v1/letters").await.body["total"], 0);
    let discarded = shop.messages("letter.discarded").remove(0);
    assert_eq!((&discarded["by"], &discarded["reason"]), (&json!("mara"), &json!("13 pieces do not fit")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_a_time_or_another_program_and_is_taken_back() {
    let (shop, id) = Shop::failed().await;
    let path = format!("/factum/v1/letters/{}/plan", encoded(&id));
    let next = async || shop.get("/factum/v1/letters").await.body["letters"][0]["nextRetry"].clone();
    let at = json!({ "by": "mara", "at": "2999-01-01T00:00:00Z" });
    assert_eq!(shop.post(&path, &at).await.status, 200);
    assert_eq!(next().await, json!({ "at": "2999-01-01T00:00:00Z" }));
    assert_eq!(shop.post(&path, &json!({ "by": "mara", "whenProgramChanges": true })).await.status, 200);
    assert_eq!(next().await, json!({ "otherThan": "shop 1.4.0" }));
    assert_eq!(shop.post(&path, &json!({ "by": "mara" })).await.status, 200);
    assert_eq!(next().await, Value::Null);
    let both = json!({ "by": "mara", "at": "2999-01-01T00:00:00Z", "whenProgramChanges": true });
    shop.post(&path, &both).await.refuses(422, "bad_field", "not both");
    shop.post(&path, &json!({ "by": "mara", "at": "soon" })).await.refuses(422, "bad_field", "`at`");
    shop.post(&path, &json!({ "by": "mara", "whenever": 1 })).await.refuses(400, "unknown_field", "whenever");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_slashes_and_signs_reaches_its_letter() {
    let shop = Shop::open().await;
    shop.place("late", 1).await;
    let list = shop.get("/factum/v1/letters").await.body;
    let id = list["letters"][0]["id"].as_str().unwrap().to_owned();
    assert!(id.contains("@timer/") && id.contains(&format!("/wait/{PART}")), "{id}");
    let shown = shop.get(&format!("/factum/v1/letters/{}", encoded(&id))).await;
    assert_eq!((shown.status, &shown.body["id"]), (200, &json!(id)), "{}", shown.body);
    assert_eq!(shown.body["originalEvent"]["data"], json!({ "order": "late" }));
    let after = shop.get(&format!("/factum/v1/letters?after={}", encoded(&id))).await.body;
    assert_eq!((&after["letters"], &after["total"]), (&json!([]), &json!(1)));
    assert_eq!(shop.act(&id, "try").await.body["outcome"], "tried");
    assert_eq!(shop.act(&id, "discard").await.status, 200);
    assert_eq!(shop.get("/factum/v1/letters").await.body["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_narrowed_down_and_comes_in_pages() {
    let shop = Shop::open().await;
    for order in ["a", "b", "c"] {
        shop.place(order, 13).await;
    }
    let of = async |query: &str| {
        let page = shop.get(&format!("/factum/v1/letters?{query}")).await.body;
        let keys = page["letters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|letter| letter["key"].as_str().unwrap()["key/".len()..].to_owned());
        (keys.collect::<String>(), page["next"].as_str().map(ToOwned::to_owned))
    };
    assert_eq!(of("").await, ("abc".to_owned(), None));
    assert_eq!(of("key=b&consumer=&limit=").await, ("b".to_owned(), None), "an empty field of a form is none");
    assert_eq!(of("consumer=parcel.pack&type=order.placed&reason=do%20not%20fit").await.0, "abc");
    assert_eq!(of("reason=rust").await.0, "");
    let (first, next) = of("limit=2").await;
    assert_eq!(of(&format!("limit=2&after={}", encoded(next.unwrap()))).await, ("c".to_owned(), None));
    assert_eq!(first, "ab");
    for bad in ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=99999999999999999999"] {
        shop.get(&format!("/factum/v1/letters?{bad}")).await.refuses(400, "bad_query", "from 1 to 1000");
    }
    shop.get("/factum/v1/letters?after=x").await.refuses(400, "bad_query", "consumer@position");
    shop.get("/factum/v1/letters?consumr=x").await.refuses(400, "bad_query", "consumr");
    shop.get(&format!("/factum/v1/letters?key={}", "k".repeat(3_000))).await.refuses(400, "bad_query", "2048");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_and_nothing_is_stored() {
    let (shop, id) = Shop::failed().await;
    let before = shop.app.position();
    for bad in ["x", "parcel.pack", "parcel.pack@", "parcel.pack@-1", "parcel.pack@99999999999999999999", "%40", "%FF"]
    {
        shop.get(&format!("/factum/v1/letters/{bad}")).await.refuses(400, "bad_id", "does not fit");
    }
    let long = format!("/factum/v1/letters/a@timer%2F{}", "x".repeat(3_000));
    shop.get(&long).await.refuses(400, "bad_id", "2048");
    shop.get("/factum/v1/letters/parcel.pack@77").await.refuses(404, "no_letter", "parcel.pack@77");
    let path = format!("/factum/v1/letters/{}/redrive", encoded(&id));
    let long = "x".repeat(1_025);
    for (body, status, code, says) in [
        (json!({}), 422, "bad_field", "by"),
        (json!([]), 422, "bad_field", ""),
        (json!({ "by": 1 }), 422, "bad_field", "`by`"),
        (json!({ "by": "" }), 400, "bad_by", "empty"),
        (json!({ "by": "x".repeat(129) }), 400, "bad_by", "128"),
        (json!({ "by": "a\u{1b}[2J" }), 400, "bad_by", "printable"),
        (json!({ "by": "mara", "why": long }), 400, "bad_why", "1024"),
        (json!({ "by": "mara", "wy": "x" }), 400, "unknown_field", "wy"),
    ] {
        shop.post(&path, &body).await.refuses(status, code, says);
    }
    shop.ask("POST", &path, &[], "{").await.refuses(400, "bad_json", "not JSON");
    shop.ask("POST", &path, &[], vec![b' '; (1 << 20) + 1]).await.refuses(413, "body_too_large", "1048576");
    shop.ask("GET", &path, &[], Body::empty()).await.refuses(405, "no_such_method", "GET");
    shop.get("/factum/v1/letters/a/b/c/d").await.refuses(404, "no_such_path", "nothing");
    assert_eq!(shop.app.position(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_read_and_do_nothing() {
    let (shop, id) = Shop::failed().await;
    let before = shop.app.position();
    let path = format!("/factum/v1/letters/{}/redrive", encoded(&id));
    let body = json!({ "by": "mara" }).to_string();
    let host = ("host", "127.0.0.1:8080");
    let origin = [host, ("origin", "http://evil.example")];
    shop.ask("POST", &path, &origin, body.clone()).await.refuses(403, "foreign_origin", "another origin");
    let crosses = [host, ("sec-fetch-site", "cross-site")];
    shop.ask("POST", &path, &crosses, body.clone()).await.refuses(403, "foreign_origin", "another origin");
    let rebound = [("host", "evil.example:8080"), ("origin", "http://evil.example:8080")];
    shop.ask("POST", &path, &rebound, body.clone()).await.refuses(421, "foreign_host", "127.0.0.1");
    shop.ask("GET", "/factum/v1/letters", &rebound[..1], Body::empty()).await.refuses(421, "foreign_host", "");
    assert_eq!(shop.app.position(), before);
    let own = [host, ("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")];
    assert_eq!(shop.ask("POST", &path, &own, body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_slip_in_a_parameter_does_what_was_to_be_tried() {
    let (shop, id) = Shop::failed().await;
    let before = shop.app.position();
    for act in ["redrive?dryRun=true", "discard?dryrun", "release?dryRun=true", "plan?x=1", "try?x=1"] {
        shop.act(&id, act).await.refuses(400, "bad_query", "takes no parameters");
    }
    assert_eq!(shop.app.position(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_that_something_waits_and_consumers_where_they_stand() {
    let (shop, id) = Shop::failed().await;
    let health = shop.get("/health").await;
    assert_eq!((health.status, &health.body["status"]), (200, &json!("degraded")));
    assert_eq!([shop.get("/live").await.status, shop.get("/ready").await.status], [200, 200]);
    let found = shop.get("/factum/v1/consumers").await.body;
    let list = found["consumers"].as_array().unwrap();
    let pack = list.iter().find(|consumer| consumer["name"] == "parcel.pack").unwrap();
    assert_eq!((&pack["letters"], &pack["held"], &pack["standing"]), (&json!(1), &json!(2), &json!("joined")));
    let by = json!({ "by": "mara" });
    shop.post("/factum/v1/consumers/parcel.pack/try-again", &by).await.refuses(409, "not_now", "has not stopped");
    for name in ["parcel.wrap", "view%3Aparcels", "%2E%2E", "%FF"] {
        let answer = shop.post(&format!("/factum/v1/consumers/{name}/try-again"), &by).await;
        assert!(matches!(answer.body["code"].as_str(), Some("no_such_consumer" | "bad_id")), "{}", answer.body);
    }
    assert_eq!(shop.act(&id, "discard").await.status, 200);
    shop.app.rest().await.unwrap();
    assert_eq!(shop.get("/health").await.body["status"], "ok");
    shop.app.stop().await;
    shop.act(&id, "try").await.refuses(503, "stopped", "stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_has_stopped_tries_again_when_it_is_told_to() {
    let shop = Shop::open().await;
    shop.place("a", 99).await;
    let rows = shop.app.rows::<OrderRow>().after(shop.app.position());
    assert!(rows.get("a").await.is_err());
    let health = shop.get("/health").await.body;
    assert_eq!(health["status"], "degraded", "{health}");
    shop.broken.store(false, Ordering::Relaxed);
    let path = "/factum/v1/consumers/view%3Aorders/try-again";
    let again = shop.post(path, &json!({ "by": "mara", "why": "99 have a place now" })).await;
    assert_eq!((again.status, &again.body["outcome"]), (200, &json!("done")), "{}", again.body);
    // What is answered is that it will try: it does so on a thread of its own.
    let read = loop {
        match shop.app.rows::<OrderRow>().after(shop.app.position()).get("a").await {
            Ok(read) => break read,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(read.map(|row| row.pieces), Some(99));
    assert_eq!(shop.get("/health").await.body["status"], "ok");
    let told = shop.messages("consumer.tried_again").remove(0);
    assert_eq!((&told["consumer"], &told["by"]), (&json!("view:orders"), &json!("mara")));
    shop.post(path, &json!({ "by": "mara" })).await.refuses(409, "not_now", "has not stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_letters_are_redriven_by_a_plan_and_messages_delivered_again() {
    let shop = Shop::open().await;
    for order in ["a", "b", "c"] {
        shop.app.execute(Place { order: order.to_owned(), pieces: 13 }).await.unwrap();
        shop.app.execute(Place { order: order.to_owned(), pieces: 1 }).await.unwrap();
    }
    shop.app.rest().await.unwrap();
    shop.broken.store(false, Ordering::Relaxed);
    let wanted = json!({
        "act": "redrive", "query": { "consumer": "parcel.pack" }, "rate": 1000, "by": "mara", "why": "mended"
    });
    let made = shop.post("/factum/v1/plans", &wanted).await;
    assert_eq!(
        (made.status, &made.body["plan"]["total"], &made.body["effects"][0]["count"]),
        (200, &3.into(), &3.into())
    );
    assert_eq!(shop.get("/factum/v1/letters").await.body["total"], 3, "nothing is done yet");
    assert_eq!(shop.get("/factum/v1/plans").await.body["plans"][0]["id"], made.body["plan"]["id"]);
    let plan = format!("/factum/v1/plans/{}", made.body["plan"]["id"].as_str().unwrap());
    let wrong = shop.post(&format!("{plan}/approve"), &json!({ "by": "noor", "hash": "0" })).await;
    wrong.refuses(409, "not_now", "not that of the plan");
    let hash = made.body["plan"]["hash"].clone();
    let approved = shop.post(&format!("{plan}/approve"), &json!({ "by": "noor", "hash": hash })).await;
    assert_eq!(approved.status, 200, "{}", approved.body);
    while shop.get("/factum/v1/plans").await.body["plans"] != json!([]) {
        tokio::task::yield_now().await;
    }
    shop.app.rest().await.unwrap();
    let ended = shop.get(&plan).await.body;
    assert_eq!((&ended["stage"], &ended["done"], &ended["failed"]), (&json!("finished"), &3.into(), &0.into()));
    assert_eq!((&ended["by"]["who"], &ended["approved"]["who"]), (&json!("mara"), &json!("noor")), "{ended}");
    shop.get("/factum/v1/plans/nothing").await.refuses(404, "no_plan", "nothing");
    assert_eq!(shop.get("/factum/v1/letters").await.body["total"], 0);
    shop.post(&format!("{plan}/cancel"), &json!({ "by": "noor" })).await.refuses(404, "no_plan", "it has ended");

    let again = json!({ "act": "redeliver", "consumer": "parcel.pack", "key": "b", "by": "mara" });
    let made = shop.post("/factum/v1/plans", &again).await;
    assert_eq!((made.status, &made.body["plan"]["total"]), (200, &2.into()), "{}", made.body);
    let plan = format!("/factum/v1/plans/{}", made.body["plan"]["id"].as_str().unwrap());
    let cancelled = shop.post(&format!("{plan}/cancel"), &json!({ "by": "mara" })).await;
    assert_eq!(cancelled.status, 200);
    for (body, status, code) in [
        (json!({ "act": "redeliver", "consumer": "order.order", "by": "mara" }), 409, "not_now"),
        (json!({ "act": "redeliver", "consumer": "nobody", "by": "mara" }), 409, "no_consumer"),
        (json!({ "act": "discard", "query": {}, "by": "mara" }), 400, "bad_why"),
        (json!({ "act": "explode", "by": "mara" }), 422, "bad_field"),
        (json!({ "act": "redrive", "query": { "consumers": "x" }, "by": "mara" }), 400, "unknown_field"),
        (json!({ "act": "redrive", "query": {}, "by": "" }), 400, "bad_by"),
    ] {
        let refused = shop.post("/factum/v1/plans", &body).await;
        assert_eq!((refused.status, refused.body["code"].as_str()), (status, Some(code)), "{body}: {}", refused.body);
    }
}
