//! One example of each type, read and written both as itself and through its enum.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    fs,
    marker::PhantomData,
    path::{Path, PathBuf},
};

use factum::payload::Payload;
use serde_json::{Value, json};

use crate::services::{Options, services};

/// The examples of one enum of messages.
pub struct Examples<All> {
    seen: Vec<&'static str>,
    of: PhantomData<All>,
}

impl<All: Payload + PartialEq + Debug> Examples<All> {
    pub fn of() -> Self {
        Self { seen: Vec::new(), of: PhantomData }
    }

    /// Reads the example as the type itself and through the enum, and writes it back.
    pub fn example<One>(mut self, name: &'static str, example: Value) -> Self
    where
        One: Payload + Clone + PartialEq + Debug,
        All: From<One>,
    {
        let one: One = read(name, &example);
        assert_eq!(one.type_info().name, name);
        let version = one.type_info().version;
        if version != FIRST {
            let kept = kept(name);
            assert_eq!(kept.get(version), Some(&example), "{name} {version} has its example in contracts/examples/");
            assert!(kept.contains_key(FIRST), "{name}: the example of its first version is kept too");
        }
        assert_eq!(write(&one), example, "{name}");

        let all: All = read(name, &example);
        assert_eq!(all, All::from(one.clone()));
        assert_eq!(write(&all), example, "{name}");

        let mut more = example.clone();
        more["addedInALaterVersion"] = json!({ "a": 1 });
        assert_eq!(read::<One>(name, &more), one, "{name} ignores unknown fields");

        let schema = (one.type_info().schema)().to_value();
        assert!(schema["description"].is_string(), "{name} has a description");
        let info = one.type_info();
        let said = schema["description"].as_str().is_some_and(|text| text.starts_with("Own."));
        assert!(said || !info.own, "{name}: what is own says so: its description begins with `Own.`");
        assert!(!said || info.own, "{name}: it is declared `own`");
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let properties = schema["properties"].as_object().unwrap();
        for field in PERSONAL.iter().filter(|field| properties.contains_key(**field)) {
            let marked = info.personal.iter().any(|personal| personal.field == *field);
            assert!(marked, "{name}: {field} is marked `#[personal(subject = …)]`");
        }
        let mut least = example;
        least.as_object_mut().unwrap().retain(|field, _| {
            assert!(properties.contains_key(field), "{name}: {field} is in the schema");
            required.contains(&json!(field))
        });
        read::<One>(name, &least);

        self.seen.push(name);
        self
    }

    /// No type of the enum is without an example.
    pub fn done(self) {
        let declared: Vec<&str> = All::types().iter().map(|info| info.name).collect();
        assert_eq!(self.seen, declared);
    }
}

/// The version that a type begins with.
const FIRST: &str = "1.0.0";

/// Where examples of more than one version stand, a directory for each type.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contracts/examples");

/// The examples of a type that are kept in files, by version.
fn kept(name: &str) -> BTreeMap<String, Value> {
    let Ok(files) = fs::read_dir(Path::new(KEPT).join(name)) else { return BTreeMap::new() };
    let one = |path: PathBuf| {
        let version = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (version, serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
    };
    files.map(|file| one(file.unwrap().path())).collect()
}

/// Every version that was ever published stands beside today's, and a service says how it is read.
#[test]
fn older_examples_have_an_upcaster() {
    let services = services(&Options::default());
    let decided = || services.iter().flat_map(|service| &service.deciders).flat_map(|decider| decider.events());
    let mut older = 0;
    for name in fs::read_dir(KEPT).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        let today = decided().find(|info| info.name == name).unwrap_or_else(|| panic!("{name} is a type")).version;
        for version in kept(&name).into_keys().filter(|version| version != today) {
            let mut upcasts = services.iter().flat_map(|service| &service.upcasts);
            let leads = upcasts.any(|upcast| upcast.type_name == name && upcast.from == version);
            assert!(leads, "{name} {version} is read by nobody: add `.upcast(\"{name}\", \"{version}\", …)`");
            older += 1;
        }
    }
    assert!(older > 1, "there are older versions");
}

/// Fields that tell of a person wherever they stand.
const PERSONAL: [&str; 7] = ["address", "body", "contact", "email", "phone", "shippingAddress", "to"];

pub fn read<P: Payload>(name: &str, json: &Value) -> P {
    P::decode(name, json.to_string().as_bytes()).unwrap()
}

pub fn write<P: Payload>(payload: &P) -> Value {
    let mut out = Vec::new();
    payload.encode(&mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}
