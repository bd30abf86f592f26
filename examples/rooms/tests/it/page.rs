//! The tutorial says what stands in the sources: each block names its file, and its lines stand there in this order.

use std::{fs, path::Path};

/// What is wrong with a page, whose blocks name files below `root`.
fn wrong(page: &str, root: &Path) -> Vec<String> {
    let (mut wrong, mut block): (Vec<String>, Option<(String, Vec<&str>)>) = (Vec::new(), None);
    for (number, line) in page.lines().enumerate() {
        let at = number + 1;
        match (line.strip_prefix("```"), block.take()) {
            (Some(_), Some((file, lines))) => wrong.extend(missing(&file, &lines, root)),
            (Some(about), None) => match about.split_once(' ') {
                Some((_, file)) => block = Some((file.to_owned(), Vec::new())),
                None if matches!(about, "sh" | "text") => block = Some((String::new(), Vec::new())),
                None => wrong.push(format!("line {at}: the block names no file: write ```rust examples/rooms/…")),
            },
            (None, Some((file, mut lines))) => {
                lines.push(line);
                block = Some((file, lines));
            }
            (None, None) => {}
        }
    }
    wrong
}

fn missing(file: &str, lines: &[&str], root: &Path) -> Option<String> {
    if file.is_empty() {
        return None;
    }
    let Ok(source) = fs::read_to_string(root.join(file)) else { return Some(format!("there is no file {file}")) };
    let mut rest = source.lines().map(str::trim);
    let shown = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty() && !line.starts_with("// …"));
    let lost = shown.into_iter().find(|line| !rest.any(|known| known == *line))?;
    Some(format!("{file} has not this line, or not in this place: {lost}"))
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn every_block_of_the_tutorial_stands_in_the_sources() {
    let page = fs::read_to_string(root().join("docs/tutorial.md")).unwrap();
    let found = wrong(&page, root());
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(page.matches("\n```rust ").count() >= 10, "the page shows the system");
}

/// Its other blocks are commands.
#[test]
fn what_the_page_of_chaos_shows_stands_in_the_sources() {
    let page = fs::read_to_string(root().join("docs/chaos.md")).unwrap();
    let mut found = wrong(&page, root());
    found.retain(|problem| !problem.contains("names no file"));
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(page.contains("\n```rust examples/rooms/"), "the page shows a run");
}

/// Its other blocks are documentation tests, or commands.
#[test]
fn what_the_readme_shows_of_this_system_stands_in_the_sources() {
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    let mut found = wrong(&page, root());
    found.retain(|problem| !problem.contains("names no file"));
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(page.contains("\n```rs examples/rooms/"), "the page shows the simulation");
}

#[test]
fn a_block_that_says_something_else_is_found() {
    let file = "examples/rooms/src/stay.rs";
    let page = |lines: &str| format!("```rust {file}\n{lines}\n```\n");
    assert!(wrong(&page("pub fn first() -> Saga<Stay> {\n// …\n.failed(Stay::cancelled)"), root()).is_empty());
    assert_eq!(wrong(&page("pub fn third() -> Saga<Stay> {"), root()).len(), 1);
    assert_eq!(wrong(&page(".failed(Stay::cancelled)\nSaga::new(\"stay\", 1)"), root()).len(), 1, "the order counts");
    assert_eq!(wrong("```rust\nfn main() {}\n```\n", root()).len(), 2, "no file: what opens and what closes");
    assert_eq!(wrong("```rust no/file.rs\nx\n```\n", root()), ["there is no file no/file.rs"]);
}
