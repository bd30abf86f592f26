//! Notes as rows: whoever takes over finds what ended the process before it, on whatever machine it ran.
//!
//! | promise of the port | how it is kept here |
//! |---|---|
//! | answered after any end of the process | the server has it |
//! | cheap | the table is not logged and nothing is synced: a round trip |
//! | unreadable is none | so is what a crash of the server empties |

use std::sync::{Arc, Mutex, PoisonError};

use factum_core::ports::{Note, Notes};
use tokio_postgres::Client;

use super::reader::Shared;

/// The notes of the process that leads in a term; those of one that leads no more are not kept.
pub(super) struct TableNotes {
    shared: Arc<Shared>,
    term: i64,
    client: Mutex<Option<Arc<Client>>>,
}

impl TableNotes {
    pub(super) fn of(shared: Arc<Shared>, term: i64) -> Self {
        Self { shared, term, client: Mutex::default() }
    }

    /// A session, if the server is there.
    fn client(&self) -> Option<Arc<Client>> {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = kept.as_ref().filter(|client| !client.is_closed()) {
            return Some(client.clone());
        }
        *kept = self.shared.pool.driver.connect().ok();
        kept.clone()
    }
}

impl Notes for TableNotes {
    fn get(&self, name: &str) -> Option<Note> {
        let (client, name) = (self.client()?, name.to_owned());
        let read = async move { client.query_opt("SELECT value FROM note WHERE name = $1", &[&name]).await };
        let row = self.shared.pool.driver.wait(read).ok()?.ok()??;
        serde_json::from_slice(row.get(0)).ok()
    }

    fn put(&self, name: &str, note: &Note) {
        let (Ok(value), Some(client)) = (serde_json::to_vec(note), self.client()) else { return };
        let (name, term) = (name.to_owned(), self.term);
        let put = "INSERT INTO note (name, value) SELECT $1, $2 FROM unit WHERE term = $3 \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let put = async move { client.execute(put, &[&name, &value, &term]).await };
        // A note that cannot be written protects nothing and harms nothing.
        if let Ok(Err(error)) = self.shared.pool.driver.wait(put) {
            tracing::debug!(error = super::error::sentence(&error), "a note could not be put");
        }
    }
}
