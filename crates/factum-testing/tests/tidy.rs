//! The edges that must never exist, and the few habits that a machine can see: read from the manifests and the sources.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests are tests too")]

#[cfg(test)]
#[path = "tidy/made_up.rs"]
mod made_up;
#[path = "tidy/manifests.rs"]
mod manifests;
#[path = "tidy/sources.rs"]
mod sources;
#[path = "tidy/tokens.rs"]
mod tokens;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use sources::Source;

fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the crate is");
    Path::new(&manifest).join("../..").canonicalize().unwrap()
}

/// Every Rust source of the project, by path.
fn tree() -> Vec<Source> {
    let (root, mut sources) = (root(), Vec::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap_or_default());
            if entry.file_type().unwrap().is_dir() {
                let foreign = name.starts_with('.') || matches!(name.as_str(), "target" | "node_modules");
                folders.extend((!foreign).then_some(path));
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
                sources.push(Source { path, text });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn packages() -> Vec<manifests::Package> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--offline", "--format-version", "1", "--no-deps"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    manifests::read(&serde_json::from_slice(&output.stdout).unwrap())
}

fn nothing(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}; {} found:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn sources_keep_every_rule() {
    let tree = tree();
    assert!(tree.iter().any(|source| source.path == "crates/factum/src/wiring.rs"), "the sources were not found");
    let broken = sources::RULES.iter().flat_map(|(name, rule)| {
        let findings = tree.iter().flat_map(rule);
        findings.map(move |finding| format!("{name}: {finding}"))
    });
    nothing("the tree breaks its rules", &broken.collect::<Vec<_>>());
}

#[test]
fn rooms_of_the_shop_are_siblings() {
    nothing("all rooms have the same files", &sources::rooms_are_siblings(&tree()));
}

#[test]
fn crates_depend_only_on_what_the_design_allows() {
    let packages = packages();
    assert!(packages.iter().any(|package| package.name == "factum-core"), "the manifests were not found");
    let rules = [manifests::edges, manifests::core_is_pure, manifests::vendors_stay_in_adapters];
    let findings = rules.iter().flat_map(|rule| packages.iter().flat_map(rule)).collect::<Vec<_>>();
    nothing("a crate depends on what it must not know", &findings);
}
