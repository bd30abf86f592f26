//! Imports that were cut off: the shop opens, and the rest stays importable.

use std::{fs, path::Path, sync::Mutex};

use factum::App;
use serde_json::Value;
use shop::{
    check::check,
    import::{
        File, journal,
        loader::{self, Settings},
        read, settle,
    },
    report::report,
    serve::{Serve, serve_until},
    services::{archive, services},
};
use tokio::sync::oneshot;

use crate::{
    imports::{committed, shop, text},
    rows::{HEADER, row_on},
    shop::DAY,
};

const SETTINGS: Settings = Settings { declines: 0.1, shuffle: None, process: None, mail: false };

async fn app(data: &Path) -> App {
    app_with(data, &SETTINGS).await
}

async fn app_with(data: &Path, settings: &Settings) -> App {
    let app = App::open(data).unwrap().on_data_time().with(journal::service());
    services(&loader::options(settings)).into_iter().fold(app, factum::AppBuilder::with).start().await.unwrap()
}

/// Imports a file and stops in the middle of it, as a kill would.
async fn cut_off(data: &Path, file: &File, after: u64) {
    cut_off_with(data, file, after, &SETTINGS).await;
}

/// The same with other settings.
pub async fn cut_off_with(data: &Path, file: &File, after: u64, settings: &Settings) {
    let app = app_with(data, settings).await;
    let (stop, stopped) = oneshot::channel();
    let stop = Mutex::new(Some(stop));
    let tell = |through: u64, _: u64| {
        if through >= after
            && let Some(stop) = stop.lock().unwrap().take()
        {
            stop.send(()).unwrap();
        }
    };
    tokio::select! {
        biased;
        _ = stopped => {}
        _ = loader::run(&app, file, settings, &tell) => panic!("it was not cut off"),
    }
    app.stop().await;
}

/// The shop, served orchestrated.
pub fn opened(data: &Path) -> Serve {
    let (data, listen) = (data.into(), "127.0.0.1:0".parse().unwrap());
    Serve {
        data,
        listen,
        day: DAY,
        provider: None,
        provider_lists: false,
        carrier: None,
        hold_unknown: false,
        points: Default::default(),
        carrier_secret: None,
        process: shop::contracts::process::Process::Orchestrated,
        patience: shop::contracts::process::PATIENCE,
        answer_within: shop::contracts::process::ANSWER_WITHIN,
        channels: Default::default(),
        abandon_carts: std::time::Duration::from_secs(86_400),
        moved: false,
        part: None,
    }
}

/// The report; all has come to its end, and the check finds nothing.
pub fn told(data: &Path) -> Value {
    let archive = archive(data).unwrap();
    let findings = check(&archive).unwrap();
    assert!(findings.is_well(), "{:#?}", findings.problems);
    assert_eq!((findings.orders_under_way, findings.sagas_under_way), (0, 0));
    serde_json::to_value(report(&archive).unwrap()).unwrap()
}

/// The first invoices of the sample, enough for returns that wait.
fn sample() -> File {
    let mut file = read(&committed()).unwrap();
    file.invoices.truncate(450);
    file.numbers = 450;
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_opens_on_an_unfinished_import_and_the_rest_stays_importable() {
    let dir = tempfile::tempdir().unwrap();
    let (calm, cut) = (dir.path().join("calm"), dir.path().join("cut"));
    let file = sample();
    let whole = app(&calm).await;
    loader::run(&whole, &file, &SETTINGS, &|_, _| {}).await.unwrap();
    whole.stop().await;
    drop(whole);

    cut_off(&cut, &file, 200).await;
    assert_eq!(settle::unfinished(&archive(&cut).unwrap()).unwrap().len(), 1);
    serve_until(opened(&cut), async {}).await.unwrap();
    assert!(settle::unfinished(&archive(&cut).unwrap()).unwrap().is_empty());
    let some = told(&cut);
    let placed = some["orders"]["placed"].as_u64().unwrap();
    assert!((1..400).contains(&placed), "{placed}");
    // What was under way lived on the file's time, not in the present.
    let archive = archive(&cut).unwrap();
    archive
        .each::<factum::error::StoreError>(
            Some(&|name: &str| name != "partners.chosen" && !name.starts_with("schedule.")),
            |stored| {
                let at = stored.envelope().timestamp.to_string();
                assert!(at.as_str() < "2011-06", "{at}");
                Ok(())
            },
        )
        .unwrap();
    drop(archive);

    let rest = app(&cut).await;
    let refused = loader::run(&rest, &file, &SETTINGS, &|_, _| {}).await.unwrap_err();
    assert!(format!("{refused:#}").contains("add --resume"), "{refused:#}");
    loader::go_on(&rest, &file, &SETTINGS, &|_, _| {}).await.unwrap();
    let over = loader::go_on(&rest, &file, &SETTINGS, &|_, _| {}).await.unwrap_err();
    assert!(over.to_string().contains("leave --resume out"), "{over}");
    rest.stop().await;
    drop(rest);
    assert_eq!(told(&cut), told(&calm));
    serve_until(opened(&cut), async {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn returns_that_waited_when_an_import_was_cut_off_are_handed_in() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let path = dir.path().join("rows.csv");
    let rows = [row_on(1, "1", "A", 5, "2"), row_on(2, "C2", "A", -2, "2"), row_on(9, "3", "A", 1, "2")];
    fs::write(&path, format!("{HEADER}\n{}\n", rows.join("\n"))).unwrap();
    cut_off(&data, &read(&path).unwrap(), 2).await;
    assert_eq!(serde_json::to_value(report(&archive(&data).unwrap()).unwrap()).unwrap()["payments"]["refunded"], 0);
    serve_until(opened(&data), async {}).await.unwrap();
    let told = told(&data);
    assert_eq!((&told["orders"]["placed"], &told["payments"]["refunded"]), (&1.into(), &400.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_import_is_abandoned_also_without_its_file_and_a_longer_one_takes_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let path = dir.path().join("rows.csv");
    let mut rows = vec![row_on(1, "1", "A", 5, "2"), row_on(2, "2", "A", 2, "2"), row_on(9, "3", "A", 1, "2")];
    fs::write(&path, format!("{HEADER}\n{}\n", rows.join("\n"))).unwrap();
    cut_off(&data, &read(&path).unwrap(), 2).await;
    fs::remove_file(&path).unwrap();
    let (file, flag) = (path.to_str().unwrap(), "--abandon");
    let (done, out, errors) = text(&mut shop(&["import", file, flag], &data));
    assert!(done && out.contains("its first 2 invoices stay"), "{out}{errors}");
    assert_eq!(told(&data)["orders"]["placed"], 2);
    let (done, _, errors) = text(&mut shop(&["import", file, flag], &data));
    assert!(!done && errors.contains("there is nothing to abandon"), "{errors}");

    rows.push(row_on(10, "4", "A", 1, "2"));
    fs::write(&path, format!("{HEADER}\n{}\n", rows.join("\n"))).unwrap();
    let (done, _, errors) = text(&mut shop(&["import", file, "--resume"], &data));
    assert!(!done && errors.contains("leave --resume out"), "{errors}");
    let (done, out, errors) = text(&mut shop(&["import", file], &data));
    assert!(done && out.contains("2 invoices in"), "{out}{errors}");
    assert_eq!(told(&data)["orders"]["placed"], 4);
}

/// A kill may come when the log's directory is there, and no log in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_was_cut_off_before_it_had_made_a_log_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let (served, imported, path) =
        (dir.path().join("served"), dir.path().join("imported"), dir.path().join("rows.csv"));
    fs::write(&path, format!("{HEADER}\n{}\n", row_on(1, "1", "A", 5, "2"))).unwrap();
    for data in [&served, &imported] {
        fs::create_dir_all(data.join("log")).unwrap();
    }
    let (done, _, errors) = text(&mut shop(&["import", path.to_str().unwrap()], &imported));
    assert!(done, "{errors}");
    serve_until(opened(&served), async {}).await.unwrap();
    assert_eq!(told(&imported)["orders"]["placed"], 1);
}

#[test]
fn what_a_file_says_reaches_the_terminal_as_text() {
    let dir = tempfile::tempdir().unwrap();
    let (data, path) = (dir.path().join("data"), dir.path().join("rows.csv"));
    let forged = row_on(1, "1", "A", 5, "2").replace("EIRE", "EIRE\u{1b}[2K\u{9b}1mall is well\u{202e}");
    let odd = row_on(2, "\u{1b}]0;x\u{7}", "A", 5, "2");
    fs::write(&path, format!("{HEADER}\n{forged}\n{odd}\n")).unwrap();
    let (done, out, errors) = text(&mut shop(&["import", path.to_str().unwrap()], &data));
    assert!(done && out.contains("\\u{1b}]0;x"), "{out}{errors}");
    let (_, report, _) = text(&mut shop(&["report"], &data));
    let (_, at, _) = text(&mut shop(&["at", "1", "2011-01-01"], &data));
    assert!(report.contains("EIRE\\u{1b}[2K") && at.contains("EIRE\\u{1b}[2K"), "{report}{at}");
    let (_, _, unknown) = text(&mut shop(&["history", "1\u{1b}[2K"], &data));
    for shown in [&out, &errors, &report, &at, &unknown] {
        let commands = shown.chars().any(|char| char != '\n' && (char.is_control() || char == '\u{202e}'));
        assert!(!commands, "{shown:?}");
    }
}
