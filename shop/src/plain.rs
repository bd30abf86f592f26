//! Texts of others on a terminal: names of a file, a provider's messages, a customer's reasons. They say what they say, and
//! command nothing.

use factum::id::unseen;

/// Characters of a text that are shown.
const LONGEST: usize = 200;

/// The text as a person may safely see it: what a terminal would obey, or what cannot be seen, is written out, and what
/// comes behind 200 characters is cut off.
pub fn plain(text: &str) -> String {
    bounded(text, LONGEST, |_| false)
}

/// The same of a text of several lines, up to 4,000 characters.
pub fn plain_lines(text: &str) -> String {
    bounded(text, 20 * LONGEST, |char| char == '\n')
}

fn bounded(text: &str, longest: usize, stays: fn(char) -> bool) -> String {
    let mut plain = String::with_capacity(text.len().min(longest));
    for (index, char) in text.chars().enumerate() {
        if index == longest {
            plain.push('…');
            break;
        }
        if !stays(char) && (char.is_control() || unseen(char)) {
            plain.extend(char.escape_default());
        } else {
            plain.push(char);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_reaches_the_terminal_as_a_command() {
        let forged = "lost\r\n\u{1b}[2K\u{9b}31mall is well\u{202e}\u{200b}\0";
        assert_eq!(plain(forged), "lost\\r\\n\\u{1b}[2K\\u{9b}31mall is well\\u{202e}\\u{200b}\\u{0}");
        assert_eq!(plain("£5 — Österreich, 東京"), "£5 — Österreich, 東京");
    }

    #[test]
    fn a_page_of_it_is_cut_off() {
        assert_eq!(plain(&"x".repeat(1 << 20)).chars().count(), LONGEST + 1);
        assert_eq!(plain(&"x".repeat(LONGEST)).chars().count(), LONGEST);
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(plain_lines("one\ntwo\u{1b}"), "one\ntwo\\u{1b}");
    }
}
