//! Rust source as words, marks and paths: enough to see what a file names, without a compiler.
//!
//! Comments vanish, string literals keep only whether they are empty, so a rule never trips over prose.

use std::collections::HashSet;

/// A word, a mark of one character, or a string literal (`""` or `"…"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub line: usize,
    pub text: &'a str,
}

/// A path as written out: `use a::{b, c::d}` is `a::b` and `a::c::d`. A lone word is a path of one segment.
/// Leading `self` and `super` are resolved, so that each path inside the crate starts with `crate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub line: usize,
    pub segments: Vec<String>,
}

impl Path {
    pub fn is(&self, text: &str) -> bool {
        self.segments.iter().map(String::as_str).eq(text.split("::"))
    }

    pub fn starts_with(&self, text: &str) -> bool {
        let start = text.split("::").collect::<Vec<_>>();
        self.segments.len() >= start.len() && self.segments.iter().zip(&start).all(|(a, b)| a == b)
    }

    pub fn names(&self, word: &str) -> bool {
        self.segments.iter().any(|segment| segment == word)
    }

    pub fn text(&self) -> String {
        self.segments.join("::")
    }
}

/// Cuts a source into tokens.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (length, token) = if first.is_whitespace() {
            (first.len_utf8(), None)
        } else if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), None)
        } else if rest.starts_with("/*") {
            (block_comment(rest), None)
        } else if let Some((length, empty)) = string(rest) {
            (length, Some(if empty { "\"\"" } else { "\"…\"" }))
        } else if first == '\'' {
            (quote(rest), None)
        } else if is_word(first) {
            let rest = rest.strip_prefix("r#").unwrap_or(rest);
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            (text.len() - at - rest.len() + length, Some(&rest[..length]))
        } else {
            (first.len_utf8(), Some(&rest[..first.len_utf8()]))
        };
        found.extend(token.map(|text| Token { line, text }));
        line += rest[..length].matches('\n').count();
        at += length;
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if rest[at..].starts_with("*/") {
            (at, depth) = (at + 2, depth - 1);
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the string literal at the start, and whether it is empty.
fn string(rest: &str) -> Option<(usize, bool)> {
    let body = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    let prefix = rest.len() - body.len();
    if let Some(body) = body.strip_prefix('"') {
        let mut escaped = false;
        let end = body.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        return Some((prefix + 1 + end.map_or(body.len(), |end| end + 1), end == Some(0)));
    }
    let raw = body.strip_prefix('r')?;
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    let inner = raw[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = inner.find(&close);
    let length = end.map_or(inner.len(), |end| end + close.len());
    Some((prefix + 1 + hashes + 1 + length, end == Some(0)))
}

/// A character literal as a whole; of a lifetime only the quote.
fn quote(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((after, escaped))) => {
            let after = after + escaped.len_utf8();
            rest[after..].find('\'').map_or(rest.len(), |end| after + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

/// The tokens without items under `#[cfg(test)]` and without functions under `#[test]`.
pub fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        match attribute(&tokens[at..]) {
            Some(inner) if is_test(inner) => at = item_end(tokens, at + inner.len() + 3),
            _ => {
                kept.push(tokens[at]);
                at += 1;
            }
        }
    }
    kept
}

/// What stands between `#[` and its `]`.
pub fn attribute<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
    let [hash, open, inner @ ..] = tokens else { return None };
    if (hash.text, open.text) != ("#", "[") {
        return None;
    }
    let mut depth = 1;
    let end = inner.iter().position(|token| {
        depth += i32::from(token.text == "[") - i32::from(token.text == "]");
        depth == 0
    })?;
    Some(&inner[..end])
}

fn is_test(inner: &[Token<'_>]) -> bool {
    let words = inner.iter().map(|token| token.text).collect::<HashSet<_>>();
    let first = inner.first().map(|token| token.text);
    first == Some("cfg") && words.contains("test") && !words.contains("not") || words == HashSet::from(["test"])
}

/// Where the item ends that starts at `at`, perhaps with further attributes.
fn item_end(tokens: &[Token<'_>], mut at: usize) -> usize {
    while let Some(inner) = attribute(&tokens[at.min(tokens.len())..]) {
        at += inner.len() + 3;
    }
    let mut depth = 0;
    for (offset, token) in tokens.iter().enumerate().skip(at) {
        depth += i32::from(token.text == "{") - i32::from(token.text == "}");
        if depth == 0 && matches!(token.text, ";" | "}") {
            return offset + 1;
        }
    }
    tokens.len()
}

/// All paths that the tokens of a file at `module` (below the crate's root) name.
pub fn paths(tokens: &[Token<'_>], module: &[&str]) -> Vec<Path> {
    let (mut found, mut at, mut depth) = (Vec::new(), 0, 0);
    let mut inside: Vec<(&str, usize)> = module.iter().map(|name| (*name, 0)).collect();
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    while at < tokens.len() {
        let start = found.len();
        match text(at) {
            "{" => depth += 1,
            "}" => {
                if inside.last().is_some_and(|(_, opened)| *opened == depth && depth > 0) {
                    inside.pop();
                }
                depth = depth.saturating_sub(1);
            }
            "mod" if text(at + 2) == "{" => {
                depth += 1;
                inside.push((text(at + 1), depth));
                at += 2;
            }
            "use" if text(at + 1) != "<" => at = tree(tokens, at + 1, &[], &mut found),
            word if word.starts_with(is_word) => {
                let (line, mut segments) = (tokens[at].line, vec![word.to_owned()]);
                while text(at + 1) == ":" && text(at + 2) == ":" && text(at + 3).starts_with(is_word) {
                    segments.push(text(at + 3).to_owned());
                    at += 3;
                }
                found.push(Path { line, segments });
            }
            _ => {}
        }
        for path in &mut found[start..] {
            resolve(&mut path.segments, &inside);
        }
        at += 1;
    }
    found
}

/// Reads one branch of a `use` tree; returns where it ended.
fn tree(tokens: &[Token<'_>], mut at: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    let mut segments = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.text {
            "," | "}" | ";" => break,
            "{" => {
                loop {
                    at = tree(tokens, at + 1, &segments, found);
                    if tokens.get(at).is_none_or(|token| token.text != ",") {
                        break;
                    }
                }
                return at + 1;
            }
            "as" => at += 1,
            ":" => {}
            word => segments.push(word.to_owned()),
        }
        at += 1;
    }
    if segments.len() > prefix.len() {
        found.push(Path { line: tokens[at - 1].line, segments });
    }
    at
}

fn resolve(segments: &mut Vec<String>, inside: &[(&str, usize)]) {
    let up = segments.iter().take_while(|segment| *segment == "super").count();
    let own = usize::from(segments[0] == "self" && segments.len() > 1);
    if up + own > 0 {
        let parents = inside[..inside.len().saturating_sub(up)].iter().map(|(name, _)| (*name).to_owned());
        let start = std::iter::once("crate".to_owned()).chain(parents).collect::<Vec<_>>();
        segments.splice(..up + own, start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        tokens(text).iter().map(|token| token.text).collect()
    }

    fn named(text: &str, module: &[&str]) -> Vec<String> {
        paths(&tokens(text), module).iter().map(Path::text).collect()
    }

    #[test]
    fn prose_and_literals_are_no_words() {
        let text = "a // b\n/* c /* d */ e */ \"f \\\" g\" r#\"h\"i\"# '\\'' 'j' b\"k\" 'l: \"\" r#await é";
        let expected = ["a", "\"…\"", "\"…\"", "\"…\"", "l", ":", "\"\"", "await", "é"];
        assert_eq!(words(text), expected);
        assert_eq!(tokens("\"\n\n\"\nx").last().unwrap().line, 4);
    }

    #[test]
    fn unfinished_sources_are_read_to_their_end() {
        for text in ["\"a", "r#\"a", "/* a", "'", "'\\", "'\\x", "use a::{b", "#[cfg(test)] mod t {", "#[", "b"] {
            let tokens = tokens(text);
            let _ = (paths(&tokens, &[]), without_tests(&tokens));
        }
    }

    #[test]
    fn use_trees_are_written_out_and_relative_paths_resolved() {
        let text = "use std::{fs, io::{self, Read as R}}; use super::x::*; fn f() { self::g(); a::b::<C>() }";
        let expected = ["std::fs", "std::io::self", "std::io::Read", "crate::room::x::*", "fn", "f"];
        assert_eq!(named(text, &["room", "file"])[..6], expected);
        assert_eq!(named(text, &["room", "file"])[6..], ["crate::room::file::g", "a::b", "C"]);
        assert_eq!(
            named("mod m { use super::y; mod n { use super::super::z; } } use super::w;", &["room"]),
            ["crate::room::y", "crate::room::z", "crate::w"]
        );
    }

    #[test]
    fn tests_are_set_aside() {
        let text = "a #[cfg(test)] #[allow(x)] mod tests { b { c } } d #[cfg(test)] mod e; #[cfg(not(test))] f \
                    #[test] fn g() { h } i";
        let kept = without_tests(&tokens(text)).iter().map(|token| token.text).collect::<String>();
        assert_eq!(kept, "ad#[cfg(not(test))]fi");
    }
}
