//! What the server says, in the words of the port.

use std::error::Error as _;

use factum_core::error::StoreError;
use tokio_postgres::{
    Error,
    error::{DbError, SqlState},
};

use super::tls;

/// What `at_once.sql` raises.
const OTHERWISE: &str = "FM001";

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
    let said = match mend(code) {
        Some(mend) => format!("{said}: {mend}"),
        None => said,
    };
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

/// What can be done about what passes by itself, or does not.
fn mend(code: &SqlState) -> Option<&'static str> {
    Some(match *code {
        SqlState::QUERY_CANCELED => {
            "it took longer than a statement may, or was ended by hand: look at what the server is about"
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            "it only reads now: look at default_transaction_read_only, and whether this is the primary"
        }
        SqlState::TOO_MANY_CONNECTIONS => {
            "raise max_connections, or end others' sessions: docs/postgres.md counts them"
        }
        SqlState::DISK_FULL => "make room where the server keeps its data",
        SqlState::INSUFFICIENT_PRIVILEGE => "`factum log roles` prints what each role needs",
        _ => return None,
    })
}

/// Whether a commit that failed so may stand all the same: its answer was lost, or the server ended the session, perhaps behind
/// the commit.
pub(super) fn is_dark(error: &Error) -> bool {
    error.as_db_error().is_none_or(|said| said.code().code().starts_with("57P"))
}

/// Whether nothing was written because something is not as was supposed: another leads, a stream ends elsewhere, or others have
/// written beyond the last partition that is there.
pub(super) fn is_otherwise(error: &Error) -> bool {
    error.code().is_some_and(|code| code.code() == OTHERWISE || *code == SqlState::CHECK_VIOLATION)
}

/// An error while a store is opened: what a person must mend says how.
pub(super) fn at_open(error: Error) -> StoreError {
    let said = sentence(&error);
    let Some(code) = error.as_db_error().map(DbError::code) else {
        return match tls::refusal(&error) {
            Some(refusal) => StoreError::Permanent(format!("the database cannot be used: {refusal}")),
            None => StoreError::Transient(format!("the database cannot be reached: {said}")),
        };
    };
    let mend = if code.code().starts_with("28") {
        "check user and password in its URL, sslcert if the server asks for a certificate, and pg_hba.conf on the server"
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        "make it with `createdb`, or name another in the URL"
    } else {
        return nothing_written(error);
    };
    StoreError::Permanent(format!("the database refuses: {said}: {mend}"))
}
