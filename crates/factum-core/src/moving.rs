//! A store that moves: what is noted of it where it was and where it goes, so that nobody works on half of it.
//!
//! ```text
//!               source      target
//!  copying      (free)      arriving          the app runs on the source
//!  sealed       moved       arriving          nobody runs: going on ends it, giving up takes both marks away
//!  ended        moved       (free)            the app runs on the target; the way back is another move
//! ```
//!
//! A target that was the source of an earlier move bears both marks while it takes in again what it once gave away.

use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// What a store says of a move that it is a part of. Places are as people may see them: without a password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Marks {
    /// It takes in what stands there, and is not whole yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arriving: Option<String>,
    /// All that it had went there, and nothing is written to it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<String>,
}

impl Marks {
    /// Refuses a store that is a part of a move to everybody but that move.
    ///
    /// # Errors
    /// [`StoreError::Permanent`], a sentence that says where the store is now or how the move goes on.
    pub fn check(&self, place: &str) -> Result<(), StoreError> {
        Err(StoreError::Permanent(match self {
            Self { moved: Some(to), .. } => format!(
                "{place} has moved to {to} and takes nothing more: name that place wherever this program is told where its data \
                 is (factum.toml, FACTUM_STORE, a flag)"
            ),
            Self { arriving: Some(from), .. } => format!(
                "{place} takes in what stands in {from}, and is not whole: `factum move --from {from} --to {place}` goes on with \
                 that, and with --give-up gives it up"
            ),
            Self { arriving: None, moved: None } => return Ok(()),
        }))
    }

    /// Whether the move itself may write: it takes in, or is not sealed.
    pub fn takes(&self) -> bool {
        self.takes_in() || self.moved.is_none()
    }

    /// Whether it takes in what stands elsewhere.
    pub fn takes_in(&self) -> bool {
        self.arriving.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_refused_is_told_where_the_store_is() {
        let marks = |arriving: Option<&str>, moved: Option<&str>| Marks {
            arriving: arriving.map(str::to_owned),
            moved: moved.map(str::to_owned),
        };
        assert!(marks(None, None).check("./a").is_ok());
        let told = marks(None, Some("postgres://db/shop")).check("./a").unwrap_err().to_string();
        assert!(told.starts_with("./a has moved to postgres://db/shop and takes nothing more"), "{told}");
        let told = marks(Some("./b"), None).check("./a").unwrap_err().to_string();
        assert!(told.contains("`factum move --from ./b --to ./a` goes on with that"), "{told}");
        // It takes in again what it once gave away: as long as that lasts, it is all over there.
        let told = marks(Some("./b"), Some("./b")).check("./a").unwrap_err().to_string();
        assert!(told.contains("has moved to ./b"), "{told}");
    }
}
