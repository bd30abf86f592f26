//! The way in which orders are run: an import goes on in the way in which it was begun, and what is under way keeps its own.

use std::{fs, path::Path};

use factum::{error::StoreError, prelude::*, stream::Position};
use shop::{
    contracts::process::Process,
    import::{File, loader::Settings, read, settle},
    partners::refuse_another_process,
    serve::{Serve, serve_until},
    services::{Options, archive, equipped},
};

use crate::{
    imports::{paid_order, shop, text},
    rows::{HEADER, row_on},
    unfinished::{cut_off_with, opened, told},
};

const CHOREOGRAPHED: Settings =
    Settings { declines: 0.1, shuffle: None, process: Some(Process::Choreographed), mail: false };

/// Orders of four days, on the way for some days each; the first day's is given back later.
fn rows() -> Vec<String> {
    let sales = (1..=20).map(|number| row_on(1 + number / 6, &number.to_string(), "A", 5, "2"));
    let later = [row_on(5, "C21", "A", -2, "2"), row_on(9, "22", "A", 1, "2"), row_on(10, "23", "A", 1, "2")];
    sales.chain(later).collect()
}

fn write(path: &Path, rows: &[String]) -> File {
    fs::write(path, format!("{HEADER}\n{}\n", rows.join("\n"))).unwrap();
    read(path).unwrap()
}

/// How many events of this type a directory holds.
fn count(data: &Path, name: &str) -> usize {
    let mut count = 0;
    let wanted = |of: &str| of == name;
    let each = |_: &_| -> Result<(), StoreError> {
        count += 1;
        Ok(())
    };
    archive(data).unwrap().each(Some(&wanted), each).unwrap();
    count
}

fn head(data: &Path) -> Position {
    archive(data).unwrap().head()
}

/// Imports a file with a tenth of the payments declined, and these flags.
fn import(file: &Path, data: &Path, more: &[&str]) -> (bool, String, String) {
    text(&mut shop(&[&["import", file.to_str().unwrap(), "--declines", "0.1"][..], more].concat(), data))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_in_the_way_in_which_it_was_begun() {
    let dir = tempfile::tempdir().unwrap();
    let (calm, cut, path) = (dir.path().join("calm"), dir.path().join("cut"), dir.path().join("rows.csv"));
    let file = write(&path, &rows());
    assert!(import(&path, &calm, &[]).0);
    cut_off_with(&cut, &file, 10, &CHOREOGRAPHED).await;
    // Before anything runs there: the shop would carry on at once with what is under way.
    let before = head(&cut);
    for more in [&["--process", "orchestrated"][..], &["--process", "orchestrated", "--resume"]] {
        let (done, _, error) = import(&path, &cut, more);
        let says = "was started with --process choreographed, not orchestrated: leave the flag out";
        assert!(!done && error.contains(says), "{error}");
    }
    let (done, _, error) = text(&mut shop(&["import", path.to_str().unwrap()], &cut));
    assert!(!done && error.contains("was started with --declines 0.1, not 0"), "{error}");
    assert_eq!(head(&cut), before);
    let (done, _, error) = import(&path, &cut, &["--resume"]);
    assert!(done, "{error}");
    assert_eq!(told(&cut), told(&calm));
    assert_eq!(count(&cut, "fulfilment.started"), 0);
    // Finished it is what it was.
    let (done, _, error) = import(&path, &calm, &["--process", "choreographed"]);
    assert!(!done && error.contains("was started with --process orchestrated"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_brings_a_choreographed_import_to_rest_and_the_rest_of_it_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let (calm, cut, path) = (dir.path().join("calm"), dir.path().join("cut"), dir.path().join("rows.csv"));
    let file = write(&path, &rows());
    assert!(import(&path, &calm, &[]).0);
    cut_off_with(&cut, &file, 10, &CHOREOGRAPHED).await;
    // Should they not come to rest, whoever is to carry them on must be there.
    let left = Some(Process::Choreographed);
    let refused = refuse_another_process(&(&cut).into(), Process::Orchestrated, left).unwrap_err().to_string();
    assert!(refused.contains("is run choreographed, and ") && refused.contains("under way"), "{refused}");
    refuse_another_process(&(&cut).into(), Process::Choreographed, left).unwrap();
    serve_until(opened(&cut), async {}).await.unwrap();
    assert!(settle::unfinished(&archive(&cut).unwrap()).unwrap().is_empty());
    assert!((1..20).contains(&told(&cut)["orders"]["placed"].as_u64().unwrap()));
    let (done, _, error) = import(&path, &cut, &["--resume"]);
    assert!(done, "{error}");
    assert_eq!((told(&cut), count(&cut, "fulfilment.started")), (told(&calm), 0));
    serve_until(opened(&cut), async {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_file_does_not_run_what_one_has_under_way_in_another_way() {
    let dir = tempfile::tempdir().unwrap();
    let (data, path, other) = (dir.path().join("data"), dir.path().join("rows.csv"), dir.path().join("other.csv"));
    let file = write(&path, &rows());
    write(&other, &[row_on(11, "99", "K", 1, "3")]);
    cut_off_with(&data, &file, 10, &CHOREOGRAPHED).await;
    let before = head(&data);
    for more in [&[][..], &["--process", "choreographed", "--declines", "0.2"]] {
        let (done, _, error) = text(&mut shop(&[&["import", other.to_str().unwrap()][..], more].concat(), &data));
        for says in
            ["the import of rows.csv is not finished", "--process choreographed --declines 0.1", "Nothing of other.csv"]
        {
            assert!(!done && error.contains(says), "{error}");
        }
    }
    assert_eq!(head(&data), before);
    let (done, _, error) = import(&other, &data, &["--process", "choreographed"]);
    assert!(done, "{error}");
    assert!(import(&path, &data, &["--abandon"]).0);
    assert_eq!(count(&data, "fulfilment.started"), 0);
    // Nothing is under way any more.
    write(&other, &[row_on(12, "100", "K", 1, "3")]);
    let (done, _, error) = import(&other, &data, &["--process", "orchestrated"]);
    assert!(done, "{error}");
    assert_eq!(count(&data, "fulfilment.started"), 1);
    told(&data);
}

/// Other addresses of the same partners are another matter.
#[tokio::test(flavor = "multi_thread")]
async fn moved_partners_do_not_open_another_way() {
    let dir = tempfile::tempdir().unwrap();
    serve_until(opened(dir.path()), async {}).await.unwrap();
    let app = equipped(App::open(dir.path()).unwrap(), &Options::default()).start().await.unwrap();
    paid_order(&app, "o-1").await;
    app.stop().await;
    drop(app);
    let other = Serve { process: Process::Choreographed, moved: true, ..opened(dir.path()) };
    let refused = serve_until(other, async {}).await.unwrap_err().to_string();
    assert!(refused.contains("is run orchestrated, and 1 order under way"), "{refused}");
    // A file neither: what came over HTTP is to be over first.
    let path = dir.path().join("rows.csv");
    write(&path, &rows());
    let (done, _, error) = import(&path, dir.path(), &["--process", "choreographed"]);
    assert!(!done && error.contains("not all that came over HTTP is over (1 order)"), "{error}");
}
