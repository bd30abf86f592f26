//! An app whose data move to another place while it runs: commands come in, it goes over, and goes on there.

use std::sync::Arc;

use axum::{body::Body, http::Request};
use factum::{ExecuteError, Location, MovePhase, Stores, prelude::*};
#[cfg(feature = "postgres")]
use factum::{OpenError, error::StoreError};
use serde_json::{Value, json};
use tower::ServiceExt;

#[cfg(feature = "postgres")]
use crate::moving::server;
use crate::moving::{World, filled, goes_on, in_dir, keep, moved, refused, start, stop, texts};

/// A program as the documentation has it: it goes over when it is told to, and ends when all has moved so often.
async fn served(mut stores: Stores, world: &Arc<World>, moves: &[Location]) -> App {
    let mut app = start(stores.clone(), world).await;
    for (number, to) in moves.iter().enumerate() {
        app.move_to(to).unwrap();
        let busy = {
            let app = app.clone();
            // They come while it moves, and some while it goes over.
            tokio::spawn(async move {
                let mut kept = 0;
                for text in 0.. {
                    match app.execute(keep(&format!("busy-{number}"), &text.to_string())).await {
                        Ok(_) => kept += 1,
                        Err(ExecuteError::Stopped(_)) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                kept
            })
        };
        let switch = app.due_to_move().await;
        stores = switch.carry_out().await;
        let kept = busy.await.unwrap();
        app = start(stores.clone(), world).await;
        let shown = app.move_progress();
        assert_eq!((shown.phase, shown.error.as_deref(), shown.to.as_ref()), (MovePhase::Moved, None, Some(to)));
        assert_eq!(texts(&app, &format!("busy-{number}")).await.len(), kept, "what was answered is there, and once");
        println!("{to}: {} messages, pause {} ms", shown.of, shown.longest_pause_ms);
    }
    app
}

async fn a_running_app_goes_over_to(other: Location) {
    let (dir, world) = (tempfile::tempdir().unwrap(), Arc::new(World::default()));
    let home = in_dir(dir.path(), "home");
    filled(&home, &world).await;
    let app = served(Stores::at(&home), &world, &[other.clone(), home.clone(), other.clone()]).await;
    assert_eq!(texts(&app, "n").await, ["plain"]);
    stop(app).await;
    assert!(refused(&home).contains("has moved to"));
    goes_on(&other, &world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_app_goes_over_to_another_directory_and_back_while_commands_come() {
    let dir = tempfile::tempdir().unwrap();
    a_running_app_goes_over_to(in_dir(dir.path(), "other")).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_running_app_goes_over_to_a_database_and_back_while_commands_come() {
    let Some(server) = server() else { return };
    a_running_app_goes_over_to(format!("{}?schema=shop", server.url()).into()).await;
}

async fn ask(app: &App, method: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder().method(method).uri("/factum/v1/move").header("host", "127.0.0.1:8080");
    let response = app.router().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_is_asked_for_watched_and_given_up_over_http() {
    let (dir, world) = (tempfile::tempdir().unwrap(), Arc::new(World::default()));
    let [home, other] = ["home", "other"].map(|name| in_dir(dir.path(), name));
    filled(&home, &world).await;
    let app = start(&home, &world).await;
    assert_eq!(ask(&app, "GET", &Value::Null).await.1["phase"], "none");
    let (status, none) = ask(&app, "DELETE", &Value::Null).await;
    assert_eq!((status, &none["code"]), (409, &"cannot_move_now".into()), "{none}");
    for (body, status) in [
        (json!({ "to": home.to_string() }), 422),
        (json!({ "to": "mysql://root:sesame@db/shop" }), 422),
        (json!({ "to": { "password": "sesame" } }), 422),
        (json!({ "to": "./x", "password": "sesame" }), 400),
        (json!({}), 422),
    ] {
        let (said, problem) = ask(&app, "POST", &body).await;
        assert_eq!(said, status, "{problem}");
        assert!(!problem.to_string().contains("sesame"), "{problem}");
    }
    let (status, begun) = ask(&app, "POST", &json!({ "to": other.to_string() })).await;
    assert_eq!((status, &begun["to"]), (202, &other.to_string().into()), "{begun}");
    let switch = app.due_to_move().await;
    let (status, again) = ask(&app, "POST", &json!({ "to": "./elsewhere" })).await;
    assert_eq!((status, &again["code"]), (409, &"cannot_move_now".into()), "{again}");
    let shown = ask(&app, "GET", &Value::Null).await.1;
    assert_eq!((&shown["phase"], &shown["verified"], &shown["behind"]), (&"due".into(), &shown["of"], &0.into()));
    assert!(refused(&other).contains("is open in another process") || refused(&other).contains("is not whole"));
    let (status, given) = ask(&app, "DELETE", &Value::Null).await;
    assert_eq!((status, &given["phase"]), (200, &"given_up".into()), "{given}");
    assert!(!dir.path().join("other/log").exists());
    // What was given up at the last moment is not gone over to, and may be asked for again.
    let stores = switch.carry_out().await;
    assert_eq!(stores.place(), &home);
    drop(app);
    let app = start(stores, &world).await;
    assert_eq!(ask(&app, "GET", &Value::Null).await.1["phase"], "given_up");
    app.execute(keep("n", "more")).await.unwrap();
    assert_eq!(ask(&app, "POST", &json!({ "to": other.to_string() })).await.0, 202);
    let stores = app.due_to_move().await.carry_out().await;
    assert_eq!(stores.place(), &other);
    drop(app);
    let app = start(stores, &world).await;
    assert_eq!(ask(&app, "GET", &Value::Null).await.1["phase"], "moved");
    assert_eq!(texts(&app, "n").await, ["plain", "more"]);
    stop(app).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_fails_leaves_the_app_where_it_is_and_shows_no_password() {
    let (dir, world) = (tempfile::tempdir().unwrap(), Arc::new(World::default()));
    let home = in_dir(dir.path(), "home");
    filled(&home, &world).await;
    let app = start(&home, &world).await;
    app.move_to("postgres://shop:sesame@127.0.0.1:1/shop").unwrap();
    let shown = loop {
        let shown = app.move_progress();
        if shown.phase != MovePhase::Copying {
            break shown;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(shown.phase, MovePhase::Failed);
    let told = serde_json::to_string(&shown).unwrap();
    assert!(told.contains("cannot be reached") && !told.contains("sesame"), "{told}");
    app.execute(keep("n", "more")).await.unwrap();
    // When the place is right it goes on.
    let other = in_dir(dir.path(), "other");
    app.move_to(&other).unwrap();
    let stores = app.due_to_move().await.carry_out().await;
    assert_eq!(stores.place(), &other);
}

/// Others that write beside a unit are locked out by the seal, too.
#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_has_moved_is_led_by_nobody_who_waits() {
    let Some(server) = server() else { return };
    let (dir, world) = (tempfile::tempdir().unwrap(), Arc::new(World::default()));
    let (unit, home) = (Location::from(format!("{}?schema=shop", server.url())), in_dir(dir.path(), "home"));
    filled(&unit, &world).await;
    let app = start(&unit, &world).await;
    let standby = factum::Standby::over(&unit);
    let waits = tokio::spawn(async move { standby.lead().await.map(drop) });
    app.move_to(&home).unwrap();
    let stores = app.due_to_move().await.carry_out().await;
    let told = waits.await.unwrap().unwrap_err();
    assert!(matches!(&told, OpenError::Log(StoreError::Permanent(why)) if why.contains("has moved to")), "{told}");
    drop(app);
    let app = start(stores, &world).await;
    assert_eq!(texts(&app, "n").await, ["plain"]);
    stop(app).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_at_the_last_moment_leaves_the_app_where_it_was() {
    let Some(mut server) = server() else { return };
    let (dir, world) = (tempfile::tempdir().unwrap(), Arc::new(World::default()));
    let (unit, home) = (Location::from(format!("{}?schema=shop", server.url())), in_dir(dir.path(), "home"));
    filled(&home, &world).await;
    let app = start(&home, &world).await;
    app.move_to(&unit).unwrap();
    let switch = app.due_to_move().await;
    app.execute(keep("n", "at the last moment")).await.unwrap();
    server.kill();
    let stores = switch.carry_out().await;
    assert_eq!(stores.place(), &home);
    drop(app);
    let app = start(stores, &world).await;
    let shown = app.move_progress();
    assert_eq!(shown.phase, MovePhase::Failed, "{shown:?}");
    app.execute(keep("n", "behind it")).await.unwrap();
    server.go_on().unwrap();
    app.move_to(&unit).unwrap();
    let stores = app.due_to_move().await.carry_out().await;
    drop(app);
    let app = start(stores, &world).await;
    assert_eq!(texts(&app, "n").await, ["plain", "at the last moment", "behind it"]);
    stop(app).await;
    goes_on(&unit, &world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_of_an_app_that_stops_is_brought_to_its_end_by_the_command() {
    let (dir, world) = (tempfile::tempdir().unwrap(), Arc::new(World::default()));
    let [home, other] = ["home", "other"].map(|name| in_dir(dir.path(), name));
    filled(&home, &world).await;
    let app = start(&home, &world).await;
    app.move_to(&other).unwrap();
    let _ = app.due_to_move().await;
    app.execute(keep("n", "more")).await.unwrap();
    stop(app).await;
    assert!(refused(&other).contains("is not whole"));
    moved(&home, &other).unwrap().unwrap();
    let app = start(&other, &world).await;
    assert_eq!(texts(&app, "n").await, ["plain", "more"]);
    stop(app).await;
    goes_on(&other, &world).await;
}
