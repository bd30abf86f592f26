//! How much of it is run, and by which seed.

use std::env;

/// Whether everything is to be run, and not the short version.
pub fn is_full() -> bool {
    env::var("FACTUM_SCALE").is_ok_and(|scale| scale == "full")
}

/// The first of two numbers in the short version, the second in the full one.
pub fn short_or_full<T>(short: T, full: T) -> T {
    if is_full() { full } else { short }
}

/// The seed of everything that is drawn.
pub fn seed() -> u64 {
    env::var("FACTUM_SEED").map_or(1, |seed| seed.parse().expect("FACTUM_SEED is a number"))
}

/// A number with commas between its thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
