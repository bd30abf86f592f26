//! The shop as a process of its own, and all that stands around it.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use axum::Router;
use factum::{
    chaos::{Client, FULL_DISK, Faults, Place, Process, Proxy, Rng, Tally, drawn, free_address},
    prelude::*,
};
use tokio::{
    net::TcpListener,
    task::{JoinSet, block_in_place},
    time::sleep,
};

use super::{
    Settings, carrier,
    carrier::Carrier,
    customers::Customers,
    onlooker::Onlooker,
    provider::{self, Provider},
};
use crate::{
    check,
    services::archive,
    shipping::signature::{HEADER, Secret},
};

/// What the shop's calls wait for an answer, and what silences are longer than.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_millis(2_500);
/// The same for customers.
const CUSTOMERS_WAIT: Duration = Duration::from_secs(3);
const CUSTOMERS_SILENCE: Duration = Duration::from_millis(3_500);
/// How long an order waits for the provider and the carrier.
const PATIENCE: &str = "60s";
/// A start, and a stop in order.
const STARTS: Duration = Duration::from_secs(120);
/// How long a full disk stays full at most, if the program does not notice, and how often it is looked at.
const FULL: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(25);
/// The disk: so many MiB, and so many KiB more for each order.
const DISK_MIB: u64 = 192;
const ORDER_KIB: u64 = 64;
/// The carrier's secret.
const SECRET: &str = "the carrier signs what it tells of";
/// The shop says so of a full disk.
const STORE_FULL: u16 = 507;

/// See the module. Everything on it ends when it is dropped: the program first, its disk last.
pub struct Stage {
    pub customers: Arc<Customers>,
    pub onlooker: Onlooker,
    pub provider: provider::Desk,
    pub carrier: carrier::Desk,
    /// Straight to the shop.
    pub direct: Client,
    pub tally: Tally,
    program: Process,
    mended: Arc<AtomicBool>,
    random: Rng,
    lines: Vec<Proxy>,
    _served: JoinSet<()>,
    pub place: Place,
}

impl Stage {
    /// Sets everything up, and starts the shop.
    pub async fn set(settings: &Settings) -> anyhow::Result<Self> {
        let (seed, tally) = (settings.seed, Tally::default());
        let place = Place::new(DISK_MIB + settings.orders * ORDER_KIB / 1024, &tally)?;
        let (provider, carrier) = (Provider::new(seed, settings.declines, &tally), Carrier::new(seed, &tally));
        let mut served = JoinSet::new();
        let bank = serve(provider::router(provider.clone()), &mut served).await?;
        let hauler = serve(carrier::router(carrier.clone()), &mut served).await?;
        let faults = Faults { seed, rates: settings.rates, silence: SILENCE };
        let to_bank = Proxy::start("provider", &bank, faults, &tally).await?;
        let to_hauler = Proxy::start("carrier", &hauler, faults, &tally).await?;
        let address = free_address()?;
        let front = Faults { silence: CUSTOMERS_SILENCE, ..faults };
        let front = Proxy::start("customers", &format!("http://{address}"), front, &tally).await?;
        let mended = Arc::new(AtomicBool::new(false));
        let command = command(settings, &place, address, [to_bank.url(), to_hauler.url()], mended.clone())?;
        let program = Process::new(command, address, &place.log(), &tally);
        let client = |url: &str| Client::new(url, CUSTOMERS_WAIT, settings.limit);
        let customers = Arc::new(Customers::new(seed, client(&front.url()), &tally));
        served.spawn(tell_news(carrier.clone(), client(&front.url()), Secret::new(SECRET.as_bytes())?));
        let onlooker = Onlooker::default();
        served.spawn(onlooker.clone().look(customers.clone(), client(&format!("http://{address}")), seed));
        let mut stage = Self {
            customers,
            onlooker,
            provider,
            carrier,
            direct: Client::new(program.url(), STARTS, settings.limit),
            tally,
            program,
            mended,
            random: drawn(seed, &["stage"]),
            lines: vec![to_bank, to_hauler, front],
            _served: served,
            place,
        };
        stage.start().await?;
        Ok(stage)
    }

    /// Starts the shop, and waits until it is ready.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.program.start(STARTS).await.map(|_| ()).map_err(anyhow::Error::msg)
    }

    /// Stops it in order.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.program.stop(STARTS).await.map_err(anyhow::Error::msg)
    }

    /// From now on every request arrives, and no order is poison any more.
    pub fn mend(&self) {
        self.lines.iter().for_each(Proxy::calm);
        self.mended.store(true, Ordering::Relaxed);
    }

    /// Kills it at a moment that is drawn, one time in four again before it is ready, and starts it.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        sleep(Duration::from_millis(self.random.u64(..200))).await;
        self.program.kill("running").await.map_err(anyhow::Error::msg)?;
        while self.random.u8(..4) == 0 {
            self.program.begin()?;
            sleep(Duration::from_millis(self.random.u64(..150))).await;
            self.program.kill("opening").await.map_err(anyhow::Error::msg)?;
        }
        self.start().await
    }

    /// Fills its disk until it says that it cannot write; one time in two it is killed then, and starts on the full disk.
    pub async fn fill_disk(&mut self) -> anyhow::Result<()> {
        let before = self.customers.client().seen(STORE_FULL);
        let Some(ballast) = block_in_place(|| self.place.fill())? else { return Ok(()) };
        self.tally.ordered(FULL_DISK, "the data's disk");
        let begun = Instant::now();
        while begun.elapsed() < FULL {
            sleep(LOOK).await;
            // What the program gives back by itself is taken too. A log fills its segments ahead: it is not full at once.
            block_in_place(|| ballast.take_more())?;
            // It has told a customer, or everybody.
            let is_told = self.customers.client().seen(STORE_FULL) > before;
            if is_told || self.program.is_ready(CUSTOMERS_WAIT).await == Some(false) {
                self.tally.happened(FULL_DISK, "the data's disk");
                break;
            }
        }
        if self.random.bool() {
            self.program.kill("on a full disk").await.map_err(anyhow::Error::msg)?;
            self.program.begin()?;
            sleep(Duration::from_millis(self.random.u64(..500))).await;
        }
        ballast.free()?;
        self.program.ready(STARTS).await.map(|_| ()).map_err(anyhow::Error::msg)
    }

    /// Waits until everything has come to its end; `kills` strike meanwhile.
    pub async fn settle(&mut self, mut kills: u64, limit: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(ended) = self.program.ended() {
                bail!("{ended}");
            }
            let looked = Instant::now();
            let left = block_in_place(|| self.left())?;
            if left.is_empty() && kills == 0 {
                return Ok(());
            }
            if begun.elapsed() > limit {
                bail!("after {limit:?} not everything has come to its end: {}", left.join(", "));
            }
            if kills > 0 {
                kills -= 1;
                self.kill().await?;
            }
            sleep(looked.elapsed().max(Duration::from_millis(200))).await;
        }
    }

    /// What is still to come.
    fn left(&self) -> anyhow::Result<Vec<String>> {
        let archive = archive(self.place.data())?;
        let findings = check::check(&archive).map_err(|error| anyhow!("the log cannot be checked: {error}"))?;
        let under_way = archive.under_way()?;
        let counts = [
            (findings.orders_under_way, "orders"),
            (findings.sagas_under_way, "sagas"),
            (findings.open_payments, "open payments"),
            (under_way.calls as u64, "open calls"),
            (under_way.unread, "unread messages"),
            (u64::from(!carrier::open(&self.carrier).is_done()), "carrier on its way"),
        ];
        Ok(counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect())
    }
}

/// How the shop is started: this program, as a shop that poison can reach.
fn command(
    settings: &Settings,
    place: &Place,
    address: SocketAddr,
    [provider, carrier]: [String; 2],
    mended: Arc<AtomicBool>,
) -> anyhow::Result<impl Fn() -> Command + Send + Sync + 'static> {
    let program: PathBuf = match &settings.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().context("this program's own file is not to be found")?,
    };
    let (data, seed, poison) = (place.data(), settings.seed.to_string(), settings.poison.to_string());
    Ok(move || {
        let mut command = Command::new(&program);
        command.arg("chaos-shop").arg("--data").arg(&data).args(["--listen", &address.to_string()]);
        command.args(["--provider", &provider, "--carrier", &carrier, "--patience", PATIENCE]);
        command.args(["--answer-within", &format!("{}ms", ANSWER_WITHIN.as_millis())]);
        command.args(["--seed", &seed, "--poison", &poison]).env("SHOP_CARRIER_SECRET", SECRET);
        if mended.load(Ordering::Relaxed) {
            command.arg("--mended");
        }
        command
    })
}

/// Serves a partner at an address of its own.
async fn serve(router: Router, served: &mut JoinSet<()>) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    served.spawn(async {
        // It serves as long as the stage stands.
        let _ = axum::serve(listener, router).await;
    });
    Ok(url)
}

/// The carrier works, and tells its news until the shop has heard them.
async fn tell_news(desk: carrier::Desk, client: Client, secret: Secret) {
    let (client, secret) = (Arc::new(client), Arc::new(secret));
    let mut telling = JoinSet::new();
    loop {
        for news in carrier::open(&desk).drive(Timestamp::now()) {
            let (desk, client, secret) = (desk.clone(), client.clone(), secret.clone());
            telling.spawn(async move {
                let body = news.body();
                let signature = secret.sign(body.as_bytes());
                let heard = client.post("/carrier/news", &body, &[(HEADER, &signature)], &body).await;
                // News that nobody hears stay open, and the run says so.
                if heard.is_ok_and(|answer| answer.status == 202) {
                    carrier::open(&desk).was_heard(&news);
                }
            });
        }
        while telling.try_join_next().is_some() {}
        sleep(LOOK).await;
    }
}
