//! What comes in and what it becomes.

use serde_json::value::RawValue;

use super::{
    Notes,
    Rule::{self, *},
    apply,
};
use crate::money::Currency;

const LINE: &[Rule] = &[
    Place("line"),
    Field("sku", &["productId", "itemId"]),
    Text("sku"),
    Price("unitPrice", &["price"]),
    Missing("kind", "\"goods\""),
    Same("name", "sku"),
    Times("amount", "unitPrice", "quantity"),
];
const ORDER: &[Rule] = &[
    Field("customerId", &["userId"]),
    Each("items", LINE),
    Money("total", &["totalAmount"]),
    Cents("total", &["totalCents"]),
    Sum("total", "items", "amount"),
    Values("status", &[("CREATED", "pending_validation")]),
];

fn ours(json: &str, rules: &[Rule]) -> Result<String, String> {
    let made = apply(json, rules, None, &mut Notes::default()).map_err(|error| error.to_string())?;
    Ok(made.unwrap_or_else(|| "unchanged".to_owned()))
}

#[test]
fn an_order_of_others_becomes_one_of_ours() {
    let theirs = r#"{"orderId":"1","userId":"c","currency":"usd","totalAmount":15.295,"status":"CREATED",
        "items":[{"productId":7,"quantity":6,"price":2.549}],"other":[1]}"#;
    let expected = concat!(
        r#"{"orderId":"1","currency":"usd","status":"pending_validation","items":[{"quantity":6,"line":1,"sku":"7","#,
        r#""unitPrice":{"amount":"2.549","currency":"USD"},"kind":"goods","name":"7","#,
        r#""amount":{"amount":1529,"currency":"USD"}}],"other":[1],"customerId":"c","#,
        r#""total":{"amount":1530,"currency":"USD"}}"#
    );
    assert_eq!(ours(theirs, ORDER).unwrap(), expected);
}

#[test]
fn what_is_ours_is_not_touched() {
    let json = r#"{ "total" : {"amount": 1530, "currency": "GBP"},"customerId":"c", "items":[
        {"line":1,"sku":"7","kind":"goods","name":"n","unitPrice":{"amount":"2.55","currency":"GBP"},
         "amount":{"amount":1530,"currency":"GBP"}}], "a":1}"#;
    assert_eq!(ours(json, ORDER).unwrap(), "unchanged");
    assert_eq!(ours(r#"{"customerId":"c","userId":"d","items":"x"}"#, ORDER).unwrap(), "unchanged");
}

#[test]
fn amounts_come_in_every_form_and_never_as_floats() {
    let rules: &[Rule] = &[Money("total", &["totalAmount"]), Cents("total", &["totalCents"])];
    let total = |json: &str| {
        ours(json, rules)
            .map(|json| json.rsplit_once(r#""total":"#).map_or(json.clone(), |(_, total)| total.to_owned()))
    };
    for (json, expected) in [
        (r#"{"currency":"GBP","totalAmount":12.3}"#, r#"{"amount":1230,"currency":"GBP"}}"#),
        (r#"{"currency":"GBP","totalAmount":12}"#, r#"{"amount":1200,"currency":"GBP"}}"#),
        (r#"{"currency":"GBP","totalAmount":"12.30"}"#, r#"{"amount":1230,"currency":"GBP"}}"#),
        (r#"{"currency":"GBP","totalAmount":1.23e1}"#, r#"{"amount":1230,"currency":"GBP"}}"#),
        (r#"{"currency":"GBP","totalAmount":30.599999999999998}"#, r#"{"amount":3060,"currency":"GBP"}}"#),
        (r#"{"currency":"GBP","totalAmount":0.125}"#, r#"{"amount":12,"currency":"GBP"}}"#),
        (r#"{"currency":"GBP","totalAmount":0.135}"#, r#"{"amount":14,"currency":"GBP"}}"#),
        (r#"{"currency":"JPY","totalAmount":1250.0}"#, r#"{"amount":1250,"currency":"JPY"}}"#),
        // As a float it would be 9007199254740992.
        (r#"{"currency":"JPY","totalAmount":9007199254740993}"#, r#"{"amount":9007199254740993,"currency":"JPY"}}"#),
        (r#"{"totalAmount":{"amount":12.3,"currency":"eur"}}"#, r#"{"amount":1230,"currency":"EUR"}}"#),
        (r#"{"totalAmount":{"amount":"12.3","currency":"EUR"}}"#, r#"{"amount":1230,"currency":"EUR"}}"#),
        (r#"{"totalAmount":{"value":"12","currency":"EUR"}}"#, r#"{"amount":1200,"currency":"EUR"}}"#),
        (r#"{"totalAmount":{"amount":1230,"currency":"EUR"}}"#, r#"{"amount":1230,"currency":"EUR"}}"#),
        (r#"{"currency":"EUR","total":{"amount":1230}}"#, r#"{"amount":1230,"currency":"EUR"}}"#),
        (r#"{"currency":"EUR","totalCents":1230}"#, r#"{"amount":1230,"currency":"EUR"}}"#),
    ] {
        assert_eq!(total(json).unwrap(), expected, "{json}");
    }
    for (json, problem) in [
        (r#"{"totalAmount":12.3}"#, "`data.total` has no currency"),
        (r#"{"currency":"GBP","totalAmount":"a lot"}"#, "`data.total` `a lot` is not"),
        (r#"{"currency":"GBP","totalAmount":[1]}"#, "`data.total` must be an amount"),
        (r#"{"currency":"GBP","totalAmount":true}"#, "`data.total` must be an amount"),
        (r#"{"currency":"GBP","totalAmount":1e99}"#, "`data.total`"),
        (r#"{"currency":"GBP","totalCents":12.3}"#, "whole number of minor units"),
        (r#"{"totalAmount":{"currency":"GBP"}}"#, "has no `amount`"),
        (r#"{"totalAmount":{"amount":1.5,"currency":"pounds"}}"#, "is not a currency"),
    ] {
        let refused = total(json).unwrap_err();
        assert!(refused.contains(problem), "{json}: {refused}");
    }
}

#[test]
fn a_price_keeps_its_digits() {
    let rules: &[Rule] = &[Price("unitPrice", &["price"])];
    for (json, expected) in [
        (r#"{"currency":"GBP","price":2.50}"#, "2.50"),
        (r#"{"currency":"GBP","price":"0.125"}"#, "0.125"),
        (r#"{"price":{"amount":2.5,"currency":"GBP"}}"#, "2.5"),
        (r#"{"currency":"GBP","price":25e-1}"#, "2.5"),
    ] {
        assert!(ours(json, rules).unwrap().contains(&format!(r#""amount":"{expected}""#)), "{json}");
    }
    assert!(ours(r#"{"currency":"GBP","price":0.30000000000000004}"#, rules).unwrap_err().contains("`data.unitPrice`"));
}

#[test]
fn one_item_that_stands_about_becomes_the_only_one_of_a_list() {
    let rules: &[Rule] =
        &[Field("sku", &["productId"]), Gather("items", &["sku", "quantity"]), Each("items", &[Place("line")])];
    let json = r#"{"orderId":"1","productId":"A","quantity":2}"#;
    assert_eq!(ours(json, rules).unwrap(), r#"{"orderId":"1","items":[{"sku":"A","quantity":2,"line":1}]}"#);
    assert_eq!(ours(r#"{"orderId":"1"}"#, rules).unwrap(), "unchanged");
    let rules: &[Rule] = &[Nest("item", &["sku", "quantity"]), In("item", &[Same("name", "sku")])];
    assert_eq!(ours(r#"{"sku":"A","id":"1"}"#, rules).unwrap(), r#"{"id":"1","item":{"sku":"A","name":"A"}}"#);
}

#[test]
fn what_was_read_otherwise_is_told_and_bounded() {
    let mut notes = Notes::default();
    let items = vec![r#"{"productId":"A"}"#; 50].join(",");
    apply(&format!(r#"{{"items":[{items}]}}"#), ORDER, None, &mut notes).unwrap();
    let notes = notes.into_list();
    assert_eq!((notes.len(), &*notes[0]), (33, "`data.items[0].productId` is read as `sku`"));
    assert_eq!(notes[32], "and more");
}

/// Whatever data is made of, it is made ours or refused, and is JSON again.
#[test]
fn no_data_makes_the_rules_panic() {
    let words = ["{", "}", "[", "]", ",", ":", "\"items\"", "\"productId\"", "\"price\"", "\"quantity\"", "\"total\""];
    let more =
        ["\"totalAmount\"", "\"currency\"", "\"GBP\"", "1", "-2.5", "1e9", "null", "true", "\"1.5\"", "\"amount\""];
    let mut read = 0;
    for seed in 0..60_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let words = [&words[..], &more[..]].concat();
        let text: String = (0..random.usize(..24)).map(|_| words[random.usize(..words.len())]).collect();
        let sound =
            format!(r#"{{"items":[{{"productId":{},"price":{}}}],"totalAmount":{}}}"#, words[13], text, words[14]);
        for json in [text, sound] {
            if let Ok(Some(ours)) = apply(&json, ORDER, Some(Currency::GBP), &mut Notes::default()) {
                serde_json::from_str::<&RawValue>(&ours).unwrap();
                read += 1;
            }
        }
    }
    assert!(read > 100, "{read}");
}
