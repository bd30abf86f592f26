//! The four derives: `Event`, `Command`, `Rejection`, `Row`.
