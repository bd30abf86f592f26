//! Rules over manifests: which crate may depend on which.

use serde_json::Value;

/// What a manifest says.
#[derive(Clone, Debug, Default)]
pub struct Package {
    pub name: String,
    /// The manifest's folder, from the root of the project.
    pub folder: String,
    pub dependencies: Vec<Dependency>,
}

/// One line of a manifest.
#[derive(Clone, Debug)]
pub struct Dependency {
    pub name: String,
    /// Only for tests, examples and benches.
    pub dev: bool,
}

/// Which of our crates each of our crates is built on: the architecture on a page. A new edge is added here first.
const OURS: &[(&str, &[&str])] = &[
    ("factum-core", &[]),
    ("factum-log", &[]),
    ("factum-macros", &[]),
    ("factum-definitions", &["factum-core"]),
    ("factum-runtime", &["factum-core"]),
    ("factum-adapters", &["factum-core", "factum-log"]),
    ("factum-server", &["factum-core", "factum-runtime"]),
    ("factum-testing", &["factum-adapters", "factum-core", "factum-log", "factum-runtime"]),
    // Of factum-testing only `chaos`, behind a feature of that name, for programs that bring their own.
    (
        "factum",
        &[
            "factum-adapters",
            "factum-core",
            "factum-definitions",
            "factum-macros",
            "factum-runtime",
            "factum-server",
            "factum-testing",
        ],
    ),
    ("shop", &["factum"]),
];

/// What the core may use beside the standard library: crates that compute and do nothing else.
const PURE: &[&str] = &[
    "croner",
    "jiff",
    "postcard",
    "rpds",
    "schemars",
    "semver",
    "serde",
    "serde_json",
    "siphasher",
    "thiserror",
    "uuid",
    "xxhash-rust",
];

/// Clients of stores and brokers, by the start of their name; each is at home in one folder of factum-adapters.
pub const VENDORS: &[(&str, &str)] = &[
    ("factum-log", "embedded"),
    ("rusqlite", "sqlite"),
    ("postgres", "postgres"),
    ("tokio-postgres", "postgres"),
    ("sqlx", "postgres"),
    ("rdkafka", "kafka"),
    ("async-nats", "nats"),
    ("lapin", "rabbitmq"),
    ("redis", "redis"),
    ("aws-", "aws"),
    ("google-cloud-", "pubsub"),
];

/// Reads the answer of `cargo metadata --no-deps`.
pub fn read(metadata: &Value) -> Vec<Package> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let root = text(&metadata["workspace_root"]);
    let dependency = |value: &Value| Dependency { name: text(&value["name"]), dev: value["kind"] == "dev" };
    let package = |value: &Value| Package {
        name: text(&value["name"]),
        folder: text(&value["manifest_path"])
            .trim_start_matches(&root)
            .trim_end_matches("Cargo.toml")
            .trim_matches('/')
            .to_owned(),
        dependencies: list(&value["dependencies"]).iter().map(dependency).collect(),
    };
    list(&metadata["packages"]).iter().map(package).collect()
}

/// Each of our crates is built only on those that the table names. Tests may also use factum-testing and the derives;
/// of shop and examples only factum-testing, so that they show what a user can do.
pub fn edges(package: &Package) -> Vec<String> {
    if package.name == "bench" {
        return Vec::new();
    }
    let user = package.name == "shop" || package.folder.starts_with("examples");
    let allowed = match OURS.iter().find(|(name, _)| *name == package.name) {
        Some((_, allowed)) => *allowed,
        None if user => &["factum"],
        None => {
            let problem = format!(
                "{} has no line in the table of edges: say in tests/tidy/manifests.rs what it is built on",
                package.name
            );
            return vec![problem];
        }
    };
    let for_tests: &[&str] = match package.name.as_str() {
        "factum-log" => &["factum-testing"],
        // Its tests on the real kernel look at the log of an app from below.
        "factum" => &["factum-testing", "factum-macros", "factum-core", "factum-log"],
        _ if user => &["factum-testing"],
        _ => &["factum-testing", "factum-macros", "factum-core"],
    };
    let ours = |name: &str| name == "factum" || name.starts_with("factum-") || matches!(name, "shop" | "bench");
    let forbidden = |on: &&Dependency| {
        ours(&on.name)
            && on.name != package.name
            && !allowed.contains(&on.name.as_str())
            && !(on.dev && for_tests.contains(&on.name.as_str()))
    };
    let sentence = |on: &Dependency| {
        let remedy = match (package.name.as_str(), on.name.as_str()) {
            (_, "bench") => "the figures depend on everything, so nothing may depend on them",
            ("factum-core", _) => "the core is words and rules; what it needs from outside is a port",
            ("factum-log", _) => "the log knows bytes and streams, no envelopes; factum-adapters translates",
            ("factum-runtime" | "factum-server", "factum-adapters" | "factum-log") => {
                "loops and server speak to ports; only factum/src/wiring.rs knows what stands behind them"
            }
            ("factum-adapters", _) => "an adapter serves a port and knows nobody who uses it",
            _ if user => {
                "users see the facade `factum` alone (and factum-testing in tests); re-export there what is missing"
            }
            _ => "the table in tests/tidy/manifests.rs does not have this edge",
        };
        format!("{} must not depend on {}: {remedy}", package.name, on.name)
    };
    package.dependencies.iter().filter(forbidden).map(sentence).collect()
}

/// The core uses only crates that compute: no runtime, no I/O, no randomness.
pub fn core_is_pure(package: &Package) -> Vec<String> {
    let sentence = |on: &Dependency| {
        format!(
            "factum-core must not depend on {}: only crates without I/O, clock, randomness and runtime; if it is one, \
             add it to the list in tests/tidy/manifests.rs",
            on.name
        )
    };
    let impure = |on: &&Dependency| !on.dev && !PURE.contains(&on.name.as_str()) && !on.name.starts_with("factum");
    match package.name.as_str() {
        "factum-core" => package.dependencies.iter().filter(impure).map(sentence).collect(),
        _ => Vec::new(),
    }
}

/// A client of a store or broker is a dependency of factum-adapters alone; the simulated disk is one for factum-log.
pub fn vendors_stay_in_adapters(package: &Package) -> Vec<String> {
    if matches!(package.name.as_str(), "factum-adapters" | "bench") {
        return Vec::new();
    }
    let simulated = |on: &Dependency| package.name == "factum-testing" && on.name == "factum-log";
    let vendor =
        |on: &&Dependency| !on.dev && !simulated(on) && VENDORS.iter().any(|(start, _)| on.name.starts_with(start));
    let sentence = |on: &Dependency| {
        format!(
            "{} must not depend on {}: what speaks to a store or a broker is an adapter, a folder of factum-adapters",
            package.name, on.name
        )
    };
    package.dependencies.iter().filter(vendor).map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, folder: &str, dependencies: &[(&str, bool)]) -> Package {
        let dependencies = dependencies.iter().map(|(name, dev)| Dependency { name: (*name).into(), dev: *dev });
        Package { name: name.into(), folder: folder.into(), dependencies: dependencies.collect() }
    }

    #[test]
    fn metadata_is_read() {
        let metadata = json!({"workspace_root": "/x", "packages": [{
            "name": "shop", "manifest_path": "/x/shop/Cargo.toml",
            "dependencies": [{"name": "factum", "kind": null}, {"name": "factum-testing", "kind": "dev"}]
        }]});
        let packages = read(&metadata);
        assert_eq!((packages[0].name.as_str(), packages[0].folder.as_str()), ("shop", "shop"));
        assert_eq!(packages[0].dependencies.iter().map(|on| on.dev).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn each_forbidden_edge_is_found() {
        for (from, to) in [
            ("factum-core", "factum-log"),
            ("factum-log", "factum-core"),
            ("factum-runtime", "factum-adapters"),
            ("factum-runtime", "factum-server"),
            ("factum-runtime", "factum-log"),
            ("factum-adapters", "factum-runtime"),
            ("factum-adapters", "factum-server"),
            ("factum-server", "factum-adapters"),
            ("factum", "bench"),
            ("shop", "factum-core"),
        ] {
            assert_eq!(edges(&package(from, "", &[(to, false)])).len(), 1, "{from} -> {to}");
        }
        assert_eq!(edges(&package("demo", "examples/demo", &[("factum-server", true)])).len(), 1);
        assert_eq!(edges(&package("factum-log", "", &[("factum-core", true)])).len(), 1);
        assert_eq!(edges(&package("factum-new", "crates/factum-new", &[])).len(), 1);
    }

    #[test]
    fn wanted_edges_pass() {
        assert!(edges(&package("factum-core", "", &[("factum-testing", true), ("serde", false)])).is_empty());
        assert!(edges(&package("shop", "shop", &[("factum", false), ("factum-testing", true)])).is_empty());
        assert!(edges(&package("demo", "examples/demo", &[("factum", false)])).is_empty());
        assert!(edges(&package("bench", "bench", &[("factum-log", false), ("shop", false)])).is_empty());
    }

    #[test]
    fn an_impure_core_and_a_stray_vendor_are_found() {
        assert_eq!(core_is_pure(&package("factum-core", "", &[("tokio", false), ("serde", false)])).len(), 1);
        assert!(core_is_pure(&package("factum-core", "", &[("fastrand", true)])).is_empty());
        assert_eq!(vendors_stay_in_adapters(&package("shop", "shop", &[("rusqlite", false)])).len(), 1);
        assert_eq!(vendors_stay_in_adapters(&package("factum-server", "", &[("aws-sdk-sns", false)])).len(), 1);
        assert!(vendors_stay_in_adapters(&package("factum-adapters", "", &[("rusqlite", false)])).is_empty());
        let testing = package("factum-testing", "", &[("factum-log", false), ("rusqlite", false)]);
        assert_eq!(vendors_stay_in_adapters(&testing).len(), 1);
    }
}
