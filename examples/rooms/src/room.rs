//! A room: each night of it is kept for one booking at most.

use std::collections::BTreeMap;

use factum::prelude::*;

/// Published when a night is kept for a booking.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("room.reserved")]
pub struct RoomReserved {
    /// The room.
    pub room: String,
    /// The night, such as `2026-05-01`.
    pub night: String,
    /// For whom.
    pub booking_id: String,
}

/// Published when a night is free again.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("room.released")]
pub struct RoomReleased {
    /// The room.
    pub room: String,
    /// The night.
    pub night: String,
    /// Who gave it back.
    pub booking_id: String,
}

/// Asks for a night; answered by `room.reserved`, or refused.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("room.reserve")]
pub struct ReserveRoom {
    /// The room.
    pub room: String,
    /// The night.
    pub night: String,
    /// For whom.
    pub booking_id: String,
}

/// Gives a night back; answered by `room.released`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("room.release")]
pub struct ReleaseRoom {
    /// The room.
    pub room: String,
    /// The night.
    pub night: String,
    /// Whose it was.
    pub booking_id: String,
}

/// What can happen to a room.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum RoomEvent {
    Reserved(RoomReserved),
    Released(RoomReleased),
}

/// What a room can be asked.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum RoomCommand {
    Reserve(ReserveRoom),
    Release(ReleaseRoom),
}

/// Why not.
#[derive(Debug, Rejection)]
pub enum No {
    /// Somebody else was faster.
    #[rejection("taken", "room {room} is taken on {night}")]
    Taken {
        /// The room.
        room: String,
        /// The night.
        night: String,
    },
    /// The booking was given up before its request came.
    #[rejection("given_up", "the booking was given up before")]
    GivenUp,
}

/// A room's nights, and whose they are; of a booking that was given up, nobody's for good.
#[derive(Default)]
pub struct Room {
    nights: BTreeMap<String, String>,
    given_up: Vec<String>,
}

impl Decider for Room {
    const CATEGORY: &'static str = "room";
    type Id = String;
    type Command = RoomCommand;
    type Event = RoomEvent;
    type Rejection = No;

    fn address(command: &RoomCommand, _: &Envelope) -> String {
        match command {
            RoomCommand::Reserve(c) => c.room.clone(),
            RoomCommand::Release(c) => c.room.clone(),
        }
    }

    fn decide(&self, _: &String, command: RoomCommand, _: &Context) -> Result<Vec<RoomEvent>, No> {
        match command {
            RoomCommand::Reserve(ReserveRoom { room, night, booking_id }) => match self.nights.get(&night) {
                Some(whose) if *whose == booking_id => Ok(Vec::new()),
                Some(_) => Err(No::Taken { room, night }),
                None if self.given_up.contains(&booking_id) => Err(No::GivenUp),
                None => Ok(vec![RoomReserved { room, night, booking_id }.into()]),
            },
            RoomCommand::Release(c) if self.given_up.contains(&c.booking_id) => Ok(Vec::new()),
            RoomCommand::Release(ReleaseRoom { room, night, booking_id }) => {
                Ok(vec![RoomReleased { room, night, booking_id }.into()])
            }
        }
    }

    fn evolve(&mut self, event: &RoomEvent) {
        match event {
            RoomEvent::Reserved(e) => _ = self.nights.insert(e.night.clone(), e.booking_id.clone()),
            RoomEvent::Released(e) => {
                self.given_up.push(e.booking_id.clone());
                if self.nights.get(&e.night) == Some(&e.booking_id) {
                    self.nights.remove(&e.night);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use factum_testing::scenario::given;

    use super::*;

    fn reserve(booking: &str) -> ReserveRoom {
        ReserveRoom { room: "7".into(), night: "2026-05-01".into(), booking_id: booking.into() }
    }

    fn reserved(booking: &str) -> RoomReserved {
        RoomReserved { room: "7".into(), night: "2026-05-01".into(), booking_id: booking.into() }
    }

    #[test]
    fn a_night_is_kept_for_one_booking() {
        given::<Room>(()).when(reserve("a")).then([reserved("a")]).again_changes_nothing();
        given::<Room>([reserved("a")]).when(reserve("b")).then_rejected("taken");
    }

    #[test]
    fn a_night_that_was_given_back_can_be_had_by_others() {
        let released = RoomReleased { room: "7".into(), night: "2026-05-01".into(), booking_id: "a".into() };
        given::<Room>((reserved("a"), released.clone())).when(reserve("b")).then([reserved("b")]);
        given::<Room>([released]).when(reserve("a")).then_rejected("given_up");
    }

    #[test]
    fn what_is_given_back_twice_is_given_back_once() {
        let release = ReleaseRoom { room: "7".into(), night: "2026-05-01".into(), booking_id: "a".into() };
        let released = RoomReleased { room: "7".into(), night: "2026-05-01".into(), booking_id: "a".into() };
        given::<Room>([reserved("a")]).when(release).then([released]).again_changes_nothing();
    }
}
