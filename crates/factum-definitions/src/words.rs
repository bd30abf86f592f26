//! Words as people write them: in any case and with any separator, with slips, and spans of time.

use std::time::Duration;

/// A word without case and separators: `inputStream`, `input_stream` and `input-stream` are one.
pub fn folded(text: &str) -> String {
    text.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// A truth value as people write it.
pub fn truth(text: &str) -> Option<bool> {
    match &*folded(text) {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// The known word that is nearest to another, if one is near.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = folded(text);
    let near = |word: &'a str| {
        let theirs = folded(word);
        let distance = match () {
            () if theirs == wanted => 0,
            // Part of a longer name, such as `created` of `order.created`.
            () if wanted.len() > 3 && (theirs.contains(&wanted) || wanted.contains(&theirs)) => 2,
            () => distance(&wanted, &theirs),
        };
        (distance <= 1 + wanted.chars().count() / 3).then_some((distance, word))
    };
    known.into_iter().filter_map(near).min().map(|(_, word)| word)
}

/// ` (is `x` meant?)` if something is near, else the list of what there is.
pub fn hint<'a>(text: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(word) = nearest(text, known.clone()) {
        return format!("is `{word}` meant?");
    }
    let mut all: Vec<&str> = known.into_iter().collect();
    all.sort_unstable();
    all.dedup();
    match all.len() {
        0 => "there is none".to_owned(),
        1..=12 => format!("there is {}", all.join(", ")),
        more => format!("there is {}, and {} more", all[..12].join(", "), more - 12),
    }
}

/// Insertions, deletions and replacements from one word to the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(200).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, char) in one.chars().take(200).enumerate() {
        let mut before = row[0];
        row[0] = at + 1;
        for (index, with) in other.iter().enumerate() {
            let replaced = before + usize::from(char != *with);
            before = row[index + 1];
            row[index + 1] = replaced.min(before + 1).min(row[index] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// A span of time such as `1h`, `90 minutes`, `1h30m`, `PT1H` or a bare number of seconds.
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim().to_lowercase();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let text = text.strip_prefix('p').map_or(text.clone(), |rest| rest.replace('t', ""));
    let mut rest = text.as_str();
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        rest = rest.trim_start();
        let digits = rest.find(|char: char| !char.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|char: char| !char.is_alphabetic()).unwrap_or(rest.len());
        let seconds = match &rest[..letters] {
            "ms" | "millis" | "milliseconds" => {
                total = total.checked_add(Duration::from_millis(number))?;
                0
            }
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 3_600,
            "d" | "day" | "days" => 86_400,
            "w" | "week" | "weeks" => 604_800,
            _ => return None,
        };
        total = total.checked_add(Duration::from_secs(number.checked_mul(seconds)?))?;
        rest = rest[letters..].trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_time_is_read_as_people_write_it() {
        for (text, seconds) in [
            ("1h", 3_600),
            ("90 minutes", 5_400),
            ("1h30m", 5_400),
            ("PT1H", 3_600),
            ("P1D", 86_400),
            ("45", 45),
            ("2 weeks", 1_209_600),
            ("1 day 1 hour", 90_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        for text in ["h", "1x", "1.5h", "-1h", "one hour", "99999999999999999999h", "18446744073709551615d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let known = ["customerId", "total", "orderId"];
        assert_eq!(nearest("customer_id", known), Some("customerId"));
        assert_eq!(nearest("custmerId", known), Some("customerId"));
        assert_eq!(nearest("totl", known), Some("total"));
        assert_eq!(nearest("weather", known), None);
        assert_eq!(hint("weather", known), "there is customerId, orderId, total");
    }
}
