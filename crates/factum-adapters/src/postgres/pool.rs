//! Sessions with the database, as many as there may be, for whoever reads.

use std::{
    collections::HashMap,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use factum_core::error::StoreError;
use tokio_postgres::{Client, Error, Statement};

use super::{
    Options,
    address::shown,
    driver::Driver,
    error::{at_open, nothing_written},
    roles::{self, Use},
    schema,
};

/// Sessions at most. More threads than this share them: what one asks stands behind what another has asked.
const SESSIONS: usize = 4;
/// Statements that a session knows: some for each of some dozen tables.
const STATEMENTS: usize = 512;

/// A session with what it asks again and again.
pub(super) trait Pooled: Clone + Send + 'static {
    /// Prepares a new session.
    fn over(client: Arc<Client>) -> impl Future<Output = Result<Self, Error>> + Send;
    /// Whether the server or the line to it has ended it.
    fn is_closed(&self) -> bool;
}

/// The thread, and sessions of one kind on it. Each question is one statement, so that a session may be asked by several at once.
pub(super) struct Pool<S> {
    pub(super) driver: Driver,
    sessions: Mutex<Sessions<S>>,
    made: Condvar,
}

struct Sessions<S> {
    /// Each with as many further owners of the token as ask it now.
    open: Vec<(S, Arc<()>)>,
    /// Those that are being made.
    coming: usize,
}

impl Pool<Derived> {
    /// A schema that is brought to today's version first.
    pub(super) fn of_schema(url: &str, options: &Options, wanted: Use) -> Result<Self, StoreError> {
        let pool = Self::new(Driver::new(url, options)?);
        let (client, schema, connector) = (pool.driver.connect()?, pool.driver.schema.clone(), pool.driver.connector());
        pool.driver.wait(async move {
            schema::check_server(&client).await?;
            schema::migrate(&client, &schema).await?;
            roles::check(&client, &schema, wanted).await?;
            connector.stays_at(schema::place(&client).await?);
            Ok::<_, StoreError>(())
        })??;
        Ok(pool)
    }

    /// A schema that is left as it is, and must be of today's version.
    pub(super) fn of_schema_as_it_is(url: &str, options: &Options) -> Result<Self, StoreError> {
        let pool = Self::new(Driver::new(url, options)?);
        let (client, schema) = (pool.driver.connect()?, pool.driver.schema.clone());
        match pool.driver.wait(async move { schema::is_there(&client, &schema).await })?? {
            true => Ok(pool),
            false => Err(StoreError::Permanent(format!("{} holds no rows", shown(url)))),
        }
    }
}

impl<S: Pooled> Pool<S> {
    pub(super) fn new(driver: Driver) -> Self {
        let sessions = Mutex::new(Sessions { open: Vec::new(), coming: 0 });
        Self { driver, sessions, made: Condvar::new() }
    }

    /// A new session, for one owner.
    pub(super) fn own(&self) -> Result<S, StoreError> {
        let client = self.driver.connect()?;
        self.driver.wait(S::over(client))?.map_err(at_open)
    }

    /// Asks in a session that others may ask too. One in which something failed is not used again: it may be what is wrong.
    pub(super) fn run<T, F>(&self, work: impl FnOnce(S) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let (session, token) = self.session()?;
        let done = self.driver.wait(work(session))?;
        done.map_err(|error| {
            self.lock().open.retain(|(_, known)| !Arc::ptr_eq(known, &token));
            nothing_written(error)
        })
    }

    /// The session that the fewest ask now, or a new one as long as there may be more.
    fn session(&self) -> Result<(S, Arc<()>), StoreError> {
        let mut sessions = self.lock();
        loop {
            sessions.open.retain(|(session, _)| !session.is_closed());
            let is_full = sessions.open.len() + sessions.coming >= SESSIONS;
            let least = sessions.open.iter().min_by_key(|(_, token)| Arc::strong_count(token));
            if let Some(found) = least.filter(|(_, token)| is_full || Arc::strong_count(token) == 1) {
                return Ok(found.clone());
            }
            if !is_full {
                break;
            }
            sessions = self.made.wait(sessions).unwrap_or_else(PoisonError::into_inner);
        }
        sessions.coming += 1;
        drop(sessions);
        let own = self.own();
        let mut sessions = self.lock();
        sessions.coming -= 1;
        self.made.notify_all();
        let made = (own?, Arc::new(()));
        sessions.open.push(made.clone());
        Ok(made)
    }

    fn lock(&self) -> MutexGuard<'_, Sessions<S>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session for what is derived from the log: it prepares statements as they are met, and a commit does not wait for the disk.
/// What a server that crashes loses so, rows with their cursors, is written again from the log.
#[derive(Clone)]
pub(super) struct Derived {
    pub(super) client: Arc<Client>,
    statements: Arc<Mutex<HashMap<String, Statement>>>,
}

impl Pooled for Derived {
    async fn over(client: Arc<Client>) -> Result<Self, Error> {
        client.batch_execute("SET synchronous_commit = off").await?;
        Ok(Self { client, statements: Arc::default() })
    }

    fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

impl Derived {
    /// A statement, prepared when it is asked for first.
    pub(super) async fn statement(&self, sql: &str) -> Result<Statement, Error> {
        if let Some(known) = self.lock().get(sql) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(sql).await?;
        let mut statements = self.lock();
        if statements.len() >= STATEMENTS {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Statement>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins all in their order, so that what they send stands behind each other, and waits for all.
pub(super) async fn in_order<T, F: Future<Output = T>>(work: impl IntoIterator<Item = F>) -> Vec<T> {
    let mut work: Vec<(Pin<Box<F>>, Option<T>)> = work.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        for (future, done) in work.iter_mut().filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *done = Some(value);
            }
        }
        if work.iter().all(|(_, done)| done.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    work.into_iter().filter_map(|(_, done)| done).collect()
}
