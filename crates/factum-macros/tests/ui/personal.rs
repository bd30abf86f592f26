//! Fields that tell of a person without a word of whom.

use factum_macros::Event;

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

fn main() {}
