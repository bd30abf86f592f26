//! Texts that PostgreSQL can hold and index, made of any: in the same order, and no two of them the same.

use std::borrow::Cow;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Bytes of a text in an index. An entry takes 2,704 at most: a value, a key and a number.
const INDEXED_BYTES: usize = 1_024;
/// Bytes of a name in the database.
const NAME_BYTES: usize = 63;

/// A text in the form in which it stands in a column.
///
/// - A text cannot hold U+0000: that becomes U+0001 twice, and U+0001 itself U+0001 U+0002, which keeps the order of bytes.
/// - What then has more than [`INDEXED_BYTES`] is cut, and the hash of the whole stands behind U+0001 U+0003. So texts that
///   are alike for nearly as long have some order of their own, which stays; all others are in the order of their bytes.
pub(super) fn fitted(text: &str) -> Cow<'_, str> {
    let held = match text.bytes().any(|byte| byte <= 1) {
        true => Cow::Owned(text.replace('\u{1}', "\u{1}\u{2}").replace('\0', "\u{1}\u{1}")),
        false => Cow::Borrowed(text),
    };
    if held.len() <= INDEXED_BYTES {
        return held;
    }
    let cut = held.floor_char_boundary(INDEXED_BYTES - 34);
    // Never in the middle of a pair.
    let beginning = held[..cut].trim_end_matches('\u{1}');
    Cow::Owned(format!("{beginning}\u{1}\u{3}{:032x}", xxh3_128(text.as_bytes())))
}

/// A name of the database for an ASCII one with an ending: the same if it is short enough, else its beginning and its hash.
pub(super) fn name(stem: &str, ending: &str) -> String {
    if stem.len() + ending.len() <= NAME_BYTES {
        return format!("{stem}{ending}");
    }
    let kept = NAME_BYTES - ending.len() - 17;
    format!("{}_{:016x}{ending}", &stem[..kept], xxh3_64(stem.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_in_order_and_stay_apart() {
        let ends = ["", "\0", "\0\0", "\0a", "\u{1}", "\u{1}\0", "\u{1}\u{1}", "\u{1}\u{2}", "\u{2}"];
        let starts = ["", "a", "a\0", "b", "é"].map(str::to_owned).into_iter();
        let mut texts: Vec<String> = starts
            .chain(["b".repeat(1_100), "é".repeat(600), "\0".repeat(600), "\u{1}".repeat(600)])
            .flat_map(|start| ends.map(|end| format!("{start}{end}")))
            .collect();
        texts.sort();
        texts.dedup();
        let all: Vec<String> = texts.iter().map(|text| fitted(text).into_owned()).collect();
        assert!(all.iter().all(|text| text.len() <= INDEXED_BYTES && !text.contains('\0')), "{all:?}");
        let whole: Vec<&String> = all.iter().filter(|text| !text.contains("\u{1}\u{3}")).collect();
        assert!(whole.len() >= 40 && whole.is_sorted_by(|a, b| a < b), "{whole:?}");
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), texts.len());
        assert!(fitted(&"b".repeat(1_100)).as_ref() > "azzz" && fitted(&"b".repeat(1_100)).as_ref() < "c");
    }

    #[test]
    fn long_names_fit_and_stay_apart() {
        let (long, longer) = ("n".repeat(61), "n".repeat(70));
        let names = [name("orders", "_v1"), name(&long, "_v1"), name(&long, "_v11"), name(&longer, "_v1")];
        assert!(names.iter().all(|name| name.len() <= NAME_BYTES), "{names:?}");
        assert_eq!(names[0], "orders_v1");
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
    }
}
