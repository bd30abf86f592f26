//! Fields that tell of a person without a word of whom, and a command that nobody else may send.

use factum_macros::{Command, Event};

#[derive(Event)]
#[event("guest.noted")]
struct NoSubject {
    #[personal]
    name: String,
}

#[derive(Event)]
#[event("guest.noted")]
struct OtherField {
    #[personal(subject = guest)]
    name: String,
}

#[derive(Event)]
#[event("guest.noted")]
struct OfItself {
    #[personal(subject = name)]
    name: String,
}

#[derive(Event)]
#[event("guest.noted")]
struct OtherOption {
    guest: String,
    #[personal(of = guest)]
    name: String,
}

#[derive(Command)]
#[command("guest.note", own)]
struct OwnCommand {
    guest: String,
}

fn main() {}
