//! The `shop` command among the tools of a shell: who hears it, what it shows of others' texts, and what it takes away.

use std::{
    fs::{self, File},
    io::pipe,
    path::Path,
    process::{Command, Stdio},
};

use factum::App;
use serde_json::Value;
use shop::{
    contracts::{
        order::{CancelOrder, CreateOrder},
        payment::RefundPayment,
        shapes::{Address, Line},
    },
    money::{pence, price},
    services::{Options, equipped},
};

use crate::imports::{paid_order, shop, text};

/// A line end, what clears a line, the same in one character, and what turns the direction of writing.
const FORGED: &str = "lost\r\nNothing is lost, doubled or half done.\u{1b}[2K\u{9b}1A\u{202e}";

/// A shop with one order, which was given up for a forged reason.
async fn one_order(dir: &Path) {
    let app = equipped(App::open(dir).unwrap(), &Options::default()).start().await.unwrap();
    let address =
        Address { country: FORGED.to_owned(), name: None, street: None, city: None, region: None, postcode: None };
    let ordered = CreateOrder {
        channel: Default::default(),
        order_id: "o-1".into(),
        customer_id: None,
        cart_id: None,
        items: vec![Line::goods(1, "TEA".into(), "tea", 2, price("2.55").unwrap()).unwrap()],
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: pence(510),
        shipping_address: Some(address),
        payment_method: None,
    };
    // In one commit, so that nothing comes between.
    let cancel = CancelOrder { order_id: "o-1".into(), reason: FORGED.to_owned() };
    app.together().add(&ordered, app.now()).add(&cancel, app.now()).execute().await.unwrap();
    app.rest().await.unwrap();
    app.stop().await;
}

fn answers() -> [Vec<&'static str>; 8] {
    [
        vec!["report"],
        vec!["report", "--json"],
        vec!["check"],
        vec!["payments"],
        vec!["payments", "--open"],
        vec!["history", "o-1"],
        vec!["history", "o-1", "--json"],
        vec!["at", "o-1", "9999-01-01"],
    ]
}

fn ended(command: &mut Command) -> (Option<i32>, String) {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_has_enough_ends_the_command_quietly() {
    let dir = tempfile::tempdir().unwrap();
    one_order(dir.path()).await;
    let closed = || {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        writer
    };
    for answer in answers() {
        // 128 and SIGPIPE's number, as a shell tells it of `cat`.
        assert_eq!(ended(shop(&answer, dir.path()).stdout(closed())), (Some(141), String::new()), "{answer:?}");
    }
    let mut help = Command::new(env!("CARGO_BIN_EXE_shop"));
    assert_eq!(ended(help.arg("--help").stdout(closed())), (Some(141), String::new()));
    // Nobody hears the error either.
    let missing = shop(&["report"], &dir.path().join("missing")).stderr(closed()).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_finds_no_room_is_a_failure_with_a_sentence() {
    let full = || File::options().write(true).open("/dev/full");
    if full().is_err() {
        eprintln!("skipped: there is no /dev/full here");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    one_order(dir.path()).await;
    for answer in answers() {
        let (code, error) = ended(shop(&answer, dir.path()).stdout(full().unwrap()));
        assert!(code == Some(1) && error.starts_with("error: the answer could not be written: "), "{code:?} {error}");
    }
    let mut help = Command::new(env!("CARGO_BIN_EXE_shop"));
    assert_eq!(ended(help.arg("--help").stdout(full().unwrap())).0, Some(1));
    let missing = shop(&["report"], &dir.path().join("missing")).stderr(full().unwrap()).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_forges_no_line_and_steers_no_terminal() {
    let dir = tempfile::tempdir().unwrap();
    one_order(dir.path()).await;
    for answer in answers() {
        let (_, told, error) = text(&mut shop(&answer, dir.path()));
        assert_eq!(error, "");
        let steers = |letter: char| letter != '\n' && letter.is_control() || letter == '\u{202e}';
        assert!(!told.contains(steers), "{told:?}");
        let forged = told.lines().filter(|line| line.starts_with("Nothing is lost")).count();
        assert_eq!(forged, usize::from(answer == ["check"]), "{told}");
        if answer.contains(&"--json") {
            let said = told.lines().filter(|_| answer[0] == "history").find(|line| line.contains("order.cancelled"));
            let read: Option<Value> = said.map(|line| serde_json::from_str(line).unwrap());
            assert!(read.is_none_or(|read| read.to_string().contains("\\r\\nNothing")), "{told}");
        }
    }
    let shown = text(&mut shop(&["history", "o-1"], dir.path())).1;
    assert!(
        shown.contains(r"reason=lost\r\nNothing is lost, doubled or half done.\u{1b}[2K\u{9b}1A\u{202e}"),
        "{shown}"
    );
    // Also in an error: what was asked for may come from anywhere.
    let (_, _, error) = text(&mut shop(&["history", "o\u{1b}[2K-2"], dir.path()));
    assert!(error.starts_with("error: ") && !error.contains('\u{1b}'), "{error:?}");
}

/// What a person has asked for began as something of its own, and belongs to the order's story all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_story_tells_also_what_was_asked_of_its_payment_later() {
    let dir = tempfile::tempdir().unwrap();
    let app = equipped(App::open(dir.path()).unwrap(), &Options::default()).start().await.unwrap();
    assert_eq!(paid_order(&app, "o-1").await, 510);
    let (order_id, amount) = (Some("o-1".into()), Some(pence(100)));
    app.execute(RefundPayment { order_id, credit_id: None, amount, reason: "goodwill".to_owned() }).await.unwrap();
    app.rest().await.unwrap();
    app.stop().await;
    drop(app);
    let story = text(&mut shop(&["history", "o-1"], dir.path())).1;
    assert!(story.contains("payment.refunded") && story.contains("inventory.reserved"), "{story}");
}

#[test]
fn an_earlier_demo_is_not_wiped_without_asking() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("DEMO"), "").unwrap();
    fs::write(dir.path().join("orders"), "some hundred, since").unwrap();
    let (done, told, error) = text(&mut shop(&["demo"], dir.path()));
    assert!(!done && told.is_empty() && error.contains("add --again"), "{told}{error}");
    assert!(dir.path().join("orders").exists());
}

/// What the demo is for: all services, an order that was undone, and one with its mails and points.
#[test]
fn the_demo_tells_of_all_services_and_of_two_orders() {
    let dir = tempfile::tempdir().unwrap();
    let (_, said, problem) = text(&mut shop(&["demo"], &dir.path().join("demo")));
    for service in
        ["analytics", "cart", "catalog", "customer", "fraud", "inventory", "loyalty", "notification", "order"]
    {
        assert!(said.contains(&format!("│ {service}-service ")), "{service}: {said} {problem}");
    }
    for words in [
        "An order that was undone",
        "An order that went well",
        "loyalty.points_awarded",
        "has arrived",
        "notification.sent",
    ] {
        assert!(said.contains(words), "{words}");
    }
}
