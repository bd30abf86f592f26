//! Names and versions of today, whatever was stored; and which declarations do not fit together.

use serde_json::json;

use super::*;
use crate::{
    commit::{Append, Commit, Owners, Wanted, check},
    envelope::{Envelope, Recorded},
    id::MessageId,
    memory::Memory,
    payload::{Event, Payload, PayloadError, TypeInfo},
    ports::Backend,
    reaction::Reaction,
    stream::ExpectedVersion,
};

/// A reader of nothing; a test says what it declares.
struct Nothing;

impl Payload for Nothing {
    fn types() -> Vec<TypeInfo> {
        Vec::new()
    }
    fn type_info(&self) -> TypeInfo {
        info("nothing", "1.0.0", &[])
    }
    fn decode(name: &str, _: &[u8]) -> Result<Self, PayloadError> {
        Err(PayloadError::UnknownType(name.to_owned()))
    }
    fn encode(&self, _: &mut Vec<u8>) -> Result<(), PayloadError> {
        Ok(())
    }
}

impl Event for Nothing {}

fn info(name: &'static str, version: &'static str, was: &'static [&'static str]) -> TypeInfo {
    TypeInfo { was, ..TypeInfo::new(name, version, || schemars::json_schema!({})) }
}

/// A program that reads orders of this version, which had another name once.
fn reading(version: &'static str) -> Service {
    let mut reaction = Reaction::new("note", |_: &Recorded<'_, Nothing>, _| {});
    reaction.types = vec![info("order.created", version, &["order.made"])];
    Service::new("readers").reaction(reaction)
}

fn put_together(declared: &'static str, steps: &[Upcast]) -> Result<Upcasters, UpcastError> {
    Upcasters::new(&Types::of(&[reading(declared)]).unwrap(), steps)
}

fn step(from: &'static str, to: &'static str, raise: fn(Value) -> Value) -> Upcast {
    Upcast { type_name: "order.created", from, to, raise: Arc::new(raise) }
}

fn chain() -> Upcasters {
    let split = |mut data: Value| {
        data["sku"] = json!(data["article"].as_str().unwrap_or_default().to_uppercase());
        data
    };
    let count = |mut data: Value| {
        data["quantity"] = json!(1);
        data
    };
    put_together("2.0.0", &[step("1.0.0", "1.1.0", split), step("1.1.0", "2.0.0", count)]).unwrap()
}

fn message(version: &'static str, data: &[u8]) -> Message {
    let id = MessageId::parse("e-1").unwrap();
    Message {
        envelope: Envelope {
            id: id.clone(),
            kind: Kind::Event,
            type_name: Name::Static("order.created"),
            source: Name::Static("order"),
            data_version: Name::Static(version),
            timestamp: jiff::Timestamp::UNIX_EPOCH,
            correlation_id: id,
            causation_id: None,
            partition_key: Arc::from("1"),
            user_id: None,
            tenant: None,
            traceparent: None,
            metadata: None,
            depth: 0,
            digest: None,
            repeat_key: None,
        },
        data: Arc::from(data),
    }
}

#[test]
fn steps_chain_and_newer_data_is_left_alone() {
    let mut old = message("1.0.0", br#"{"article":"tea"}"#);
    chain().raise(&mut old);
    assert_eq!(old.envelope.data_version, "2.0.0");
    let data: Value = serde_json::from_slice(&old.data).unwrap();
    assert_eq!(data, json!({"article": "tea", "sku": "TEA", "quantity": 1}));
    let mut new = message("2.0.0", br#"{"sku":"TEA"}"#);
    chain().raise(&mut new);
    assert_eq!(&*new.data, br#"{"sku":"TEA"}"#);
}

#[test]
fn data_that_is_no_json_is_left_for_its_reader_to_refuse() {
    let mut broken = message("1.0.0", b"{");
    chain().raise(&mut broken);
    assert_eq!(broken.envelope.data_version, "1.0.0");
}

#[test]
fn steps_that_do_not_lead_up_or_stand_twice_are_refused() {
    for (from, to) in [("1.0.0", "1.0.0"), ("2.0.0", "1.9.9"), ("1.0", "2.0.0"), ("1.0.0", "two"), ("01.0.0", "2.0.0")]
    {
        let refused = put_together("2.0.0", &[step(from, to, |data| data)]);
        assert!(matches!(refused, Err(UpcastError::NotUp { .. })), "{from}");
    }
    let twice = [step("1.0.0", "1.1.0", |data| data), step("1.0.0", "2.0.0", |data| data)];
    assert!(matches!(put_together("2.0.0", &twice), Err(UpcastError::Twice { .. })));
}

#[test]
fn every_way_of_reading_gives_todays_name_and_version() {
    let mut memory = Memory::new();
    let stream = StreamId::new("order", "1").unwrap();
    let mut stored = message("1.0.0", br#"{"article":"tea"}"#);
    stored.envelope.type_name = Name::Static("order.made");
    let append = Append {
        stream: stream.clone(),
        expected: ExpectedVersion::NoStream,
        writer: Name::Static("order"),
        messages: vec![stored],
    };
    let commit = Commit { appends: vec![append], cells: vec![] };
    let mut commit = Some(commit);
    let judge = &mut |found| vec![check(&Owners::default(), &found, commit.take().unwrap()).unwrap()];
    memory.transact(&Wanted::default(), judge).unwrap();
    let reader = Raised::over(Backend::reader(&memory), &chain());
    let scan = Scan { after: Position::START, until: reader.head(), bytes: 1024, types: None };
    let typed = |name: &str| name == "order.created";
    let ways = [
        reader.scan(&scan).unwrap().messages,
        reader.scan(&Scan { types: Some(&typed), ..scan }).unwrap().messages,
        reader.stream(&stream, StreamVersion(0)).unwrap(),
        reader.streams(&[stream]).unwrap().concat(),
    ];
    for messages in ways {
        let Envelope { type_name, data_version, .. } = messages[0].envelope();
        assert_eq!((type_name.as_str(), data_version.as_str()), ("order.created", "2.0.0"));
    }
}

#[test]
fn steps_that_do_not_end_at_the_declared_version_are_refused_with_what_to_write() {
    let same: fn(Value) -> Value = |data| data;
    let said = |declared, steps: &[(&'static str, &'static str)]| {
        let steps: Vec<Upcast> = steps.iter().map(|(from, to)| step(from, to, same)).collect();
        put_together(declared, &steps).map(|_| ()).unwrap_err().to_string()
    };
    for (declared, steps, says) in [
        ("1.0.0", vec![("1.0.0", "1.1.0")], "write `version = \"1.1.0\"`"),
        ("1.1.0", vec![("1.0.0", "1.1.0"), ("1.1.0", "2.0.0")], "write `version = \"2.0.0\"`"),
        (
            "2.0.0",
            vec![("1.0.0", "1.1.0")],
            "end at 1.1.0, but the program declares 2.0.0: add `.upcast(\"order.created\", \"1.1.0\", \"2.0.0\"",
        ),
        ("2.0.0", vec![("1.0.0", "1.1.0"), ("1.2.0", "2.0.0")], "a gap: nothing leads from 1.1.0 to 1.2.0"),
    ] {
        let sentence = said(declared, &steps);
        assert!(sentence.contains(says), "{sentence}");
    }
    assert!(put_together("2.0.0", &[step("1.0.0", "2.0.0", same), step("1.1.0", "2.0.0", same)]).is_ok());
}

#[test]
fn steps_of_a_type_that_nobody_declares_or_of_an_old_name_are_refused() {
    let of = |type_name| Upcast { type_name, ..step("1.0.0", "2.0.0", |data| data) };
    let said = |type_name| put_together("2.0.0", &[of(type_name)]).map(|_| ()).unwrap_err().to_string();
    assert!(said("order.craeted").contains("no handler of this program reads or writes"));
    assert!(said("order.made").contains("write `.upcast(\"order.created\", …)`"));
}

#[test]
fn an_old_name_becomes_todays_before_its_data_is_raised() {
    let mut old = message("1.0.0", br#"{"article":"tea"}"#);
    old.envelope.type_name = Name::Static("order.made");
    chain().raise(&mut old);
    assert_eq!((old.envelope.type_name.as_str(), old.envelope.data_version.as_str()), ("order.created", "2.0.0"));
    let mut draft = Draft {
        type_name: Name::Static("order.made"),
        version: Name::Static("1.1.0"),
        data: Arc::from(b"{}".as_slice()),
    };
    chain().raise_draft(&mut draft);
    assert_eq!(
        (draft.type_name.as_str(), draft.version.as_str(), &*draft.data),
        ("order.created", "2.0.0", br#"{"quantity":1}"#.as_slice())
    );
}

#[test]
fn a_rejection_bears_a_commands_name_and_is_no_command() {
    for (kind, name) in
        [(Kind::Rejection, "order.created"), (Kind::Receipt, "order.created"), (Kind::Call, "order.made")]
    {
        let mut no = message("1.0.0", br#"{"code":"too_late"}"#);
        (no.envelope.kind, no.envelope.type_name) = (kind, Name::Static("order.made"));
        chain().raise(&mut no);
        assert_eq!((no.envelope.type_name.as_str(), &*no.data), (name, br#"{"code":"too_late"}"#.as_slice()));
    }
}

/// Readers of one type that know different versions of it, and what is said.
#[test]
fn a_program_knows_one_version_of_a_type() {
    let two = |one, other| {
        let mut second = reading(other);
        second.name = Name::Static("others");
        Types::of(&[reading(one), second])
    };
    assert_eq!(two("1.0.0", "1.2.0").unwrap().get("order.created").unwrap().info.version, "1.2.0", "who knows most");
    let sentence = two("1.0.0", "2.0.0").unwrap_err().to_string();
    assert!(sentence.contains("is 1.0.0 for readers.note and 2.0.0 for others.note"), "{sentence}");
    let sentence = two("1.0.0", "1.0").unwrap_err().to_string();
    assert!(sentence.contains("1.0, which is no version"), "{sentence}");
}

#[test]
fn an_old_name_belongs_to_one_type_and_is_none_any_more() {
    let with = |types: Vec<TypeInfo>| {
        let mut service = reading("1.0.0");
        service.reactions[0].types.extend(types);
        Types::of(&[service]).unwrap_err().to_string()
    };
    let sentence = with(vec![info("order.begun", "1.0.0", &["order.made"])]);
    assert!(sentence.contains("an old name of `order.created` and of `order.begun`"), "{sentence}");
    let sentence = with(vec![info("order begun", "1.0.0", &[])]);
    assert!(sentence.contains("readers.note: ") && sentence.contains("no space and no `/`"), "{sentence}");
    let sentence = with(vec![info("order.made", "1.0.0", &[])]);
    assert!(sentence.contains("`order.made` is an old name of `order.created`, and readers.note still"), "{sentence}");
}
