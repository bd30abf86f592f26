//! The client of a running app's own routes, below `/factum/v1`.

use std::{error::Error, time::Duration};

use factum::{By, letters::Query, plans::Making, sagas};
use reqwest::{Client, Method, Response, StatusCode, Url, header::CONTENT_TYPE, redirect, retry};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::Problem;

/// The longest time until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest time until an answer is there; the app itself gives up earlier.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes that an answer may have: a page of letters, or the largest message, written out.
const MAX_ANSWER_BYTES: usize = 32 << 20;

/// See the module.
pub struct Remote {
    base: Url,
    client: Client,
    runtime: Runtime,
}

/// The app's own no.
#[derive(Debug, Deserialize)]
pub struct Refused {
    /// The word for programs.
    pub code: String,
    /// The sentence for people.
    pub detail: String,
}

impl Remote {
    /// A client; nothing is sent yet.
    pub fn open(base: &Url) -> Result<Self, Problem> {
        let refuse = |error: &dyn Error| Problem::Refused(format!("the client could not be made: {error}"));
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .build()
            .map_err(|error| refuse(&error))?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| refuse(&error))?;
        Ok(Self { base: base.clone(), client, runtime })
    }

    /// A page of letters.
    pub fn letters(&self, query: &Query) -> Result<Value, Problem> {
        self.page("letters", query)
    }

    /// One letter.
    pub fn letter(&self, id: &str) -> Result<Value, Problem> {
        self.done(Method::GET, self.url(&["letters", id]), None)
    }

    /// Does something about a letter. The inner error is the app's no: then nothing was done.
    pub fn act(&self, id: &str, what: &str, by: &By) -> Result<Result<Value, Refused>, Problem> {
        self.ask(Method::POST, self.url(&["letters", id, what]), Some(signed(by)))
    }

    /// A page of open instances of sagas.
    pub fn sagas(&self, query: &sagas::Query) -> Result<Value, Problem> {
        self.page("sagas", query)
    }

    /// One instance, open or ended.
    pub fn saga(&self, id: &str) -> Result<Value, Problem> {
        self.done(Method::GET, self.url(&["sagas", id]), None)
    }

    /// Does something about an instance, or tries it. The inner error is the app's no: then nothing was done.
    pub fn help(&self, id: &str, act: &str, dry: bool, body: Value) -> Result<Result<Value, Refused>, Problem> {
        let mut url = self.url(&["sagas", id, act]);
        if dry {
            url.query_pairs_mut().append_pair("dryRun", "true");
        }
        self.ask(Method::POST, url, Some(body))
    }

    /// All pull groups.
    pub fn groups(&self) -> Result<Value, Problem> {
        self.done(Method::GET, self.url(&["groups"]), None)
    }

    /// One pull group.
    pub fn group(&self, name: &str) -> Result<Value, Problem> {
        self.done(Method::GET, self.url(&["groups", name]), None)
    }

    /// All schedules.
    pub fn schedules(&self) -> Result<Value, Problem> {
        self.done(Method::GET, self.url(&["schedules"]), None)
    }

    /// One schedule.
    pub fn schedule(&self, name: &str) -> Result<Value, Problem> {
        self.done(Method::GET, self.url(&["schedules", name]), None)
    }

    /// Does something about a schedule, and answers how it stands then.
    pub fn tell_schedule(&self, name: &str, act: &str, by: &By) -> Result<Value, Problem> {
        self.done(Method::POST, self.url(&["schedules", name, act]), Some(signed(by)))
    }

    /// All consumers.
    pub fn consumers(&self) -> Result<Value, Problem> {
        self.done(Method::GET, self.url(&["consumers"]), None)
    }

    /// Lets a consumer try again.
    pub fn try_again(&self, name: &str, by: &By) -> Result<Value, Problem> {
        self.done(Method::POST, self.url(&["consumers", name, "try-again"]), Some(signed(by)))
    }

    /// The plans that wait to be approved, or are being carried out.
    pub fn plans(&self) -> Result<Value, Problem> {
        self.done(Method::GET, self.url(&["plans"]), None)
    }

    /// One plan, also when it has ended.
    pub fn plan(&self, id: &str) -> Result<Value, Problem> {
        self.done(Method::GET, self.url(&["plans", id]), None)
    }

    /// Makes a plan, and answers it with what it would do.
    pub fn make_plan(&self, making: &Making, by: &By) -> Result<Value, Problem> {
        let mut body = serde_json::to_value(making)?;
        (body["by"], body["why"]) = (by.who.clone().into(), by.why.clone().into());
        self.done(Method::POST, self.url(&["plans"]), Some(body))
    }

    /// Approves a plan.
    pub fn approve(&self, id: &str, hash: &str, by: &By) -> Result<Value, Problem> {
        let mut body = signed(by);
        body["hash"] = hash.into();
        self.done(Method::POST, self.url(&["plans", id, "approve"]), Some(body))
    }

    /// Takes a plan back.
    pub fn cancel(&self, id: &str, by: &By) -> Result<Value, Problem> {
        self.done(Method::POST, self.url(&["plans", id, "cancel"]), Some(signed(by)))
    }

    /// Begins a move.
    pub fn begin_move(&self, to: &str) -> Result<Value, Problem> {
        self.done(Method::POST, self.url(&["move"]), Some(json!({ "to": to })))
    }

    /// How far a move is.
    pub fn move_progress(&self) -> Result<Value, Problem> {
        self.done(Method::GET, self.url(&["move"]), None)
    }

    /// Gives a move up.
    pub fn give_up_move(&self) -> Result<Value, Problem> {
        self.done(Method::DELETE, self.url(&["move"]), None)
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["factum", "v1"]).extend(path);
        }
        url
    }

    fn page(&self, of: &str, query: &impl Serialize) -> Result<Value, Problem> {
        let mut url = self.url(&[of]);
        // Its fields are those of the address.
        if let Value::Object(fields) = serde_json::to_value(query)? {
            let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            url.query_pairs_mut().extend_pairs(fields.into_iter().map(|(name, value)| (name, text(value))));
        }
        self.done(Method::GET, url, None)
    }

    fn done(&self, method: Method, url: Url, body: Option<Value>) -> Result<Value, Problem> {
        self.ask(method, url, body)?.map_err(|refused| Problem::Refused(refused.detail))
    }

    fn ask(&self, method: Method, url: Url, body: Option<Value>) -> Result<Result<Value, Refused>, Problem> {
        let is_act = method == Method::POST;
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        self.runtime.block_on(async {
            match request.send().await {
                Ok(response) => self.read(response).await,
                Err(error) if error.is_connect() => Err(Problem::Refused(format!(
                    "nothing answers at {}: {}. Is the app running there? If it is stopped, name its data directory",
                    self.base,
                    told(error)
                ))),
                Err(error) => Err(self.cut_off(error, is_act)),
            }
        })
    }

    async fn read(&self, mut response: Response) -> Result<Result<Value, Refused>, Problem> {
        let status = response.status();
        let mut body = Vec::new();
        while let Some(more) = response.chunk().await.map_err(|error| self.cut_off(error, true))? {
            body.extend_from_slice(&more);
            if body.len() > MAX_ANSWER_BYTES {
                return Err(Problem::Refused(format!("the answer of {} is too long: ask for less", self.base)));
            }
        }
        let answer = serde_json::from_slice::<Value>(&body).ok();
        if let Some(answer) = answer.as_ref().filter(|_| status.is_success()) {
            return Ok(Ok(answer.clone()));
        }
        match answer.and_then(|answer| serde_json::from_value::<Refused>(answer).ok()) {
            Some(refused) if refused.code != "no_such_path" => Ok(Err(refused)),
            _ => Err(Problem::Refused(self.stranger(status))),
        }
    }

    fn stranger(&self, status: StatusCode) -> String {
        format!(
            "{} answers {status}, and not as an app with these routes does: is it the right address, and does the app \
             serve `App::router`?",
            self.base
        )
    }

    fn cut_off(&self, error: reqwest::Error, is_act: bool) -> Problem {
        let unknown = if is_act { "; whether it was done is unknown, so look again first" } else { "" };
        Problem::Refused(format!("{} did not answer to the end: {}{unknown}", self.base, told(error)))
    }
}

/// The body of an act.
pub fn signed(by: &By) -> Value {
    json!({ "by": by.who, "why": by.why })
}

/// The innermost cause says the most.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
