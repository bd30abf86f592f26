//! Moving the data of an app that is stopped.

use factum_core::{error::StoreError, moving::Marks};
use factum_runtime::moving::{Hear, Relocated};
use serde::Serialize;

use super::{places, transfer, whole};
use crate::{location::Location, wiring};

/// Moves an app's data to another place, which is new or empty, or the one that they have come from once. Ended at any point, by
/// an error or a kill, it goes on when it is called again; or see [`give_up`].
///
/// On return all is at the target, durable and compared; the source is sealed. `None` if that was so already.
///
/// # Errors
/// [`StoreError`] if an app runs on either, one of the places makes no sense, the source is damaged or has moved elsewhere, or the
/// stores fail; or what `hear` says.
pub fn relocate(
    from: impl Into<Location>,
    to: impl Into<Location>,
    hear: Hear<'_>,
) -> Result<Option<Relocated>, StoreError> {
    let (from, to) = (whole(&from.into())?, whole(&to.into())?);
    let places = places(&from, &to)?;
    let marks = wiring::marks(&from)?;
    match &marks {
        Marks { moved: Some(other), .. } if *other != places.to => marks.check(&places.from)?,
        Marks { moved: None, arriving: Some(_) } => marks.check(&places.from)?,
        _ => {}
    }
    let mut source = wiring::moving(&from, None)?;
    let reader = source.reader();
    if source.marks().moved.is_some() && !wiring::marks(&to)?.takes_in() {
        let there = wiring::read_only_if_any(&to).map_err(super::plain)?;
        return match there.filter(|there| there.lineage() == reader.lineage()) {
            Some(_) => Ok(None),
            None => source.marks().check(&places.from).map(|()| None),
        };
    }
    let transfer = transfer(&*reader, &to, &places, hear)?;
    let moved = transfer.finish(&mut *source, &mut || wiring::take_along(&from, &to), hear)?;
    Ok(Some(moved))
}

/// What was undone of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GaveUp {
    /// Whether the source was sealed, and is not any more.
    pub unsealed: bool,
    /// Whether something had arrived at the target. What it had before the move, if it was the source of an earlier one, stays.
    pub removed: bool,
}

/// Gives up a move that has not come to its end: the source is as before, what has arrived at the target is removed.
///
/// # Errors
/// [`StoreError::Permanent`] if the target has been the unit since: then the way is to move back; or an app runs there. Else as the
/// stores say.
pub fn give_up(from: impl Into<Location>, to: impl Into<Location>) -> Result<GaveUp, StoreError> {
    let (from, to) = (whole(&from.into())?, whole(&to.into())?);
    let places = places(&from, &to)?;
    let (here, there) = (wiring::marks(&from)?, wiring::marks(&to)?);
    let arrives = there.arriving.as_ref() == Some(&places.from);
    let is_sealed = here.moved.as_ref() == Some(&places.to) && !here.takes_in();
    if is_sealed && !arrives {
        return Err(StoreError::Permanent(format!(
            "{to} is whole and may have been written to since: nothing is given up any more; to go back: `factum move --from {to} \
             --to {from}`"
        )));
    }
    if is_sealed {
        let mut source = wiring::moving(&from, None)?;
        let head = source.reader().head();
        // First, so that whatever happens one of them is whole.
        source.mark(&Marks::default(), head)?;
    }
    if arrives {
        abandon(&to)?;
    }
    Ok(GaveUp { unsealed: is_sealed, removed: arrives })
}

/// Removes what has arrived; what was sealed there before stays so.
pub(super) fn abandon(to: &Location) -> Result<(), StoreError> {
    let marks = wiring::marks(to)?;
    if marks.moved.is_none() {
        return wiring::remove_arriving(to);
    }
    let mut target = wiring::moving(to, None)?;
    let head = target.reader().head();
    target.mark(&Marks { arriving: None, ..marks }, head)
}
