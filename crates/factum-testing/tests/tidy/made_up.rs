//! Each rule against made-up sources: the bad ones are found, the good ones pass.

use crate::sources::{self, Rule, Source};

fn findings(rule: Rule, path: &str, text: &str) -> usize {
    rule(&Source::new(path, text)).len()
}

/// Runs one rule over sources at one path, each with the number of findings that it must have.
fn expect(rule: Rule, path: &str, sources: &[(&str, usize)]) {
    for (text, expected) in sources {
        assert_eq!(findings(rule, path, text), *expected, "{path}: {text}");
    }
}

#[test]
fn an_impure_core_is_found() {
    expect(
        sources::core_is_pure,
        "crates/factum-core/src/saga/mod.rs",
        &[
            ("fn f() { Timestamp::now(); }", 1),
            ("use std::time::{Duration, SystemTime};", 1),
            ("use std::{fs, net::TcpStream};", 2),
            ("use std::time::Instant;", 1),
            ("fn f() { fastrand::u8(..); Uuid::new_v4(); }", 2),
            ("use factum_log::Log;", 1),
            ("async fn f() { tokio::spawn(g()); println!() }", 2),
            ("//! Timestamp::now()\nuse std::time::Duration; fn f(now: Timestamp) { g(now); c.now() }", 0),
            ("#[cfg(test)] mod tests { use std::fs; fn f() { fastrand::u8(..); } }", 0),
        ],
    );
    assert_eq!(findings(sources::core_is_pure, "crates/factum-runtime/src/clock.rs", "use std::time::Instant;"), 0);
}

#[test]
fn an_impure_handler_is_found() {
    let sources = [
        ("async fn decide() { x.await }", 2),
        ("use std::collections::{BTreeMap, HashMap};", 1),
        ("fn f() -> Uuid { g() }", 1),
        ("fn f() { Timestamp::now(); std::fs::read(p); rand::random() }", 3),
        ("fn await_news() { awaits() } // async HashMap", 0),
    ];
    for file in ["src/order/decider.rs", "src/order/reactions.rs", "src/order/views.rs", "src/order/saga.rs"] {
        expect(sources::handlers_are_pure, &format!("shop/{file}"), &sources);
    }
    expect(sources::handlers_are_pure, "shop/contracts/order.rs", &sources);
    expect(sources::handlers_are_pure, "shop/src/payment/gateway.rs", &[("async fn f() {}", 0)]);
    expect(sources::handlers_are_pure, "shop/contracts/tests.rs", &[("use std::collections::HashMap;", 0)]);
}

#[test]
fn an_adapter_named_outside_wiring_is_found() {
    let text = "use factum_adapters::{embedded, sqlite};";
    for (path, expected) in [
        ("crates/factum/src/app.rs", 2),
        ("shop/src/main.rs", 2),
        ("crates/factum/src/wiring.rs", 0),
        ("crates/factum-adapters/tests/it/faults.rs", 0),
        ("bench/src/main.rs", 0),
    ] {
        assert_eq!(findings(sources::adapters_are_named_in_wiring, path, text), expected, "{path}");
    }
}

#[test]
fn an_adapter_that_uses_another_is_found() {
    let rule = sources::adapters_stand_alone;
    expect(
        rule,
        "crates/factum-adapters/src/sqlite/store.rs",
        &[
            ("use crate::embedded::Options;", 1),
            ("use super::super::embedded::Options;", 1),
            ("use super::connection::open; use crate::sqlite::reader;", 0),
            ("pub(crate) fn f() {} mod tests { use super::*; }", 0),
        ],
    );
    expect(rule, "crates/factum-adapters/src/sqlite/mod.rs", &[("use super::embedded;", 1), ("mod store;", 0)]);
}

#[test]
fn a_vendor_named_outside_its_folder_is_found() {
    let text = "pub fn open() -> rusqlite::Connection { f() }";
    for (path, expected) in [
        ("crates/factum-adapters/src/embedded/mod.rs", 1),
        ("crates/factum-adapters/src/lib.rs", 1),
        ("crates/factum-runtime/src/views/mod.rs", 1),
        ("shop/src/report.rs", 1),
        ("crates/factum-testing/src/sim/disk/io.rs", 1),
        ("crates/factum-adapters/src/sqlite/mod.rs", 0),
        ("crates/factum-adapters/tests/it/faults.rs", 0),
    ] {
        assert_eq!(findings(sources::vendors_stay_in_their_folder, path, text), expected, "{path}");
    }
    for (path, expected) in
        [("crates/factum-testing/src/sim/disk/io.rs", 0), ("crates/factum-testing/src/scenario/mod.rs", 1)]
    {
        let text = "use factum_log::Disk;";
        assert_eq!(findings(sources::vendors_stay_in_their_folder, path, text), expected, "{path}");
    }
    let path = "crates/factum-server/src/lib.rs";
    expect(
        sources::vendors_stay_in_their_folder,
        path,
        &[("use aws_sdk_sns::Client;", 1), ("use factum_log::Log;", 1), ("let redis = redis(); let postgres = 1;", 0)],
    );
}

#[test]
fn a_room_that_uses_another_is_found() {
    let rule = sources::rooms_know_only_contracts;
    expect(
        rule,
        "shop/src/order/reactions.rs",
        &[
            ("use crate::payment::decider::Payment;", 1),
            ("use crate::{contracts::ids::OrderId, inventory};", 1),
            ("use super::super::fraud;", 1),
            ("use crate::http::one;", 1),
            ("use crate::{contracts::*, money::pence}; use super::decider::Order; use factum::prelude::*;", 0),
            ("mod tests { use super::*; use crate::order::views; } pub(crate) fn f() {}", 0),
        ],
    );
    expect(rule, "shop/src/order/http.rs", &[("use crate::http::one;", 0), ("use crate::payment;", 1)]);
    expect(rule, "shop/src/order/decider/tests.rs", &[("use crate::payment;", 1), ("use super::super::views;", 0)]);
    expect(rule, "shop/src/import/mod.rs", &[("use crate::order::decider;", 0)]);
    expect(rule, "shop/src/services.rs", &[("use crate::order;", 0)]);
}

#[test]
fn a_room_with_odd_files_is_found() {
    let tree = |files: &[&str]| files.iter().map(|path| Source::new(path, "")).collect::<Vec<_>>();
    let room = |file: &str| {
        let files = ["mod.rs", "decider.rs", "decider/tests.rs", "http.rs", file];
        tree(&files.map(|file| format!("shop/src/cart/{file}")).each_ref().map(String::as_str))
    };
    assert!(sources::rooms_are_siblings(&room("views.rs")).is_empty());
    assert_eq!(sources::rooms_are_siblings(&room("helpers.rs")).len(), 2, "one file too many, one missing");
    assert_eq!(sources::rooms_are_siblings(&tree(&["shop/src/returns/decider.rs"])).len(), 1, "an unlisted room");
    let other = tree(&["shop/src/import/mod.rs", "shop/src/import/journal.rs"]);
    assert!(sources::rooms_are_siblings(&other).is_empty());
}

#[test]
fn a_file_that_is_silent_long_or_unfinished_is_found() {
    let path = "crates/factum/src/x.rs";
    expect(sources::says_what_it_is_for, path, &[("use a;", 1), ("", 1), ("//!", 1), ("//! Says it.", 0)]);
    expect(sources::is_short, path, &[("//! x\n".repeat(501).as_str(), 1), ("//! x\n".repeat(500).as_str(), 0)]);
    expect(
        sources::is_finished,
        path,
        &[("fn f() { todo!(); unimplemented!(\"x\"); dbg!(1); }", 3), ("fn todo() { \"todo!()\"; x.todo } // dbg!", 0)],
    );
    expect(
        sources::skips_with_a_reason,
        path,
        &[
            ("#[test] #[ignore] fn f() {}", 1),
            ("#[ignore = \"\"] fn f() {}", 1),
            ("#[cfg_attr(miri, ignore)] fn f() {}", 1),
            ("#[ignore = \"needs a disk\"] fn f() {}", 0),
        ],
    );
}
