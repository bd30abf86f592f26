//! Following what others write: a notification wakes, and asking for the position tells.
//!
//! A notification may be lost with its session, and the unit's own commits send none; so the position is asked for several times
//! a second whatever is heard.

use std::{sync::Arc, time::Duration};

use factum_core::{error::StoreError, ports::Others, stream::Position};
use tokio::{sync::Notify, time::timeout};
use tokio_postgres::Client;

use super::{
    CONNECT,
    driver::quoted,
    error::{at_open, nothing_written},
    reader::Shared,
    sabotage,
};

/// The position is asked for at least so often.
const POLL: Duration = Duration::from_millis(250);

/// The channel on which those who write beside a unit ring.
pub(super) fn channel(schema: &str) -> String {
    format!("factum_{schema}")
}

/// A session that listens.
pub(super) struct Listening {
    shared: Arc<Shared>,
    session: Option<Session>,
}

#[derive(Clone)]
struct Session {
    client: Arc<Client>,
    bell: Arc<Notify>,
}

impl Listening {
    pub(super) fn over(shared: Arc<Shared>) -> Self {
        Self { shared, session: None }
    }

    fn listen(&self) -> Result<Session, StoreError> {
        let (connector, channel) = (self.shared.pool.driver.connector(), channel(&self.shared.pool.driver.schema));
        self.shared.pool.driver.wait(async move {
            let bell = Arc::new(Notify::new());
            let client = connector.connect_and_hear(bell.clone()).await?;
            client.batch_execute(&format!("LISTEN {}", quoted(&channel))).await.map_err(at_open)?;
            // What was written before is not waited for.
            bell.notify_one();
            Ok(Session { client, bell })
        })?
    }
}

impl Others for Listening {
    fn wait(&mut self, long: Duration) -> Result<Position, StoreError> {
        let session = match self.session.take().filter(|session| !session.client.is_closed()) {
            Some(session) => session,
            None => self.listen()?,
        };
        let Session { client, bell } = session.clone();
        let asked = self.shared.pool.driver.wait(async move {
            let woken = timeout(long.min(POLL), bell.notified()).await.is_ok();
            if !woken && sabotage::is("notify-trusted") {
                return Ok(0);
            }
            let asked = timeout(CONNECT, client.query_one("SELECT position FROM unit", &[])).await;
            let row = asked.map_err(|_| StoreError::Transient(format!("the database is silent for {CONNECT:?}")))?;
            Ok(row.map_err(nothing_written)?.get::<_, i64>(0) as u64)
        })?;
        let head = asked?;
        self.session = Some(session);
        Ok(Position(self.shared.moved(head)))
    }
}
