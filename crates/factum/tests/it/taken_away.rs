//! The data directory is taken away under a running app.

use std::{fs, path::Path, time::Duration};

use factum::{App, ReadError, Status, error::RowError, http::Problem};

use super::{Basket, Fill};
use factum::prelude::*;

async fn start(dir: &Path) -> App {
    App::open(dir).unwrap().with(Service::new("basket").decider::<Basket>()).start().await.unwrap()
}

fn fill(basket: &str) -> Fill {
    Fill { basket: basket.to_owned(), article: "tea".to_owned(), pieces: 1 }
}

async fn until(app: &App, status: Status) {
    let comes = async {
        while app.health().status != status {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), comes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_directory_is_moved_away_says_so_and_goes_on_when_it_is_back() {
    let place = tempfile::tempdir().unwrap();
    let (dir, aside) = (place.path().join("data"), place.path().join("aside"));
    let app = start(&dir).await;
    app.execute(fill("a")).await.unwrap();
    assert_eq!(app.health().status, Status::Ok);
    fs::rename(&dir, &aside).unwrap();
    until(&app, Status::NotReady).await;
    let reasons = app.health().reasons;
    assert!(reasons[0].contains("was removed, moved or replaced") && reasons[0].contains("put it back"), "{reasons:?}");
    // Another one in its place is not it.
    fs::create_dir_all(dir.join("log")).unwrap();
    fs::write(dir.join("log").join("lock"), "").unwrap();
    let refused = app.execute(fill("b")).await.unwrap_err().to_string();
    assert!(refused.contains("was removed, moved or replaced"), "{refused}");
    fs::remove_dir_all(&dir).unwrap();
    fs::rename(&aside, &dir).unwrap();
    until(&app, Status::Ok).await;
    app.execute(fill("b")).await.unwrap();
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_directory_is_removed_acknowledges_nothing_more() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("data");
    let app = start(&dir).await;
    app.execute(fill("a")).await.unwrap();
    fs::remove_dir_all(&dir).unwrap();
    until(&app, Status::NotReady).await;
    let refused = app.execute(fill("b")).await.unwrap_err().to_string();
    assert!(refused.contains("was removed, moved or replaced"), "{refused}");
    app.stop().await;
}

#[test]
fn rows_that_cannot_be_read_now_are_no_fault_of_the_program() {
    let failed = ReadError::Rows(RowError::Store("unable to open database file".to_owned()));
    let problem = Problem::from(failed);
    assert_eq!((problem.status().as_u16(), problem.code()), (503, "rows"));
    let of_another_shape = ReadError::Shape { table: "baskets", cause: "no pieces".to_owned() };
    assert_eq!(Problem::from(of_another_shape).status().as_u16(), 500);
}
