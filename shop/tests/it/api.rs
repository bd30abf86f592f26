//! The page of the routes: each stands there, with every parameter and every field that it knows.

use std::{fs, path::Path};

use axum::http::Method;
use serde_json::json;

use crate::{
    bodies::sources,
    shop::{Headers, Shop},
    strict::{filled, is_the_shops},
};

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/shop-api.md")).unwrap()
}

/// The row of a route: its parameters, its body, its answers.
fn row(page: &str, method: &str, path: &str) -> Vec<String> {
    let route = format!("`{method} {path}`");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with('|') && line.contains(&route)).collect();
    assert_eq!(rows.len(), 1, "{route} stands in {} rows of docs/shop-api.md", rows.len());
    rows[0].split('|').map(str::to_owned).collect()
}

/// The names that a refusal says there are.
fn known(detail: &str) -> Vec<&str> {
    let (_, known) = detail.rsplit_once("there are: ").unwrap();
    known.split(", ").filter(|name| *name != "none").collect()
}

#[tokio::test]
async fn every_route_stands_in_the_docs_with_all_that_it_takes() {
    let (shop, page) = (Shop::open().await, page());
    let platform = |path: &str| path.starts_with("/factum/");
    for (method, path) in sources::routes().into_iter().filter(|(_, path)| !platform(path)) {
        let cells = row(&page, &method, &path);
        if !is_the_shops(&path) {
            continue;
        }
        let ask = async |query: &str, body: String| {
            let to = format!("{}{query}", filled(&path));
            let answer = shop.send(method.parse::<Method>().unwrap(), &to, Headers::default(), body).await;
            answer.body["detail"].as_str().unwrap().to_owned()
        };
        let parameters = ask("?nobody=1", String::new()).await;
        for name in known(&parameters) {
            assert!(cells[2].contains(name), "{method} {path}: the parameter {name} is not told");
        }
        if ["PUT", "POST"].contains(&method.as_str()) {
            let fields = ask("", json!({ "nobody": 1 }).to_string()).await;
            for name in known(&fields) {
                assert!(cells[3].contains(name), "{method} {path}: the field {name} is not told");
            }
        }
    }
}

#[test]
fn no_route_stands_in_the_docs_that_there_is_not() {
    let (page, routes) = (page(), sources::routes());
    let rows = page.lines().filter(|line| line.starts_with("| `")).flat_map(|line| line.split('|').nth(1));
    let told = rows
        .flat_map(|cell| cell.split('`'))
        .filter_map(|text| text.split_once(' '))
        .filter(|(method, path)| ["GET", "PUT", "POST", "DELETE"].contains(method) && path.starts_with('/'));
    for (method, path) in told {
        let is_it = |(of, to): &(String, String)| of == method && to == path;
        assert!(routes.iter().any(is_it), "there is no route {method} {path}");
    }
}
