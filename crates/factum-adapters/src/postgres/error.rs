//! What the server says, in the words of the port.

use std::error::Error as _;

use factum_core::error::StoreError;
use tokio_postgres::{
    Error,
    error::{DbError, SqlState},
};

/// An error in one line, without anything of the connection's settings.
pub(super) fn sentence(error: &Error) -> String {
    match error.as_db_error() {
        Some(said) => said.message().to_owned(),
        None => error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
    }
}

/// An error before a commit was sent: nothing was written.
pub(super) fn nothing_written(error: Error) -> StoreError {
    let said = sentence(&error);
    let Some(code) = error.as_db_error().map(DbError::code) else { return StoreError::Transient(said) };
    match code.code().get(..2).unwrap_or_default() {
        "40" | "23" => StoreError::Conflict(said),
        "22" | "54" => StoreError::Unfit(said),
        "XX" if *code != SqlState::INTERNAL_ERROR => StoreError::Corrupt(said),
        _ if *code == SqlState::DISK_FULL => StoreError::Full(said),
        "28" | "3D" | "3F" | "42" => StoreError::Permanent(said),
        // Shutting down, too many sessions, read-only for now, a statement that took too long.
        _ => StoreError::Transient(said),
    }
}

/// Whether a commit that failed so may stand all the same: its answer was lost, or the server ended the session, perhaps behind
/// the commit.
pub(super) fn is_dark(error: &Error) -> bool {
    error.as_db_error().is_none_or(|said| said.code().code().starts_with("57P"))
}

/// An error while a store is opened: what a person must mend says how.
pub(super) fn at_open(error: Error) -> StoreError {
    let said = sentence(&error);
    let Some(code) = error.as_db_error().map(DbError::code) else {
        return StoreError::Transient(format!("the database cannot be reached: {said}"));
    };
    let mend = if code.code().starts_with("28") {
        "check user and password in its URL, and pg_hba.conf on the server"
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        "make it with `createdb`, or name another in the URL"
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        "grant the role CREATE on the database, or let its owner make the schema and grant USAGE and the tables"
    } else {
        return nothing_written(error);
    };
    StoreError::Permanent(format!("the database refuses: {said}: {mend}"))
}
