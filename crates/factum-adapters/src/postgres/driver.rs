//! The thread that drives the asynchronous client, and sessions on it.

use std::{
    future::{Future, poll_fn},
    sync::{Arc, OnceLock, mpsc},
};

use factum_core::error::StoreError;
use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
};
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{CONNECT, Options, address::Address, error, schema};

/// The thread.
pub(super) struct Driver {
    /// Taken only at the end.
    runtime: Option<Runtime>,
    connector: Connector,
    /// The unit's.
    pub(super) schema: String,
}

impl Driver {
    pub(super) fn new(url: &str, options: &Options) -> Result<Self, StoreError> {
        let (connector, schema) = Connector::new(url, options)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("factum-postgres")
            .enable_all()
            .build()
            .map_err(|error| StoreError::Transient(format!("no thread for the database: {error}")))?;
        Ok(Self { runtime: Some(runtime), connector, schema })
    }

    /// Waits for what runs on the thread.
    ///
    /// # Errors
    /// [`StoreError::Transient`] if the thread has ended.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = || StoreError::Transient("the thread of the database has ended".to_owned());
        let (tell, told) = mpsc::sync_channel(1);
        self.runtime.as_ref().ok_or_else(gone)?.spawn(async move {
            // Nobody goes before it is told.
            let _ = tell.send(work.await);
        });
        told.recv().map_err(|_| gone())
    }

    /// A new session, with our settings.
    pub(super) fn connect(&self) -> Result<Arc<Client>, StoreError> {
        let connector = self.connector();
        self.wait(async move { connector.connect().await })?
    }

    /// What makes sessions on the thread.
    pub(super) fn connector(&self) -> Connector {
        self.connector.clone()
    }
}

/// Makes sessions.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    settings: String,
    /// Where the log is, once it is known.
    place: Arc<OnceLock<String>>,
}

impl Connector {
    /// To what a URL names, and the unit's schema there.
    pub(super) fn new(url: &str, options: &Options) -> Result<(Self, String), StoreError> {
        let Address { url, schema, tls } = Address::parse(url)?;
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            StoreError::Permanent(format!(
                "the URL of the database cannot be read ({}): write postgres://user:password@host:port/database",
                error::sentence(&error)
            ))
        })?;
        let (mode, tls) = tls.connector()?;
        config.ssl_mode(mode).application_name(&options.application).connect_timeout(CONNECT);
        let settings = format!(
            "SET synchronous_commit = on; SET search_path = {}; SET statement_timeout = {}; \
             SET idle_in_transaction_session_timeout = {}; SET client_min_messages = warning",
            quoted(&schema),
            options.statement.as_millis(),
            // Who stands still in the middle of a commit lets go of it in time for another one to lead.
            options.lease.as_millis(),
        );
        Ok((Self { config, tls, settings, place: Arc::default() }, schema))
    }

    /// From now on sessions are made only where the log is at this place: at another one what this process knows of it may not be
    /// true, and what it would write of that may not be right.
    pub(super) fn stays_at(&self, place: String) {
        // It is said once.
        let _ = self.place.set(place);
    }

    /// A new session, with our settings.
    pub(super) async fn connect(&self) -> Result<Arc<Client>, StoreError> {
        self.connect_and_hear(Arc::default()).await
    }

    /// The same; each notification rings the bell, and so does the session's end.
    pub(super) async fn connect_and_hear(&self, bell: Arc<Notify>) -> Result<Arc<Client>, StoreError> {
        let connected = tokio::time::timeout(CONNECT, self.config.connect(self.tls.clone())).await;
        let (client, mut connection) = connected
            .map_err(|_| StoreError::Transient(format!("the database does not answer within {CONNECT:?}")))?
            .map_err(error::at_open)?;
        tokio::spawn(async move {
            while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                match message {
                    Ok(AsyncMessage::Notification(_)) => bell.notify_one(),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(error = error::sentence(&error), "a session with the database has ended");
                        break;
                    }
                }
            }
            bell.notify_one();
        });
        client.batch_execute(&self.settings).await.map_err(error::at_open)?;
        if let Some(place) = self.place.get()
            && schema::place(&client).await? != *place
        {
            let problem = "the database was restored, or has failed over, since this process began: it must begin anew";
            return Err(StoreError::Fenced(problem.to_owned()));
        }
        Ok(Arc::new(client))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // It may be dropped on another runtime's thread, where waiting is forbidden.
            runtime.shutdown_background();
        }
    }
}

/// A name in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
