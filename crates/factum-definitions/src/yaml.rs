//! YAML as a tree in which everything knows where it stands.

use std::{collections::BTreeSet, fmt::Write};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::{Problem, words::folded};

/// The deepest nesting of lists and maps.
const MOST_DEEP: usize = 32;
/// The longest file, in bytes.
pub const MOST_BYTES: usize = 1 << 20;

/// A line and a column, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// Something in a file.
#[derive(Clone, Debug)]
pub struct Node {
    pub at: Place,
    pub is: Is,
}

/// What it is.
#[derive(Clone, Debug)]
pub enum Is {
    /// Nothing, where a value could stand.
    Nothing,
    Text(String),
    List(Vec<Node>),
    /// In the order of the file.
    Map(Vec<(Word, Node)>),
}

/// A key or another single word, with its place.
#[derive(Clone, Debug)]
pub struct Word {
    pub at: Place,
    pub text: String,
}

impl Node {
    pub fn text(&self) -> Option<&str> {
        match &self.is {
            Is::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What to call it in a sentence.
    pub fn kind(&self) -> &'static str {
        match self.is {
            Is::Nothing => "nothing",
            Is::Text(_) => "a text",
            Is::List(_) => "a list",
            Is::Map(_) => "a map",
        }
    }

    pub fn word(&self) -> Option<Word> {
        Some(Word { at: self.at, text: self.text()?.to_owned() })
    }

    /// All that it says, and nothing of where it says it. What is told apart here is told apart in `out`.
    pub fn says(&self, out: &mut String) {
        // Writing to a text does not fail.
        let _ = match &self.is {
            Is::Nothing => write!(out, "~"),
            Is::Text(text) => write!(out, "{text:?}"),
            Is::List(items) => {
                out.push('[');
                items.iter().for_each(|item| item.says(out));
                write!(out, "]")
            }
            Is::Map(entries) => {
                out.push('{');
                for (word, value) in entries {
                    let _ = write!(out, "{:?}:", word.text);
                    value.says(out);
                }
                write!(out, "}}")
            }
        };
    }
}

/// Reads all documents of a file.
pub fn read(text: &str) -> Result<Vec<Node>, Problem> {
    if text.len() > MOST_BYTES {
        return Err(Problem::at(
            Place { line: 1, column: 1 },
            format!("the file is longer than {MOST_BYTES} bytes: divide it"),
        ));
    }
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = Place { line: error.marker().line(), column: error.marker().col() + 1 };
            Problem::at(at, format!("this is not YAML: {}", error.info()))
        })?;
        tree.take(event, span)?;
    }
    Ok(tree.documents)
}

/// The keys of a definition, also of one that stands below its own name.
pub fn entries<'a>(node: &'a Node, wrapped: &str) -> Vec<(&'a Word, &'a Node)> {
    let Is::Map(entries) = &node.is else { return Vec::new() };
    let inner = |(word, value): &'a (Word, Node)| match &value.is {
        Is::Map(inner) if folded(&word.text) == wrapped => inner.iter().map(|(word, value)| (word, value)).collect(),
        _ => vec![(word, value)],
    };
    entries.iter().flat_map(inner).collect()
}

/// One name, or a list of them.
pub fn words(word: &Word, value: &Node, problems: &mut Vec<Problem>) -> Vec<Word> {
    let mut found = Vec::new();
    let items = match &value.is {
        Is::List(items) => items.as_slice(),
        Is::Nothing => &[],
        _ => std::slice::from_ref(value),
    };
    for item in items {
        // `- type: order.created` names one too.
        let named = match &item.is {
            Is::Map(entries) => {
                entries.iter().find(|(word, _)| matches!(&*folded(&word.text), "type" | "event" | "name" | "topic"))
            }
            _ => None,
        };
        match named.map_or(item, |(_, value)| value).word() {
            Some(word) => found.push(word),
            None => {
                problems.push(Problem::at(item.at, format!("`{}` lists names, and this is {}", word.text, item.kind())))
            }
        }
    }
    found
}

#[derive(Default)]
struct Tree {
    documents: Vec<Node>,
    open: Vec<Open>,
}

struct Open {
    node: Node,
    /// The key of a map whose value comes next.
    key: Option<Word>,
    /// All keys of a map so far.
    keys: BTreeSet<String>,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let at = Place { line: span.start.line(), column: span.start.col() + 1 };
        let anchored = |anchor: usize| match anchor {
            0 => Ok(()),
            _ => Err(Problem::at(at, "anchors are not read here: write out what it stands for".to_owned())),
        };
        match event {
            Event::Scalar(text, style, anchor, _) => {
                anchored(anchor)?;
                let empty = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null");
                self.put(Node { at, is: if empty { Is::Nothing } else { Is::Text(text.into_owned()) } })
            }
            Event::SequenceStart(anchor, _) => {
                anchored(anchor)?;
                self.open(Node { at, is: Is::List(Vec::new()) })
            }
            Event::MappingStart(anchor, _) => {
                anchored(anchor)?;
                self.open(Node { at, is: Is::Map(Vec::new()) })
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.put(open.node),
                None => Ok(()),
            },
            Event::Alias(_) => {
                Err(Problem::at(at, "aliases are not read here: write out what it stands for".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, node: Node) -> Result<(), Problem> {
        if self.open.len() >= MOST_DEEP {
            return Err(Problem::at(node.at, format!("this is nested more than {MOST_DEEP} deep: nothing here is")));
        }
        self.open.push(Open { node, key: None, keys: BTreeSet::new() });
        Ok(())
    }

    fn put(&mut self, node: Node) -> Result<(), Problem> {
        let Some(Open { node: parent, key, keys }) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match &mut parent.is {
            Is::List(items) => items.push(node),
            Is::Map(entries) => match key.take() {
                Some(word) => entries.push((word, node)),
                None => {
                    let Some(word) = node.word() else {
                        return Err(Problem::at(node.at, format!("a key is a text, and this is {}", node.kind())));
                    };
                    if !keys.insert(word.text.clone()) {
                        let text = &word.text;
                        return Err(Problem::at(word.at, format!("the key `{text}` stands here twice: remove one")));
                    }
                    *key = Some(word);
                }
            },
            Is::Nothing | Is::Text(_) => {}
        }
        Ok(())
    }
}
