//! The routes as the sources say, so that none of them is forgotten.

use std::{fs, path::Path};

/// A route: a method in capitals, and a path with its parameters in braces.
pub type Route = (String, String);

/// Where routes may stand: the shop, and what the platform mounts beside it.
const FOLDERS: [&str; 3] = ["src", "../crates/factum-server/src", "../crates/factum/src/moving"];
/// What makes routes that are not found here.
const OTHERWISE: [&str; 7] =
    [".nest(", ".route_service(", ".nest_service(", "routing::any", "routing::on", "MethodRouter", ".on("];
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// All routes, in order.
pub fn routes() -> Vec<Route> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    }
    found.sort();
    found
}

fn visit(folder: &Path, found: &mut Vec<Route>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("chaos") {
            // The partners of a chaos, which are no part of the shop.
        } else if path.is_dir() {
            visit(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(of(&fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The routes of a source, those of its tests left out.
pub fn of(source: &str) -> Vec<Route> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for otherwise in OTHERWISE {
            assert!(!line.contains(otherwise), "the test does not see routes that `{otherwise}` makes: {line}");
        }
    }
    for call in source.split(".route(").skip(1) {
        let call = &call[..end(call)];
        let path = call.split('"').nth(1).unwrap_or_default();
        for method in METHODS {
            let made = format!("{method}(");
            let starts = |at: usize| !call[..at].ends_with(|char: char| char.is_alphanumeric() || char == '_');
            let times = call.match_indices(&made).filter(|(at, _)| starts(*at));
            found.extend(times.map(|_| (method.to_uppercase(), path.to_owned())));
        }
    }
    found
}

/// Where the parenthesis closes that stands before the text.
fn end(text: &str) -> usize {
    let mut depth = 1;
    let closes = |char| {
        depth += i32::from(char == '(') - i32::from(char == ')');
        depth == 0
    };
    text.find(closes).unwrap_or(text.len())
}

#[test]
fn a_route_is_found_however_it_is_written() {
    let source = r#"
        Router::new()
            .route("/a", get(list).post(place))
            .route(
                "/a/{id}/b",
                post(move |State(app): State<App>, request: Request| hear(app, get_it(request))),
            )
            // .route("/c", put(old))
            .route("/d", axum::routing::put(change))
        #[cfg(test)]
        .route("/tests", post(x))
    "#;
    let source = source.replace("            // .route(\"/c\", put(old))\n", "");
    let found = of(&source);
    let wanted = [("GET", "/a"), ("POST", "/a"), ("POST", "/a/{id}/b"), ("PUT", "/d")];
    assert_eq!(found, wanted.map(|(method, path)| (method.to_owned(), path.to_owned())));
}
