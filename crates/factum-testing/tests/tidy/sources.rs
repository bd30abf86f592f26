//! Rules over sources: what a file may name, by its place in the tree.

use crate::{
    manifests::VENDORS,
    tokens::{self, Path, Token},
};

/// One file of Rust source.
pub struct Source {
    /// From the root of the project, with `/`.
    pub path: String,
    pub text: String,
}

/// Files over 500 lines, and why each is one noun all the same.
const LONG: &[(&str, &str)] = &[
    ("crates/factum-core/src/saga/instance.rs", "one state machine; its transitions are only understood side by side"),
    ("shop/contracts/order.rs", "one service's contract is one page to look things up in"),
    ("shop/contracts/tests.rs", "an example of each type of all contracts, in their order"),
];

/// Files without a first line that says what they are for, and why.
const SILENT: &[(&str, &str)] = &[];

/// The shop's rooms; what else stands in shop/src may use them all.
const ROOMS: &[&str] = &[
    "catalog",
    "customer",
    "cart",
    "order",
    "payment",
    "inventory",
    "shipping",
    "notification",
    "analytics",
    "loyalty",
    "fraud",
];

/// The files that a room may have, and those that it must. Long tests of `x.rs` stand in `x/tests.rs`, parts of a decider
/// in `decider/`.
const ROOM_FILES: &[&str] = &[
    "mod",
    "decider",
    "reactions",
    "views",
    "http",
    "saga",
    "choreography",
    "gateway",
    "signature",
    "pricing",
    "pieces",
    "upcasters",
    "templates",
];
const EVERY_ROOM_HAS: &[&str] = &["mod", "views", "http"];

impl Source {
    #[cfg(test)]
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    fn parts(&self) -> Vec<&str> {
        self.path.split('/').collect()
    }

    fn at(&self, line: usize, sentence: &str) -> String {
        format!("{}:{line}: {sentence}", self.path)
    }

    /// Where the file stands in its crate: `crates/x/src/a/b.rs` is `a::b`.
    fn module(&self) -> Vec<&str> {
        let parts = self.parts();
        let start =
            parts.iter().position(|part| matches!(*part, "src" | "contracts")).map_or(parts.len(), |src| src + 1);
        let mut module = parts[start..].to_vec();
        if parts.get(start - 1) == Some(&"contracts") {
            module.insert(0, "contracts");
        }
        let file = module.pop().unwrap_or_default().trim_end_matches(".rs");
        module.extend((!matches!(file, "mod" | "lib" | "main")).then_some(file));
        module
    }

    fn is_for_tests(&self) -> bool {
        self.parts().iter().any(|part| matches!(*part, "tests" | "tests.rs" | "benches"))
    }

    fn paths(&self) -> Vec<Path> {
        tokens::paths(&tokens::tokens(&self.text), &self.module())
    }

    /// What the file names outside its tests.
    fn live_paths(&self) -> Vec<Path> {
        if self.is_for_tests() {
            return Vec::new();
        }
        tokens::paths(&tokens::without_tests(&tokens::tokens(&self.text)), &self.module())
    }

    /// The room of the shop that the file belongs to.
    fn room(&self) -> Option<&str> {
        match self.parts()[..] {
            ["shop", "src", room, ..] if ROOMS.contains(&room) => Some(room),
            _ => None,
        }
    }
}

/// A clock, randomness, I/O or a runtime, if the path is one.
fn impurity(path: &Path) -> Option<&'static str> {
    const IO: &[&str] = &["std::fs", "std::net", "std::io", "std::process", "std::env", "std::thread", "std::os"];
    const PRINT: &[&str] = &["println", "eprintln", "print", "eprint"];
    let last = path.segments.last().map_or("", String::as_str);
    let word = |words: &[&str]| path.segments.iter().any(|segment| words.contains(&segment.as_str()));
    let starts = |starts: &[&str]| starts.iter().any(|start| path.starts_with(start));
    if word(&["SystemTime", "Instant"]) || last == "now" && path.segments.len() > 1 {
        Some("a clock")
    } else if starts(&["rand", "fastrand", "getrandom"]) || word(&["RandomState", "new_v4", "new_v7", "now_v7"]) {
        Some("randomness")
    } else if starts(IO) || PRINT.iter().any(|print| path.is(print)) {
        Some("I/O")
    } else if starts(&["tokio", "futures_util", "reqwest", "axum"]) {
        Some("a runtime")
    } else {
        None
    }
}

/// The core knows no clock, no randomness, no I/O, no runtime and no crate of ours.
pub fn core_is_pure(source: &Source) -> Vec<String> {
    if !source.path.starts_with("crates/factum-core/src/") {
        return Vec::new();
    }
    let finding = |path: &Path| {
        let ours = path.segments[0].starts_with("factum") && path.segments.len() > 1;
        let what = impurity(path).or(ours.then_some("another crate of ours"))?;
        let sentence = format!("`{}` is {what}; the core only computes, so give it a port", path.text());
        Some(source.at(path.line, &sentence))
    };
    source.live_paths().iter().filter_map(finding).collect()
}

/// Deciders, reactions, views, sagas and contracts are pure: run again at will, they give the same.
pub fn handlers_are_pure(source: &Source) -> Vec<String> {
    let parts = source.parts();
    let handler = source.room().is_some()
        && matches!(parts.last(), Some(&("decider.rs" | "reactions.rs" | "views.rs" | "saga.rs" | "choreography.rs")))
        || source.path.starts_with("shop/contracts/");
    if !handler {
        return Vec::new();
    }
    let finding = |path: &Path| {
        let word = |words: &[&str]| words.iter().any(|word| path.names(word));
        let what = impurity(path)
            .or(word(&["async", "await"]).then_some("waiting, which only gateway.rs and http.rs do"))
            .or(word(&["Uuid"]).then_some("a made-up id; derive it from what is known"))
            .or(word(&["HashMap", "HashSet"])
                .then_some("walked in another order each time; use a BTreeMap or BTreeSet"))?;
        let sentence = format!("`{}` in a pure handler is {what}: a replay must give the same again", path.text());
        Some(source.at(path.line, &sentence))
    };
    source.live_paths().iter().filter_map(finding).collect()
}

/// Only `wiring.rs` of the facade knows what stands behind the ports; and the simulation, which has a disk of its own.
pub fn adapters_are_named_in_wiring(source: &Source) -> Vec<String> {
    let free = ["crates/factum-adapters/", "crates/factum-testing/src/sim/", "bench/"];
    if free.iter().any(|start| source.path.starts_with(start)) || source.path == "crates/factum/src/wiring.rs" {
        return Vec::new();
    }
    let named = source.paths().into_iter().filter(|path| path.names("factum_adapters"));
    let sentence = "names factum_adapters; only crates/factum/src/wiring.rs does, all else speaks to a port";
    named.map(|path| source.at(path.line, sentence)).collect()
}

/// An adapter's folder uses no other adapter's folder.
pub fn adapters_stand_alone(source: &Source) -> Vec<String> {
    let ["crates", "factum-adapters", "src", folder, _, ..] = source.parts()[..] else { return Vec::new() };
    let elsewhere = |path: &Path| {
        path.segments[0] == "crate" && path.segments.len() > 1 && path.segments[1] != folder
            || path.starts_with("factum_adapters")
    };
    let sentence = |path: &Path| {
        let sentence = format!("`{}`: adapter {folder} must not use another one; share through the core", path.text());
        source.at(path.line, &sentence)
    };
    source.paths().iter().filter(|path| elsewhere(path)).map(sentence).collect()
}

/// A vendor's crate, and so each of its types, is named only in its adapter's folder.
pub fn vendors_stay_in_their_folder(source: &Source) -> Vec<String> {
    let parts = source.parts();
    let (folder, free) = match parts[..] {
        // A service with tables of its own has the database's client.
        ["bench", ..] | ["crates", "factum-log", ..] | ["examples", "orders", ..] => (None, true),
        ["crates", "factum-adapters", "src", folder, ..] => (Some(folder), false),
        ["crates", "factum-adapters", ..] => (None, parts[2] != "src"),
        // A simulated disk is one for the log, its node has the log's adapter, and the fuzzer fills the log's files.
        ["crates", "factum-testing", "src", "sim" | "fuzz", ..] => (Some("embedded"), false),
        _ => (None, source.is_for_tests()),
    };
    if free {
        return Vec::new();
    }
    let stray = |path: &Path| {
        let first = path.segments[0].replace('_', "-");
        let matches = |vendor: &str| if vendor.ends_with('-') { first.starts_with(vendor) } else { first == vendor };
        let home = VENDORS.iter().find(|(vendor, _)| matches(vendor)).map(|(_, home)| *home)?;
        let names_crate = path.segments.len() > 1 && folder != Some(home);
        names_crate.then(|| {
            let sentence = format!("`{}` may only be named in the adapter folder {home}", path.text());
            source.at(path.line, &sentence)
        })
    };
    source.paths().iter().filter_map(stray).collect()
}

/// A room knows the contracts, money and itself; of other rooms it knows only their contracts.
pub fn rooms_know_only_contracts(source: &Source) -> Vec<String> {
    let Some(room) = source.room() else { return Vec::new() };
    let is_http = source.path.ends_with("/http.rs");
    let elsewhere = |path: &&Path| match path.segments.as_slice() {
        [first, second, ..] if first == "crate" || first == "shop" => {
            let second = second.as_str();
            !(["contracts", "money", room].contains(&second) || is_http && second == "http")
        }
        _ => false,
    };
    let sentence = |path: &Path| {
        let sentence = format!(
            "`{}`: room {room} may use crate::contracts, crate::money, itself and factum (http.rs also crate::http); \
             to reach another room, send it a command or react to its events",
            path.text()
        );
        source.at(path.line, &sentence)
    };
    source.paths().iter().filter(elsewhere).map(sentence).collect()
}

/// Rooms are siblings: the same files under the same names. Takes all sources at once.
pub fn rooms_are_siblings(sources: &[Source]) -> Vec<String> {
    let files = |start: &str| {
        let start = format!("{start}/");
        sources.iter().filter_map(|source| source.path.strip_prefix(&start)).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    for (room, file) in files("shop/src").iter().filter_map(|path| path.split_once('/')) {
        if !ROOMS.contains(&room) && matches!(file, "decider.rs" | "reactions.rs") {
            found.push(format!("shop/src/{room}: is a room by its files; add it to ROOMS in tests/tidy/sources.rs"));
        }
    }
    for room in ROOMS {
        let place = format!("shop/src/{room}");
        let files = files(&place);
        for file in &files {
            let name = file.strip_suffix("/tests.rs").or(file.strip_suffix(".rs")).unwrap_or(file);
            // A decider of several pages has its parts below it.
            let name = if name.starts_with("decider/") { "decider" } else { name };
            if !ROOM_FILES.contains(&name) {
                let allowed = ROOM_FILES.join(", ");
                found.push(format!("{place}/{file}: a room's files are {allowed}: put it into one of them"));
            }
        }
        for name in EVERY_ROOM_HAS {
            if !files.is_empty() && !files.contains(&format!("{name}.rs")) {
                found.push(format!("{place}: has no {name}.rs; every room has {}", EVERY_ROOM_HAS.join(", ")));
            }
        }
    }
    found
}

/// The first line says what the file is for.
pub fn says_what_it_is_for(source: &Source) -> Vec<String> {
    let listed = SILENT.iter().any(|(path, _)| *path == source.path);
    if listed || source.text.lines().next().is_some_and(|line| line.starts_with("//! ")) {
        return Vec::new();
    }
    vec![source.at(1, "the first line must be a `//!` that says what the file is for")]
}

/// A file is one noun, of at most 500 lines.
pub fn is_short(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= 500 || LONG.iter().any(|(path, _)| *path == source.path) {
        return Vec::new();
    }
    let sentence = "lines, 500 are a page: split it by noun, or list it with a reason in tests/tidy/sources.rs";
    vec![format!("{}: has {lines} {sentence}", source.path)]
}

/// No code that is still to come, no left-over print of a value.
pub fn is_finished(source: &Source) -> Vec<String> {
    let tokens = tokens::tokens(&source.text);
    let unfinished =
        |pair: &&[Token<'_>]| pair[1].text == "!" && matches!(pair[0].text, "todo" | "unimplemented" | "dbg");
    let sentence = |pair: &[Token<'_>]| {
        source.at(pair[0].line, &format!("{}! is for the desk, not for the tree: finish or remove it", pair[0].text))
    };
    tokens.windows(2).filter(unfinished).map(sentence).collect()
}

/// A test that is skipped says what it needs.
pub fn skips_with_a_reason(source: &Source) -> Vec<String> {
    let tokens = tokens::tokens(&source.text);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let Some(inner) = tokens::attribute(&tokens[at..]) else { continue };
        let words = inner.iter().map(|token| token.text).collect::<Vec<_>>();
        let last = words.iter().position(|word| *word == "ignore").map(|ignore| &words[ignore + 1..]);
        if last.is_some_and(|reason| !matches!(reason, ["=", "\"…\"", ..])) {
            found.push(
                source.at(tokens[at].line, "#[ignore] needs a reason: what the test waits for, and how to run it"),
            );
        }
    }
    found
}

/// Every rule that looks at one file, with its name.
pub type Rule = fn(&Source) -> Vec<String>;
pub const RULES: &[(&str, Rule)] = &[
    ("the core is pure", core_is_pure),
    ("handlers are pure", handlers_are_pure),
    ("adapters are named in wiring.rs alone", adapters_are_named_in_wiring),
    ("adapters stand alone", adapters_stand_alone),
    ("vendors stay in their folder", vendors_stay_in_their_folder),
    ("rooms know only contracts", rooms_know_only_contracts),
    ("the first line says what a file is for", says_what_it_is_for),
    ("a file has at most 500 lines", is_short),
    ("nothing is unfinished", is_finished),
    ("a skipped test has a reason", skips_with_a_reason),
];
