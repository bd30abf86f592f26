//! HTTP routes of the room.
