//! The shop as a server: one place of data, one address, until it is told to stop.

use std::{
    fmt::Display,
    future::Future,
    io::{Write, stdout},
    net::SocketAddr,
    pin::pin,
    time::Duration,
};

use anyhow::bail;
use axum::Router;
use factum::{
    App, AppBuilder, MovePhase, MoveProgress, OpenError, Standby,
    http::{self, client::Remote},
    prelude::Service,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    contracts::process::Process,
    data::Data,
    import::settle,
    loyalty::reactions::Policy,
    notification::gateway::Channels,
    partners::{Partners, are_recorded, refuse_another_process, refuse_others},
    plain::plain,
    services::{Options, Part, archive_if_any, defined, equipped, open},
    shipping::signature::Secret,
};

/// How long a start is silent before it says for whom it waits.
const WAITS: Duration = Duration::from_secs(1);
/// How long requests under way are waited for when the data go over to another place.
const ENDS: Duration = Duration::from_millis(300);
/// How long a process that led waits before it leads again.
const AGAIN: Duration = Duration::from_millis(500);

/// What is served, and where.
#[derive(Clone, Debug)]
pub struct Serve {
    /// The data; made if they are missing.
    pub data: Data,
    /// The address, which must be a loopback one.
    pub listen: SocketAddr,
    /// How long the simulated carrier's day takes.
    pub day: Duration,
    /// Where the payment provider is; without it, it is simulated.
    pub provider: Option<Remote>,
    /// Where the carrier is; without it, it is simulated.
    pub carrier: Option<Remote>,
    /// What the carrier signs its news with; needed if there is one.
    pub carrier_secret: Option<Secret>,
    /// Whether the payment provider lists its payments, so that ours are compared with them at night.
    pub provider_lists: bool,
    /// How long an order waits for a provider or a carrier that does not answer, before it is undone.
    pub patience: Duration,
    /// How long the provider and the carrier may take to answer a request.
    pub answer_within: Duration,
    /// How an order is run.
    pub process: Process,
    /// Who brings notifications; those without an address are simulated.
    pub channels: Channels,
    /// How long nobody changes a cart before it is abandoned.
    pub abandon_carts: Duration,
    /// Provider and carrier are those of before, at other addresses.
    pub moved: bool,
    /// Start also if streams hold events that this program cannot read, and hold those streams.
    pub hold_unknown: bool,
    /// When orders bring points.
    pub points: Policy,
    /// The part of the shop that is served, if it is one of several units.
    pub part: Option<Part>,
}

/// Serves until Ctrl-C or SIGTERM, then stops in order: no more requests, then the loops.
///
/// # Errors
/// A sentence that says what to change: the address is taken or reachable from outside, another process has the
/// data, it was run with other partners and waits for them, or in another way and has orders under way, a carrier has no
/// secret, or the data is damaged.
pub async fn serve(options: Serve) -> anyhow::Result<()> {
    serve_beside(options, None).await
}

/// Makes a further service, at each start.
pub type Beside = Box<dyn Fn() -> Service + Send + Sync>;

/// The same, with a further service.
///
/// # Errors
/// As [`serve`].
pub async fn serve_beside(options: Serve, beside: Option<Beside>) -> anyhow::Result<()> {
    // Heard from the start, so that a stop is in order however early it comes.
    let stop = stop_signal()?;
    run(options, beside, stop).await
}

/// The same, until `stop` is ready.
///
/// # Errors
/// As [`serve`].
pub async fn serve_until(options: Serve, stop: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
    run(options, None, stop).await
}

async fn run(
    options: Serve,
    beside: Option<Beside>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    if options.carrier.is_some() && options.carrier_secret.is_none() {
        bail!(
            "the carrier signs its news, so give the secret that you share with it: --carrier-secret FILE, or the variable \
             SHOP_CARRIER_SECRET (`openssl rand -hex 32` makes one)"
        );
    }
    let listener = http::listen(options.listen).await?;
    let address = listener.local_addr()?;
    let mut options = options;
    options.data.stores = options.data.stores.led_by(format!("http://{address}"));
    let mut standby = Standby::over(options.data.stores.clone());
    let mut door = Door::new(listener, standby.router());
    let (mut stop, mut goes_over) = (pin!(stop), false);
    loop {
        let in_directory = options.data.place().directory().is_some();
        tokio::select! {
            biased;
            free = until_free(&standby, &options, beside.as_ref(), &mut door), if !goes_over => free?,
            () = &mut stop => return door.close().await,
            () = std::future::ready(()), if goes_over => {}
        }
        let opened = match std::mem::take(&mut goes_over) {
            true => built(open(&options.data)?, &options, beside.as_ref()).start().await.map_err(Into::into),
            false => opened(&options, beside.as_ref(), address).await,
        };
        let app = match opened {
            Ok(app) => app,
            // One that waited, too, was faster, or the database went away.
            Err(error) if !in_directory && error.downcast_ref::<OpenError>().is_some_and(OpenError::may_pass) => {
                tracing::info!(%error, "this process does not lead the shop yet");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        door.open(http::guarded(app.router()));
        say_where(&app);
        let ended = tokio::select! {
            () = &mut stop => None,
            ended = door.ended() => return ended,
            switch = app.due_to_move() => {
                door.routes.hold(ENDS).await;
                // What is defined beside the data stays where it is.
                options.data.definitions = options.data.definitions();
                options.data.stores = switch.carry_out().await;
                standby = Standby::over(options.data.stores.clone());
                goes_over = true;
                continue;
            }
            // In a directory only a new start of the program helps, and health says so.
            reason = app.failed(), if !in_directory => Some(reason),
        };
        let Some(reason) = ended else {
            let closed = door.close().await;
            say("stopping: what was accepted is being carried out");
            app.stop().await;
            say(format_args!("stopped at position {}", app.position().0));
            return closed;
        };
        door.open(standby.router());
        app.stop().await;
        say(format_args!("this process does not lead the shop any more ({reason}); it waits to lead again"));
        tokio::time::sleep(AGAIN).await;
    }
}

/// Waits until nobody leads the shop. Who reads meanwhile is answered here, where rows and log can be read beside the leader; who
/// wants more is told who leads.
async fn until_free(
    standby: &Standby,
    options: &Serve,
    beside: Option<&Beside>,
    door: &mut Door,
) -> anyhow::Result<()> {
    let (mut free, mut follows) = (pin!(standby.free()), None);
    let free = loop {
        tokio::select! {
            free = &mut free => break free,
            () = tokio::time::sleep(WAITS), if follows.is_none() => {
                let Some(leader) = standby.leader() else { continue };
                if !door.is_open() {
                    say(format_args!("{leader} leads the shop; this process waits to take over, and says so at /health"));
                    door.open(standby.router());
                }
                match followed(standby, options, beside).await {
                    Ok(Some(app)) => {
                        door.open(standby.reading(app.router()));
                        follows = Some(app);
                    }
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, "the shop cannot be read beside its leader yet"),
                }
            }
        }
    };
    if let Some(app) = follows {
        door.open(standby.router());
        app.stop().await;
    }
    Ok(free?)
}

/// What became of a move.
fn say_where(app: &App) {
    let MoveProgress { phase, to: Some(to), of, longest_pause_ms, error, .. } = app.move_progress() else { return };
    match (phase, error) {
        (MovePhase::Moved, _) => say(format_args!(
            "the shop has moved to {to}: {of} messages, all compared; it stood still for {longest_pause_ms} ms. From the next start on \
             it is there: store = \"{to}\""
        )),
        (_, Some(error)) => say(format_args!("the shop has not moved to {to}, and goes on where it was: {error}")),
        _ => {}
    }
}

/// The shop as it is read while another process leads it.
async fn followed(standby: &Standby, options: &Serve, beside: Option<&Beside>) -> anyhow::Result<Option<App>> {
    let Some(builder) = standby.follow().await? else { return Ok(None) };
    Ok(Some(built(defined(builder, &options.data)?, options, beside).start().await?))
}

/// With all services of the shop.
fn built(builder: AppBuilder, options: &Serve, beside: Option<&Beside>) -> AppBuilder {
    let settings = Options {
        provider: options.provider.clone(),
        carrier: options.carrier.clone(),
        carrier_secret: options.carrier_secret.clone().filter(|_| options.carrier.is_some()),
        patience: options.patience,
        answer_within: options.answer_within,
        process: options.process,
        declines: 0.0,
        hold_suspicious: true,
        day: options.day,
        latency: Duration::ZERO,
        points: options.points,
        channels: options.channels.clone(),
        provider_lists: options.provider_lists,
        cart_abandoned_after: options.abandon_carts,
        part: options.part.clone(),
    };
    let builder = equipped(builder, &settings);
    let builder = beside.into_iter().fold(builder, |builder, beside| builder.with(beside()));
    if options.hold_unknown { builder.hold_unknown() } else { builder }
}

/// The shop, running; its data is led by nobody else.
async fn opened(options: &Serve, beside: Option<&Beside>, address: SocketAddr) -> anyhow::Result<App> {
    let partners = Partners::of(options.provider.as_ref(), options.carrier.as_ref()).run(options.process);
    if !options.moved {
        refuse_others(&options.data, &partners)?;
    }
    let left = bring_to_rest(options).await?;
    refuse_another_process(&options.data, options.process, left)?;
    let builder = built(open(&options.data)?, options, beside);
    // What stands there already is not written again: a shop also opens while its disk is full.
    let are_recorded = are_recorded(&options.data, &partners)?;
    let app = builder.start().await?;
    if !are_recorded {
        app.execute(partners.choose()).await?;
    }
    say(greeting(options, &partners, address, app.health().durability));
    Ok(app)
}

/// The server, from when there is something to serve.
struct Door {
    listener: Option<TcpListener>,
    routes: http::Exchange,
    stop: watch::Sender<bool>,
    server: Option<JoinHandle<Result<(), http::ServeError>>>,
}

impl Door {
    fn new(listener: TcpListener, routes: Router) -> Self {
        let (routes, stop) = (http::Exchange::new(routes), watch::Sender::new(false));
        Self { listener: Some(listener), routes, stop, server: None }
    }

    /// Whether anything is served.
    fn is_open(&self) -> bool {
        self.server.is_some()
    }

    /// Serves these routes from now on.
    fn open(&mut self, routes: Router) {
        self.routes.set(routes);
        if let Some(listener) = self.listener.take() {
            let mut stopped = self.stop.subscribe();
            let stopped = async move { _ = stopped.wait_for(|stop| *stop).await };
            let routes = self.routes.clone();
            self.server = Some(tokio::spawn(async move { http::serve_exchanged(listener, &routes, stopped).await }));
        }
    }

    /// Ready when the server has ended by itself.
    async fn ended(&mut self) -> anyhow::Result<()> {
        match &mut self.server {
            Some(server) => Ok(server.await??),
            None => std::future::pending().await,
        }
    }

    /// No more requests; those under way end.
    async fn close(mut self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        match self.server.take() {
            Some(server) => Ok(server.await??),
            None => Ok(()),
        }
    }
}

/// A shop does its work also if nobody hears what it says.
fn say(text: impl Display) {
    let _ = writeln!(stdout().lock(), "{text}");
}

/// An import that was cut off lives on the file's time: what is under way of it is carried out there, before the shop meets
/// the present. If that cannot be, it is told, and the shop opens all the same in the way of that import, which is the answer.
async fn bring_to_rest(options: &Serve) -> anyhow::Result<Option<Process>> {
    match settle::set_aside(&options.data, "the shop was opened", options.hold_unknown).await {
        Ok(imports) => {
            for import in imports {
                say(format_args!(
                    "the import of {} is not finished: its {} invoices were carried out, the rest is set aside\n  \
                     to take it too  shop import <FILE> --data {} --declines {} --resume",
                    plain(&import.file),
                    import.invoices,
                    options.data,
                    import.manner.declines
                ));
            }
            Ok(None)
        }
        Err(error) => {
            tracing::warn!(error = %format!("{error:#}"), "an unfinished import could not be brought to rest");
            let Some(archive) = archive_if_any(&options.data)? else { return Ok(None) };
            Ok(settle::unfinished(&archive)?.first().map(|import| import.manner.process))
        }
    }
}

fn greeting(options: &Serve, partners: &Partners, address: SocketAddr, durability: &str) -> String {
    let data = &options.data;
    let durable = match durability {
        "sync" => "what is answered survives a power cut",
        "os" => "what is answered survives a crash of the program, not a power cut",
        _ => "what is answered is gone with the process",
    };
    let Partners { provider, carrier, process } = partners;
    let [mail, sms, push] = options.channels.addresses().map(|(_, address)| address);
    if let Some(part) = &options.part {
        let services = part.services.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        return format!(
            "the unit {} of the shop is open at http://{address}
  services    {services}
  data        {data}
  durability  {durability}: {durable}
  how it is   curl http://{address}/health
stop it with Ctrl-C; what was accepted is carried out first",
            part.unit
        );
    }
    let json = " -H 'Content-Type: application/json'";
    format!(
        "the shop is open at http://{address}
  data        {data}
  durability  {durability}: {durable}
  provider    {provider}
  carrier     {carrier}
  process     {process}
  mail        {mail}; texts {sms}; pushes {push}
  a product   curl -X PUT http://{address}/products/TEA -d '{{\"name\":\"Tea\",\"price\":\"2.55\"}}'{json}
  its stock   curl http://{address}/stock/TEA/receive -d '{{\"quantity\":100}}'{json}
  an order    curl -i http://{address}/orders -d '{{\"items\":[{{\"sku\":\"TEA\",\"quantity\":2}}]}}'{json}
  its way     curl http://{address}/orders
  its mails   curl 'http://{address}/notifications?order=<ID>'
  how it is   curl http://{address}/health
  what failed curl http://{address}/factum/v1/letters
              factum letters list http://{address}
stop it with Ctrl-C; what was accepted is carried out first"
    )
}

/// Ready at the first Ctrl-C or SIGTERM.
#[cfg(unix)]
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ready at the first Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "Ctrl-C cannot be heard; end the process to stop");
            std::future::pending().await
        }
    })
}
