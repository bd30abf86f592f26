//! Events and commands: round trips, absent options, tolerant reading, dispatch by type name, schema.

use factum_core::__private::serde_json::{self, Value, json};
use factum_core::payload::{Payload, PayloadError};
use factum_macros::{Command, Event};

/// An order is accepted.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.created", version = "1.2.0")]
struct OrderCreated {
    /// Which order.
    order_id: String,
    line_count: u32,
    customer_id: Option<String>,
    #[serde(rename = "kind")]
    r#type: String,
    #[serde(default)]
    tags: Vec<String>,
    /// Written as null when there is none, because the field says its serde options itself.
    #[serde(default)]
    note: Option<String>,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("order.cancelled")]
pub struct OrderCancelled {
    pub order_id: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("day.closed")]
struct DayClosed {}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("day.opened")]
struct DayOpened;

#[derive(Event, Clone, Debug, PartialEq)]
enum OrderEvent {
    Created(OrderCreated),
    Cancelled(OrderCancelled),
}

#[derive(Event, Clone, Debug, PartialEq)]
enum AnyEvent {
    Order(OrderEvent),
    Day(DayClosed),
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.create")]
struct CreateOrder {
    order_id: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command("order.mark_paid")]
struct MarkPaid {
    order_id: String,
}

#[derive(Command, Clone, Debug, PartialEq)]
enum OrderCommand {
    Create(CreateOrder),
    MarkPaid(MarkPaid),
}

fn created() -> OrderCreated {
    OrderCreated {
        order_id: "o-1".into(),
        line_count: 25,
        customer_id: None,
        r#type: "web".into(),
        tags: vec![],
        note: None,
    }
}

fn written<P: Payload>(payload: &P) -> Value {
    let mut out = Vec::new();
    payload.encode(&mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn read<P: Payload>(name: &str, data: &Value) -> Result<P, PayloadError> {
    P::decode(name, data.to_string().as_bytes())
}

#[test]
fn writes_camel_case_and_leaves_absent_options_out() {
    let json = json!({ "orderId": "o-1", "lineCount": 25, "kind": "web", "tags": [], "note": null });
    assert_eq!(written(&created()), json);
    assert_eq!(read::<OrderCreated>("order.created", &json).unwrap(), created());

    let mut known = created();
    known.customer_id = Some("c-9".into());
    assert_eq!(written(&known)["customerId"], "c-9");
    assert_eq!(read::<OrderCreated>("order.created", &written(&known)).unwrap(), known);
}

#[test]
fn appends_to_what_is_in_the_buffer() {
    let mut out = b"before ".to_vec();
    DayClosed {}.encode(&mut out).unwrap();
    assert_eq!(out, b"before {}");
}

#[test]
fn structs_without_fields_are_empty_objects() {
    assert_eq!(written(&DayOpened), json!({}));
    assert_eq!(read::<DayOpened>("day.opened", &json!({})).unwrap(), DayOpened);
    assert_eq!(read::<DayClosed>("day.closed", &json!({ "more": 1 })).unwrap(), DayClosed {});
}

#[test]
fn ignores_unknown_fields() {
    let json = json!({ "orderId": "o-1", "newInVersion2": { "deep": [1, 2] } });
    assert_eq!(read::<OrderCancelled>("order.cancelled", &json).unwrap().order_id, "o-1");
}

#[test]
fn says_which_type_does_not_fit_and_where() {
    let error = read::<OrderCancelled>("order.cancelled", &json!({ "orderId": 7 })).unwrap_err();
    let PayloadError::Decode { name, cause } = error else { panic!("{error}") };
    assert_eq!(name, "order.cancelled");
    assert!(cause.contains("line 1"), "{cause}");
}

#[test]
fn refuses_types_it_does_not_know() {
    let json = json!({ "orderId": "o-1" });
    for error in [
        read::<OrderCancelled>("order.created", &json).unwrap_err(),
        read::<OrderEvent>("order.paid", &json).map(|_| ()).unwrap_err(),
        read::<OrderCommand>("order.cancelled", &json).map(|_| ()).unwrap_err(),
    ]
    .into_iter()
    {
        assert!(matches!(error, PayloadError::UnknownType(_)), "{error}");
    }
}

#[test]
fn an_enum_reads_and_writes_whichever_type_it_is() {
    let names: Vec<_> = OrderEvent::types().iter().map(|info| (info.name, info.version)).collect();
    assert_eq!(names, [("order.created", "1.2.0"), ("order.cancelled", "1.0.0")]);

    let cancelled = OrderEvent::from(OrderCancelled { order_id: "o-1".into() });
    assert_eq!(cancelled, OrderEvent::Cancelled(OrderCancelled { order_id: "o-1".into() }));
    assert_eq!(cancelled.type_info().name, "order.cancelled");
    assert_eq!(read::<OrderEvent>("order.cancelled", &written(&cancelled)).unwrap(), cancelled);

    let created: OrderEvent = created().into();
    assert_eq!(read::<OrderEvent>("order.created", &written(&created)).unwrap(), created);
}

#[test]
fn enums_nest() {
    let names: Vec<_> = AnyEvent::types().iter().map(|info| info.name).collect();
    assert_eq!(names, ["order.created", "order.cancelled", "day.closed"]);
    let event = AnyEvent::from(OrderEvent::from(created()));
    assert_eq!(read::<AnyEvent>("order.created", &written(&event)).unwrap(), event);
    assert_eq!(read::<AnyEvent>("day.closed", &json!({})).unwrap(), DayClosed {}.into());
}

#[test]
fn commands_work_as_events_do() {
    let command: OrderCommand = CreateOrder { order_id: "o-1".into() }.into();
    assert_eq!(written(&command), json!({ "orderId": "o-1" }));
    assert_eq!(read::<OrderCommand>("order.create", &written(&command)).unwrap(), command);
}

#[test]
fn the_schema_has_title_description_and_properties() {
    let schema = (created().type_info().schema)().to_value();
    assert_eq!(schema["title"], "OrderCreated");
    assert_eq!(schema["description"], "An order is accepted.");
    assert_eq!(schema["properties"]["orderId"]["description"], "Which order.");
    assert_eq!(schema["properties"]["lineCount"]["type"], "integer");
    assert!(schema["properties"]["kind"].is_object(), "{schema}");
    assert_eq!(schema["required"], json!(["orderId", "lineCount", "kind"]));
}

#[test]
fn works_on_a_struct_inside_a_function() {
    #[derive(Event)]
    #[event("case.opened")]
    struct Opened {
        case_id: u8,
    }
    assert_eq!(written(&Opened { case_id: 4 }), json!({ "caseId": 4 }));
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event("OrderPlaced", adopted, version = "2.0.0", was = "order.created", was = "OrderMade")]
struct Adopted {
    order_id: String,
}

#[derive(Command)]
#[command("PlaceOrder.v1", adopted)]
struct AdoptedCommand {}

#[test]
fn a_type_may_have_old_names_and_a_name_that_others_gave() {
    let info = Adopted { order_id: "o-1".into() }.type_info();
    assert_eq!((info.name, info.version, info.was), ("OrderPlaced", "2.0.0", &["order.created", "OrderMade"][..]));
    assert!(info.adopted && AdoptedCommand {}.type_info().adopted && !created().type_info().adopted);
    assert_eq!(read::<Adopted>("OrderPlaced", &json!({ "orderId": "o-1" })).unwrap().order_id, "o-1");
}

/// What only its own service reads, with what tells of whom.
#[derive(Event)]
#[event("guest.noted", own)]
#[allow(dead_code, reason = "only its declaration is read")]
struct GuestNoted {
    guest_id: Option<String>,
    #[personal(subject = guest_id)]
    full_name: String,
    #[serde(rename = "mail")]
    #[personal(subject = guest_id)]
    address: Option<String>,
}

#[test]
fn own_events_and_personal_fields_are_declared_and_change_no_data() {
    let info = GuestNoted::types()[0];
    assert!(info.own && !OrderCancelled::types()[0].own);
    let fields: Vec<(&str, &str)> = info.personal.iter().map(|it| (it.field, it.subject)).collect();
    assert_eq!(fields, [("fullName", "guestId"), ("mail", "guestId")]);
    assert!(OrderCancelled::types()[0].personal.is_empty());
    let noted = GuestNoted { guest_id: None, full_name: "Ada".to_owned(), address: None };
    assert_eq!(serde_json::to_value(&noted).unwrap(), json!({ "fullName": "Ada", "mail": null }));
}
