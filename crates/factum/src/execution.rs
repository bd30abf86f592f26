//! Commands on their way into an app: one, or several in one commit.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use factum_core::{
    Timestamp,
    envelope::{Draft, digest},
    error::{CommitError, HandlerError, NameError, StoreError},
    id::MessageId,
    payload::Command,
};
use factum_runtime::inbox::{ExecuteError, Receipt, Request};
use serde::Serialize;

use crate::App;

/// How long who is patient waits before it sends again what was not stored.
const AGAIN: Duration = Duration::from_millis(200);

/// A command on its way; await it.
#[must_use = "a command does nothing until it is awaited"]
pub struct Execution<'a> {
    app: &'a App,
    request: Result<Request, ExecuteError>,
    or_busy: bool,
    patience: Duration,
}

impl<'a> Execution<'a> {
    pub(crate) fn of<C: Command>(app: &'a App, command: &C) -> Self {
        Self { app, request: request(command), or_busy: false, patience: Duration::ZERO }
    }

    /// The client's key: sent again under the same key, the command is not carried out a second time and gets the first
    /// receipt, also if it changed nothing. A rejection is not remembered: the same key is decided anew.
    ///
    /// The key is looked for **in the aggregate that the command addresses**, so that a request that is sent again must
    /// address the same one: where it makes the aggregate, derive its id from the key ([`MessageId::derived`]). It is
    /// remembered for 24 hours, as long as it is among the last 1,024 keys of that aggregate, or among the last 64 about
    /// the same thing, where the decider names it ([`Decider::repeat_key`](factum_core::decider::Decider::repeat_key)).
    /// Behind that window the command is carried out again: what must not happen twice for ever, the decider must see in
    /// its state.
    pub fn id(self, id: &str) -> Self {
        self.with(|request| {
            request.id = Some(MessageId::parse(id)?);
            Ok(())
        })
    }

    /// What the client really sent, so that the same key with another body is noticed ([`ExecuteError::IdReused`]). By
    /// default the command itself.
    pub fn body(self, body: &[u8]) -> Self {
        self.with(|request| {
            request.digest = Some(digest(&request.draft.type_name, body));
            Ok(())
        })
    }

    /// When it happened; by default now.
    pub fn at(self, at: Timestamp) -> Self {
        self.with(|request| {
            request.at = Some(at);
            Ok(())
        })
    }

    /// The business transaction that it belongs to; by default its own.
    pub fn correlation(self, id: &str) -> Self {
        self.with(|request| {
            request.correlation_id = Some(MessageId::parse(id)?);
            Ok(())
        })
    }

    /// Who asks.
    pub fn user(self, id: &str) -> Self {
        self.with(|request| {
            request.user_id = Some(Arc::from(id));
            Ok(())
        })
    }

    /// For whom the service works, where one program works for several: 1 to 128 printable bytes. All that follows bears it.
    pub fn tenant(self, name: &str) -> Self {
        self.with(|request| {
            request.tenant = Some(Arc::from(name));
            Ok(())
        })
    }

    /// A JSON object of your own, of at most [`MAX_METADATA_BYTES`](factum_core::commit::MAX_METADATA_BYTES), which the events
    /// that the command makes carry; what follows from them does not. It is no part of what the client sent: the same key
    /// with other metadata gets the first receipt.
    pub fn metadata(self, object: impl Serialize) -> Self {
        self.with(|request| {
            let text = serde_json::to_string(&object);
            let text =
                text.map_err(|error| NameError { what: "metadata", problem: format!("has no JSON: {error}") })?;
            request.metadata = Some(Arc::from(text));
            Ok(())
        })
    }

    /// [`ExecuteError::Busy`] at once instead of waiting for room in the inbox.
    pub fn or_busy(mut self) -> Self {
        self.or_busy = true;
        self
    }

    /// Where the store is away it is sent again until it is there, for so long at most: what was not stored, so that nothing
    /// happens twice. For loaders, whose callers could only do the same.
    pub fn patient(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Request) -> Result<(), NameError>) -> Self {
        self.request = self.request.and_then(|mut request| {
            change(&mut request).map_err(HandlerError::from)?;
            Ok(request)
        });
        self
    }
}

impl<'a> IntoFuture for Execution<'a> {
    type Output = Result<Receipt, ExecuteError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let receipts = send(self.app, vec![self.request?], self.or_busy, self.patience).await?;
            let no_receipt = || ExecuteError::Stopped("it gave no receipt".to_owned());
            receipts.into_iter().next().ok_or_else(no_receipt)
        })
    }
}

/// Commands for one commit.
#[must_use = "commands do nothing until they are executed"]
pub struct Together<'a> {
    app: &'a App,
    requests: Result<Vec<Request>, ExecuteError>,
    key: Option<MessageId>,
    or_busy: bool,
    patience: Duration,
}

impl<'a> Together<'a> {
    pub(crate) fn of(app: &'a App) -> Self {
        Self { app, requests: Ok(Vec::new()), key: None, or_busy: false, patience: Duration::ZERO }
    }

    /// Adds a command that happened at a time. They are decided in the order in which they are added.
    pub fn add<C: Command>(mut self, command: &C, at: Timestamp) -> Self {
        self.requests = self.requests.and_then(|mut requests| {
            let mut request = request(command)?;
            request.at = Some(at);
            requests.push(request);
            Ok(requests)
        });
        self
    }

    /// The client's key for all of them: sent again they get the first receipts, as one request. Other commands, or others
    /// beside them, under the same key are [`ExecuteError::IdReused`]. What a key covers and for how long: [`Execution::id`].
    pub fn id(mut self, id: &str) -> Self {
        match MessageId::parse(id) {
            Ok(key) => self.key = Some(key),
            Err(error) => self.requests = self.requests.and(Err(HandlerError::from(error).into())),
        }
        self
    }

    /// [`ExecuteError::Busy`] at once instead of waiting for room in the inbox.
    pub fn or_busy(mut self) -> Self {
        self.or_busy = true;
        self
    }

    /// Where the store is away it is sent again until it is there, for so long at most: what was not stored, so that nothing
    /// happens twice. For loaders, whose callers could only do the same.
    pub fn patient(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    /// Carries them out.
    ///
    /// # Errors
    /// [`ExecuteError`]: then none was carried out.
    pub async fn execute(self) -> Result<Vec<Receipt>, ExecuteError> {
        let mut requests = self.requests?;
        let Self { app, or_busy, patience, .. } = self;
        let Some(key) = self.key else { return send(app, requests, or_busy, patience).await };
        let text = key.to_string();
        for (index, request) in requests.iter_mut().enumerate() {
            request.id = Some(MessageId::derived(&[&text, &index.to_string()]));
            request.correlation_id = Some(key.clone());
        }
        send(app, requests, or_busy, patience).await.map_err(|error| match error {
            ExecuteError::IdReused(_) => ExecuteError::IdReused(key),
            error => error,
        })
    }
}

fn request<C: Command>(command: &C) -> Result<Request, ExecuteError> {
    Ok(Request::new(Draft::of(command).map_err(HandlerError::from)?))
}

async fn send(
    app: &App,
    requests: Vec<Request>,
    or_busy: bool,
    patience: Duration,
) -> Result<Vec<Receipt>, ExecuteError> {
    let (unit, begun) = (app.unit(), Instant::now());
    let once = async |requests| if or_busy { unit.try_execute(requests).await } else { unit.execute(requests).await };
    while begun.elapsed() < patience {
        match once(requests.clone()).await {
            Err(ExecuteError::Commit(CommitError::Store(StoreError::Transient(_)))) => tokio::time::sleep(AGAIN).await,
            answer => return answer,
        }
    }
    once(requests).await
}
