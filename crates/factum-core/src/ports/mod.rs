//! What the outside must provide. Each port's documentation is the contract that the conformance suite runs.

pub mod backend;
pub mod clock;
pub mod ids;
pub mod notes;
pub mod rows;
pub mod snapshots;
pub mod transport;

pub use backend::{Backend, Judge, Lease, Others, Reader, Scan, Scanned, Written};
pub use clock::Clock;
pub use ids::IdSource;
pub use notes::{Note, Notes};
pub use rows::{Page, Query, RowChange, RowReader, RowStore, TableBatch, TableKeys, TableSpec};
pub use snapshots::{MAX_STATE_BYTES, SnapshotError, Snapshots};
pub use transport::{Transport, TransportError};
