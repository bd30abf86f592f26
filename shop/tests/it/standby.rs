//! Several processes over one database: one leads, the others wait, and take over.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use factum::chaos::{Client, free_address};
use factum_testing::engines::postgres::Server;
use shop::{check::check, services::archive};

use crate::imports::shop;

const LIMIT: Duration = Duration::from_secs(60);
pub const LEASE: &str = "11s";

/// A process of the shop.
pub struct Process {
    pub child: Child,
    url: String,
    pub client: Client,
}

impl Process {
    pub fn start(store: &str) -> Self {
        let listen = free_address().unwrap();
        let url = format!("http://{listen}");
        let mut command = shop(&["serve", "--day", "100ms", "--answer-within", "2s"], Path::new(store));
        command.args(["--listen", &listen.to_string()]).env("FACTUM_LEASE", LEASE);
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        let client = Client::new(&url, Duration::from_secs(5), LIMIT);
        Self { child, url, client }
    }

    /// What it answers at once, also if that is no; nothing if it does not.
    async fn ask(&self, path: &str) -> Option<(u16, String)> {
        let asked = Client::new(&self.url, Duration::from_secs(1), Duration::ZERO);
        match asked.get(path).await {
            Ok(answer) => Some((answer.status, answer.body.to_string())),
            Err(later) => later.contains(": 503 ").then_some((503, later)),
        }
    }

    /// Waits until it waits to lead, and knows for whom.
    async fn until_it_waits_for(&mut self, leader: &str) {
        let began = Instant::now();
        loop {
            let (_, said) = self.until(503).await;
            if said.contains("standby") && said.contains(leader) {
                return;
            }
            assert!(began.elapsed() < LIMIT, "{said}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it answers what is only read.
    async fn until_it_reads(&self) {
        let began = Instant::now();
        while self.ask("/orders").await.is_none_or(|(status, _)| status != 200) {
            assert!(began.elapsed() < LIMIT, "{} reads nothing", self.url);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until `/ready` is so.
    pub async fn until(&mut self, status: u16) -> (Duration, String) {
        let began = Instant::now();
        loop {
            if let Some((said, body)) = self.ask("/ready").await
                && said == status
            {
                return (began.elapsed(), body);
            }
            assert!(began.elapsed() < LIMIT, "{} does not come to {status}", self.url);
            assert!(self.child.try_wait().unwrap().is_none(), "{} has ended", self.url);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    pub async fn order(&self, key: &str) {
        let order = r#"{"items":[{"sku":"TEA","quantity":1}]}"#;
        assert_eq!(self.client.post("/orders", key, &[], order).await.unwrap().status, 202);
    }

    pub async fn stocked(&self) {
        assert!(self.client.put("/products/TEA", r#"{"name":"Tea","price":"2.55"}"#).await.unwrap().status < 300);
        assert!(self.client.post("/stock/TEA/receive", "s", &[], r#"{"quantity":99999}"#).await.unwrap().status < 300);
    }

    /// Waits until so many orders are delivered.
    async fn delivered(&self, orders: u64) {
        let began = Instant::now();
        loop {
            let listed = self.client.get("/orders?status=delivered").await.unwrap();
            if listed.body["total"] == orders {
                return;
            }
            assert!(began.elapsed() < LIMIT, "{}", listed.body);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that stands still hears nothing else.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

pub fn server() -> Option<(Server, String)> {
    let server = Server::start().map_err(|why| eprintln!("left out: {why}")).ok()?;
    let store = format!("{}?schema=shop", server.url());
    Some((server, store))
}

fn nothing_is_lost_or_doubled(store: &str, orders: u64) {
    let findings = check(&archive(Path::new(store)).unwrap()).unwrap();
    assert!(findings.is_well(), "{:#?}", findings.problems);
    assert_eq!(findings.orders, orders);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_takes_over_when_the_leader_is_killed_or_stops() {
    let Some((_server, store)) = server() else { return };
    let mut first = Process::start(&store);
    first.until(200).await;
    let mut second = Process::start(&store);
    second.until_it_waits_for(&first.url).await;
    let (status, refused) = second.ask("/orders").await.unwrap();
    assert!(status == 503 && refused.contains(&first.url), "{refused}");
    first.stocked().await;
    for order in 0..5 {
        first.order(&format!("a{order}")).await;
    }
    first.signal("-KILL");
    let (after_a_kill, _) = second.until(200).await;
    for order in 0..5 {
        // The first five are repeats.
        second.order(&format!("a{order}")).await;
        second.order(&format!("b{order}")).await;
    }
    let mut third = Process::start(&store);
    third.until(503).await;
    second.signal("-TERM");
    let (after_a_stop, _) = third.until(200).await;
    println!("took over {after_a_kill:?} after a kill, {after_a_stop:?} after an orderly stop was asked for");
    third.delivered(10).await;
    nothing_is_lost_or_doubled(&store, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stood_still_writes_nothing_any_more_and_waits() {
    let Some((server, store)) = server() else { return };
    let mut first = Process::start(&store);
    first.until(200).await;
    first.stocked().await;
    first.order("before").await;
    let mut second = Process::start(&store);
    second.until(503).await;
    first.signal("-STOP");
    let (took, _) = second.until(200).await;
    println!("took over {took:?} after the leader stood still, with a lease of {LEASE}");
    second.order("after").await;
    first.signal("-CONT");
    first.until_it_waits_for(&second.url).await;
    second.delivered(2).await;
    assert_eq!(server.sql("SELECT term FROM shop.unit").unwrap(), "2");
    nothing_is_lost_or_doubled(&store, 2);
    // It leads again when the other one is gone.
    second.signal("-KILL");
    first.until(200).await;
    first.order("again").await;
    first.delivered(3).await;
    nothing_is_lost_or_doubled(&store, 3);
}

/// What the leader has taken is read at the process that waits, at the position that the answer named.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_answers_reads_and_sends_all_else_to_the_leader() {
    let Some((_server, store)) = server() else { return };
    let mut leader = Process::start(&store);
    leader.until(200).await;
    leader.stocked().await;
    let mut waits = Process::start(&store);
    waits.until_it_waits_for(&leader.url).await;
    waits.until_it_reads().await;
    let once = Client::new(&waits.url, LIMIT, Duration::ZERO);
    for number in 0..20 {
        let order = r#"{"items":[{"sku":"TEA","quantity":1}]}"#;
        let placed = leader.client.post("/orders", &format!("o-{number}"), &[], order).await.unwrap();
        let id = placed.body["orderId"].as_str().unwrap();
        let read = once.get(&format!("/orders/{id}?after={}", placed.position)).await.unwrap();
        assert_eq!((read.status, &read.body["orderId"]), (200, &id.into()), "at {}", placed.position);
        // An order changes no product: its rows stand for that position all the same.
        let product = once.get(&format!("/products/TEA?after={}", placed.position)).await.unwrap();
        assert_eq!(product.status, 200, "at {}", placed.position);
    }
    let refused = once.post("/orders", "refused", &[], "{}").await.unwrap_err();
    assert!(refused.contains(": 503 ") && refused.contains(&leader.url), "{refused}");
    assert_eq!(waits.ask("/ready").await.map(|(status, _)| status), Some(503));
    leader.delivered(20).await;
    leader.child.kill().unwrap();
    waits.until(200).await;
    waits.order("after").await;
    waits.delivered(21).await;
    drop((leader, waits));
    nothing_is_lost_or_doubled(&store, 21);
}
