//! Two partners at once: what one that fails three times in ten costs the other that is well.

use std::{
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::ensure;
use factum::{App, envelope::Envelope, prelude::*};

use crate::{
    figure::Figure,
    machine::{Times, bare_disk},
};

/// Requests a second to each of them.
const RATE: usize = 200;
/// How long each of them takes to answer.
const ANSWERS: Duration = Duration::from_millis(5);
/// Of ten attempts at the one that is ill so many fail.
const FAILING: u8 = 3;
/// Rounds alone and rounds beside, in turns.
const ROUNDS: usize = 3;
/// A commit of this work, about.
const WRITTEN: usize = 1 << 10;

const WELL: CallTo<Asked, Told> = CallTo::new("well");
const ILL: CallTo<Asked, Told> = CallTo::new("ill");

/// When the answers of the one that is well were taken, by number.
static TAKEN: Mutex<Vec<Option<Instant>>> = Mutex::new(Vec::new());

/// Something was asked of a partner.
#[derive(Event, Clone, Debug)]
#[event("request.asked")]
struct Asked {
    number: usize,
    well: bool,
}

/// Asks something of a partner.
#[derive(Command, Clone, Debug)]
#[command("request.ask")]
struct Ask {
    number: usize,
    well: bool,
}

/// What the partner said.
#[derive(Command, Clone, Debug)]
#[command("request.tell")]
struct Told {
    number: usize,
    well: bool,
}

#[derive(Command)]
enum RequestCommand {
    Ask(Ask),
    Tell(Told),
}

#[derive(Default)]
struct Request;

impl Decider for Request {
    const CATEGORY: &'static str = "request";
    type Id = String;
    type Command = RequestCommand;
    type Event = Asked;
    type Rejection = Never;

    fn address(command: &RequestCommand, _: &Envelope) -> String {
        match command {
            RequestCommand::Ask(Ask { number, well }) | RequestCommand::Tell(Told { number, well }) => {
                format!("{well}-{number}")
            }
        }
    }

    fn decide(&self, _: &String, command: RequestCommand, _: &Context) -> Result<Vec<Asked>, Never> {
        match command {
            RequestCommand::Ask(Ask { number, well }) => Ok(vec![Asked { number, well }]),
            RequestCommand::Tell(Told { number, well }) => {
                let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if let Some(at) = taken.get_mut(number).filter(|_| well) {
                    *at = Some(Instant::now());
                }
                Ok(vec![])
            }
        }
    }

    fn evolve(&mut self, _: &Asked) {}
}

fn ask(event: &Recorded<'_, Asked>, fx: &mut Effects) {
    fx.call(if event.well { WELL } else { ILL }, event.data.clone());
}

async fn answer(call: Call<Asked>) -> Answer<Told> {
    tokio::time::sleep(ANSWERS).await;
    let Asked { number, well } = call.request;
    match !well && fastrand::u8(..10) < FAILING {
        true => Answer::Again("out of order".to_owned(), None),
        false => Answer::Done(Told { number, well }),
    }
}

async fn open(dir: &Path) -> anyhow::Result<App> {
    let gave_up = |request: Asked, _: &str| Told { number: request.number, well: request.well };
    let call = |to| CallSpec::new(to, answer, gave_up).retry(exp(200.ms(), 2.0).max(8)).window(64);
    let requests = Service::new("requests")
        .decider::<Request>()
        .reaction(Reaction::new("ask", ask).calls(WELL).calls(ILL))
        .call(call(WELL))
        .call(call(ILL));
    Ok(App::open(dir)?.with(requests).start().await?)
}

/// The figure, in fresh directories below `dir`.
///
/// # Errors
/// If the engine fails or an answer is not taken.
pub async fn run(dir: &Path, each: Duration) -> anyhow::Result<()> {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..2 * ROUNDS {
        let with_ill = round % 2 == 1;
        let below = dir.join(format!("partners-{round}"));
        let app = open(&below).await?;
        let times = requests(&app, each, with_ill).await?;
        app.stop().await;
        drop(app);
        std::fs::remove_dir_all(&below)?;
        if with_ill { &mut beside } else { &mut alone }.extend(times);
    }
    let (alone, beside) = (Times::of(alone), Times::of(beside));
    Figure::new(format!("{RATE}/s to a partner beside one that fails 3 of 10"), beside.ms(0.99), "ms p99")
        .synced(40.0, None, bare_disk(dir, WRITTEN)?, None)
        .with("p50_ms", beside.ms(0.5))
        .with("alone_p50_ms", alone.ms(0.5))
        .with("alone_p99_ms", alone.ms(0.99))
        .with("ratio_p50", beside.ms(0.5) / alone.ms(0.5))
        .with("ratio_p99", beside.ms(0.99) / alone.ms(0.99))
        .print()
}

/// Asks the one that is well at a steady rate, and the other too if wanted: from the moment a request was due until the
/// answer was taken.
async fn requests(app: &App, each: Duration, with_ill: bool) -> anyhow::Result<Vec<Duration>> {
    let count = RATE * usize::try_from(each.as_secs())?;
    *TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = vec![None; count];
    let (start, mut asked) = (tokio::time::Instant::now(), Vec::new());
    let due = |number: usize| start + Duration::from_secs_f64(number as f64 / RATE as f64);
    for number in 0..count {
        tokio::time::sleep_until(due(number)).await;
        for well in [true, false].into_iter().filter(|well| *well || with_ill) {
            let app = app.clone();
            asked.push(tokio::spawn(async move { app.execute(Ask { number, well }).await }));
        }
    }
    for asked in asked {
        asked.await??;
    }
    let latest = Instant::now() + Duration::from_secs(10);
    loop {
        let taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let times: Option<Vec<Duration>> = taken
            .iter()
            .enumerate()
            .map(|(number, at)| Some(at.as_ref()?.saturating_duration_since(due(number).into_std())))
            .collect();
        if let Some(times) = times {
            return Ok(times);
        }
        ensure!(Instant::now() < latest, "an answer of the partner that is well was not taken in 10 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
