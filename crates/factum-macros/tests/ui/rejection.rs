//! Rejections without code, with a wrong word, or with unknown fields.

use factum_macros::Rejection;

#[derive(Debug, Rejection)]
enum NoAttribute {
    TooLate,
}

#[derive(Debug, Rejection)]
enum NoSentence {
    #[rejection("too_late")]
    TooLate,
}

#[derive(Debug, Rejection)]
enum OtherWord {
    #[rejection("too_late", "it is too late", fatal)]
    TooLate,
}

#[derive(Debug, Rejection)]
enum BadCode {
    #[rejection("TooLate", "it is too late")]
    TooLate,
}

#[derive(Debug, Rejection)]
enum UnknownField {
    #[rejection("too_late", "the order is {state}")]
    TooLate { status: u8, at: u8 },
}

#[derive(Debug, Rejection)]
enum NoPlace {
    #[rejection("too_late", "the order is {}")]
    TooLate(u8),
}

#[derive(Debug, Rejection)]
enum NoFields {
    #[rejection("too_late", "the order is {status}")]
    TooLate,
}

#[derive(Debug, Rejection)]
enum Generic<T> {
    #[rejection("too_late", "the order is late")]
    TooLate(T),
}

#[derive(Debug, Rejection)]
enum Empty {}

#[derive(Debug, Rejection)]
struct NotAnEnum;

fn main() {}
