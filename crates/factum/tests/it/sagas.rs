//! Processes: the facade, and its routes as a client asks them.

#[path = "../shared/transfer.rs"]
pub mod transfer;

use axum::{Router, body::Body, http::Request};
use factum::{
    App, By,
    http::{encoded, guarded},
    letters::{ActError, Outcome},
    memory::Memory,
    plans::{LeftOut, Planned, Selection, Stage, Tally},
    sagas::{Query, Wanted},
};
use serde_json::{Value, json};
use tower::ServiceExt;
use transfer::{place, refused, say, services, shown};

async fn start(log: &Memory, versions: &[u32]) -> App {
    services(versions).into_iter().fold(App::over(log.clone()), factum::AppBuilder::with).start().await.unwrap()
}

fn mara() -> By {
    By::new("mara", "seen to by hand")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_looks_tries_and_helps_on() {
    let app = start(&Memory::new(), &[1]).await;
    for order in ["a", "b", "c"] {
        refused(&app, order).await;
    }
    place(&app, "d").await;
    place(&app, "e").await;
    let sagas = app.sagas();
    let query = Query { status: Some("needs_attention".to_owned()), ..Query::default() };
    let page = sagas.list(query.clone()).await.unwrap();
    let found: Vec<_> = page.sagas.iter().map(|it| (it.saga_id.as_str(), it.stuck.is_some(), &it.facts)).collect();
    assert_eq!(found, [("transfer-a", true, &None), ("transfer-b", true, &None), ("transfer-c", true, &None)]);
    assert!(shown(&app, "d").await.stuck.is_none() && shown(&app, "d").await.facts.is_some());

    let stands = app.position();
    let tried = sagas.try_dry("transfer-a", Wanted::Resolve(None), &By::new("mara", "")).await.unwrap();
    let Outcome::Tried(preview) = tried else { panic!("{tried:?}") };
    assert!(preview.effects.iter().any(|effect| effect.type_name == "transfer.completed"), "{preview:?}");
    for error in [
        sagas.resolve("transfer-a", None, &By::new("mara", " ")).await.unwrap_err(),
        sagas.undo("transfer-a", &By::new("mara", "")).await.unwrap_err(),
    ] {
        assert!(matches!(error, ActError::NoReason) && error.to_string().contains("say why"), "{error}");
    }
    assert_eq!(app.position(), stands, "nothing is stored");

    sagas.resolve("transfer-a", Some("hand"), &mara()).await.unwrap();
    assert_eq!(shown(&app, "a").await.status, "completed");
    let late = sagas.undo("transfer-b", &mara()).await.unwrap_err().to_string();
    assert!(late.contains("its pivot `ship` is done or may be"), "{late}");
    sagas.resolve("transfer-b", None, &mara()).await.unwrap();
    sagas.undo("transfer-d", &mara()).await.unwrap();
    say(&app, "d", "released").await;
    assert_eq!(shown(&app, "d").await.status, "compensated");
    sagas.retry("transfer-c", None, &By::new("mara", "")).await.unwrap();
    assert_eq!(sagas.list(query).await.unwrap().sagas, []);
    let again = sagas.retry("transfer-a", None, &mara()).await.unwrap_err();
    assert!(matches!(&again, ActError::NotNow(why) if why.starts_with("it has ended")), "{again}");
    let wrong = sagas.retry("transfer-e", Some("hand"), &mara()).await.unwrap_err();
    assert_eq!(wrong.to_string(), "step `hand` does not wait for an answer");
    for unknown in ["transfer-x", "nothing-a", "transfer", ""] {
        assert!(matches!(sagas.retry(unknown, None, &mara()).await, Err(ActError::NoInstance(_))), "{unknown}");
        assert_eq!(sagas.show(unknown).await.unwrap(), None, "{unknown}");
    }
    app.stop().await;
}

/// A program that has version 1 with some instances under way, then one that has version 2 beside it: those behind the
/// check cannot be moved, because the table does not say that it is skipped.
async fn half_way(log: &Memory) -> App {
    let app = start(log, &[1]).await;
    for order in ["a", "b", "c", "d", "e"] {
        place(&app, order).await;
    }
    for order in ["c", "d"] {
        say(&app, order, "reserved").await;
    }
    app.stop().await;
    start(log, &[1, 2]).await
}

async fn plan(app: &App, from: u32, to: u32) -> Result<Planned, ActError> {
    app.plans().make(Selection::Move { saga: "transfer".to_owned(), from, to }, None, &mara()).await
}

/// Carries it out, and waits for its end.
async fn carried_out(app: &App, planned: &Planned) -> Tally {
    app.plans().approve(&planned.plan.id, &planned.plan.hash, &mara()).await.unwrap();
    app.rest().await.unwrap();
    let shown = app.plans().show(&planned.plan.id).await.unwrap().unwrap();
    assert_eq!(shown.stage, Stage::Finished);
    shown.tally
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_moved_by_a_plan_what_cannot_be_is_named_and_the_rest_follows_later() {
    let log = Memory::new();
    let app = half_way(&log).await;
    let reason =
        "step `check` of version 2 stands before its place: say `.step(\"check\", …)` or `.skip(\"check\")`".to_owned();
    let who = vec!["transfer-c".to_owned(), "transfer-d".to_owned()];
    let reasons = vec![LeftOut { reason, count: 2, who }];
    let planned = plan(&app, 1, 2).await.unwrap();
    assert_eq!((planned.plan.total, planned.would_fail), (5, 2));
    assert_eq!(shown(&app, "a").await.version, 1, "nothing is done yet");
    // Somebody else is faster with one.
    app.sagas().move_to("transfer-e", 2, &mara()).await.unwrap();
    let moved = carried_out(&app, &planned).await;
    let wanted = Tally { done: 2, left_out: 3, gone: 1, reasons: reasons.clone(), ..Tally::default() };
    assert_eq!(moved, wanted);
    let told = shown(&app, "b").await;
    assert_eq!((told.version, told.acts[0].act.as_str(), told.acts[0].by.as_str()), (2, "moved", "mara"));
    assert_eq!(told.acts[0].why, Some(format!("plan {}", planned.plan.id)));
    assert_eq!(shown(&app, "c").await.version, 1);
    let again = carried_out(&app, &plan(&app, 1, 2).await.unwrap()).await;
    assert_eq!(again, Tally { left_out: 2, reasons, ..Tally::default() });
    let unknown = plan(&app, 1, 7).await.unwrap_err();
    assert_eq!(unknown.to_string(), "this program has no version 7 of transfer: it has 2, 1");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_version_says_so() {
    let log = Memory::new();
    let app = start(&log, &[1]).await;
    place(&app, "a").await;
    app.stop().await;
    let app = start(&log, &[2]).await;
    place(&app, "b").await;
    let page = app.sagas().list(Query { stuck: true, ..Query::default() }).await.unwrap();
    let found: Vec<_> = page.sagas.iter().map(|it| (it.saga_id.as_str(), it.stuck.as_deref())).collect();
    let reason = "this program has no version 1 of transfer: start one that has it too";
    assert_eq!(found, [("transfer-a", Some(reason))]);
    let refused = plan(&app, 1, 2).await.unwrap_err();
    assert_eq!(refused.to_string(), "this program has no version 1 of transfer: it has 2");
    app.stop().await;
    let app = start(&log, &[1, 2]).await;
    app.rest().await.unwrap();
    assert_eq!(app.sagas().list(Query { stuck: true, ..Query::default() }).await.unwrap().sagas, []);
    let moved = carried_out(&app, &plan(&app, 1, 2).await.unwrap()).await;
    assert_eq!((moved.done, moved.left_out), (1, 0), "{moved:?}");
    app.stop().await;
}

struct Routes {
    app: App,
    router: Router,
}

struct Answer {
    status: u16,
    body: Value,
}

impl Answer {
    #[track_caller]
    fn refuses(&self, status: u16, code: &str, says: &str) {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        let detail = self.body["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{detail}");
    }
}

impl Routes {
    async fn open(versions: &[u32]) -> Self {
        let app = start(&Memory::new(), versions).await;
        Self { router: guarded(app.router()), app }
    }

    async fn ask(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:8080");
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status.as_u16(), body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", &format!("/factum/v1/sagas{path}"), Body::empty()).await
    }

    /// Does something about the process of an order.
    async fn act(&self, order: &str, what: &str, body: &Value) -> Answer {
        let id = encoded(format!("transfer-{order}"));
        self.ask("POST", &format!("/factum/v1/sagas/{id}/{what}"), body.to_string()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_listed_by_what_is_asked_for_and_in_pages() {
    let shop = Routes::open(&[1]).await;
    for order in ["a", "b", "c"] {
        place(&shop.app, order).await;
    }
    refused(&shop.app, "d").await;
    let of = async |query: &str| -> (String, Value) {
        let page = shop.get(&format!("?{query}")).await.body;
        let ids = page["sagas"].as_array().unwrap().iter().map(|it| it["sagaId"].as_str().unwrap());
        (ids.map(|id| &id["transfer-".len()..]).collect(), page["next"].clone())
    };
    assert_eq!(of("").await, ("abcd".to_owned(), Value::Null));
    assert_eq!(of("saga=&version=&limit=&stuck=&step=").await.0, "abcd", "an empty field of a form is none");
    assert_eq!(of("saga=transfer&version=1&status=started&stuck=false").await.0, "abc");
    assert_eq!(of("status=needs_attention").await.0, "d");
    assert_eq!(of("stuck=true").await.0, "d");
    assert_eq!(of("step=hand").await.0, "d");
    assert_eq!(of("version=2").await.0, "");
    assert_eq!(of("saga=other").await.0, "");
    assert_eq!(of("olderThanSecs=3600").await.0, "");
    let (first, next) = of("limit=3").await;
    assert_eq!((first.as_str(), next.as_str()), ("abc", Some("transfer-c")));
    assert_eq!(of("limit=3&after=transfer-c").await, ("d".to_owned(), Value::Null));
    for (bad, says) in [
        ("limit=0", "from 1 to 1000"),
        ("limit=1001", "from 1 to 1000"),
        ("version=-1", "version is a whole number"),
        ("olderThanSecs=1h", "olderThanSecs is a whole number of seconds"),
        ("stuck=yes", "stuck is `true` or `false`"),
        ("status=completed", "`completed` is no state of an open process"),
        ("stats=started", "stats"),
        (&format!("step={}", "k".repeat(3_000)), "2048"),
    ] {
        shop.get(&format!("?{bad}")).await.refuses(400, "bad_query", says);
    }
    shop.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_shown_as_the_table_of_its_steps() {
    let shop = Routes::open(&[1]).await;
    refused(&shop.app, "a").await;
    let shown = shop.get("/transfer-a").await;
    let told = &shown.body;
    assert_eq!((shown.status, &told["sagaId"], &told["type"]), (200, &json!("transfer-a"), &json!("transfer")));
    assert_eq!(
        (&told["status"], &told["version"], &told["stuck"]),
        (&json!("needs_attention"), &json!(1), &told["attention"])
    );
    assert_eq!(told["stuck"], "step `hand` was refused: the box\nis \u{1b}[31mbroken");
    assert_eq!(told["facts"], json!({ "order": "a" }));
    let steps = told["steps"].as_array().unwrap();
    assert_eq!((&steps[0]["name"], &steps[0]["status"]), (&json!("reserve"), &json!("completed")));
    assert!(steps[0]["startedAt"].is_string() && steps[0]["completedAt"].is_string(), "{told}");
    assert_eq!((&steps[2]["name"], &steps[2]["error"]), (&json!("hand"), &json!("the box\nis \u{1b}[31mbroken")));
    shop.get("/transfer-x").await.refuses(404, "no_such_saga", "transfer-x");
    shop.get("/x").await.refuses(404, "no_such_saga", "there is no instance x of a saga");
    shop.get("/%FF").await.refuses(400, "bad_id", "does not fit");
    shop.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acts_are_tried_and_done_whatever_stands_in_the_name() {
    let shop = Routes::open(&[1]).await;
    let order = "o'b c/7 ü?#%2F&+..";
    refused(&shop.app, order).await;
    let path = format!("/{}", encoded(format!("transfer-{order}")));
    assert_eq!(shop.get(&path).await.body["sagaId"], json!(format!("transfer-{order}")));
    let by = json!({ "by": "mara", "why": "the box is new" });
    let stands = shop.app.position();
    for act in ["retry", "resolve", "undo"] {
        let tried = shop.act(order, &format!("{act}?dryRun=true"), &by).await;
        assert_eq!((tried.status, &tried.body["outcome"]), (200, &json!("tried")), "{act}: {}", tried.body);
        match act {
            "undo" => {
                assert!(tried.body["failure"].as_str().unwrap().contains("there is no way back"), "{}", tried.body)
            }
            _ => assert_eq!(tried.body["failure"], Value::Null, "{act}"),
        }
    }
    let tried = shop.act(order, "move?dryRun=true", &json!({ "by": "mara", "version": 2 })).await;
    assert_eq!(tried.body["failure"], "this program has no version 2 of transfer: it has 1");
    assert_eq!(shop.app.position(), stands, "nothing is stored");
    let done = shop.act(order, "retry?dryRun=false", &json!({ "by": "mara", "step": "hand" })).await;
    assert_eq!((done.status, &done.body["outcome"]), (200, &json!("done")), "{}", done.body);
    assert!(done.body["followed"].as_array().unwrap().iter().any(|it| it["type"] == "depot.hand"), "{}", done.body);
    say(&shop.app, order, "refused").await;
    shop.act(order, "undo", &by).await.refuses(409, "not_now", "there is no way back");
    assert_eq!(shop.act(order, "resolve", &by).await.status, 200);
    let ended = shop.get(&path).await.body;
    let acts: Vec<_> = ended["acts"].as_array().unwrap().iter().map(|act| act["act"].as_str().unwrap()).collect();
    assert_eq!((&ended["status"], acts), (&json!("completed"), vec!["step_retried", "step_resolved"]));
    shop.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_and_nothing_is_stored() {
    let shop = Routes::open(&[1]).await;
    place(&shop.app, "open").await;
    refused(&shop.app, "ended").await;
    let by = json!({ "by": "mara", "why": "because" });
    assert_eq!(shop.act("ended", "resolve", &by).await.status, 200);
    let stands = shop.app.position();
    for (order, act, body, status, code, says) in [
        ("ended", "retry", by.clone(), 409, "not_now", "it has ended"),
        ("ended", "move", json!({ "by": "mara", "version": 2 }), 409, "not_now", "it has ended"),
        ("open", "retry", json!({ "by": "mara", "step": "hand" }), 409, "not_now", "step `hand` does not wait"),
        ("open", "move", json!({ "by": "mara", "version": 1 }), 409, "not_now", "by version 1 already"),
        ("open", "move", json!({ "by": "mara", "version": 9 }), 409, "not_now", "it has 1"),
        ("nobody", "undo", by.clone(), 404, "no_such_saga", "transfer-nobody"),
        ("nobody", "undo?dryRun=true", by.clone(), 404, "no_such_saga", "transfer-nobody"),
        ("open", "resolve", json!({ "by": "mara" }), 400, "bad_why", "say why"),
        ("open", "undo", json!({ "by": "mara", "why": " " }), 400, "bad_why", "say why"),
        ("open", "undo", json!({ "by": "mara", "why": "x".repeat(1_025) }), 400, "bad_why", "1024"),
        ("open", "undo", json!({ "by": "" }), 400, "bad_by", "empty"),
        ("open", "undo", json!({ "by": "mara", "step": "reserve" }), 400, "unknown_field", "step"),
        ("open", "move", json!({ "by": "mara" }), 422, "bad_field", "version"),
        ("open", "move", json!({ "by": "mara", "version": -1 }), 422, "bad_field", "version"),
        ("open", "retry?dryrun=true", by.clone(), 400, "bad_query", "dryrun"),
        ("open", "retry?dryRun=maybe", by.clone(), 400, "bad_query", "dryRun is `true` or `false`"),
    ] {
        let answer = shop.act(order, act, &body).await;
        answer.refuses(status, code, says);
    }
    let other = "/factum/v1/sagas/nothing-a/undo";
    shop.ask("POST", other, by.to_string()).await.refuses(404, "no_such_saga", "nothing-a");
    shop.ask("GET", other, Body::empty()).await.refuses(405, "no_such_method", "GET");
    assert_eq!(shop.app.position(), stands);
    shop.app.stop().await;
    shop.act("open", "retry", &by).await.refuses(503, "stopped", "stopped");
}

/// What is still to come is counted from where the engine stands, also while steps have limits.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_process_at_rest_leaves_nothing_unread() {
    let app = start(&Memory::new(), &[1]).await;
    place(&app, "a").await;
    let reader = app.reader();
    app.stop().await;
    let under_way = factum::Archive::of(reader).under_way().unwrap();
    assert_eq!((under_way.unread, under_way.timers.len()), (0, 1));
    assert!(under_way.is_quiet());
}
