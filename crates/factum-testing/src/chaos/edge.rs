//! What comes to the door for other systems and nobody can take: each is refused in a sentence, and nothing stops.

use serde_json::{Value, json};

use super::{
    client::{Answer, Client},
    faults::drawn,
    tally::Tally,
};

/// What is sent: where to, and the body.
type Message = (&'static str, Vec<u8>);

fn messages(nth: u64) -> Vec<Message> {
    let at = "2026-05-01T10:00:00Z";
    let id = format!("chaos-{nth}");
    let event = |type_name: &str, data: Value| {
        let event =
            json!({ "specversion": "1.0", "id": id, "source": "chaos", "type": type_name, "time": at, "data": data });
        event.to_string().into_bytes()
    };
    let (events, commands) = ("events", "commands");
    vec![
        (events, b"{".to_vec()),
        (events, vec![0xff, 0xfe, 0x00]),
        (events, b"[1,2,3]".to_vec()),
        (events, event("", json!({}))),
        (events, event("no type\n", json!({}))),
        (events, vec![b'['; 100_000]),
        (commands, event("chaos.unknown", json!({ "deep": [[[[]]]] }))),
        (commands, b"null".to_vec()),
        (commands, json!({ "type": "chaos.unknown", "data": "x".repeat(100_000) }).to_string().into_bytes()),
    ]
}

/// Sends the `nth` poison to the door of an app; `Ok(false)` if the app could not be asked, as while it is killed or its disk
/// is full.
///
/// # Errors
/// A sentence: it was taken, or refused without one.
pub async fn knock(client: &Client, seed: u64, nth: u64, tally: &Tally) -> Result<bool, String> {
    let mut choices = messages(nth);
    let (door, body) = choices.swap_remove(drawn(seed, &["knock", &nth.to_string()]).usize(..choices.len()));
    let fault = "poison at the door";
    tally.ordered(fault, door);
    let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
    let Some(Answer { status, body, .. }) = client.once(&format!("/factum/v1/{door}"), body).await else {
        return Ok(false);
    };
    tally.happened(fault, door);
    // Of several commands each has its own answer.
    let told = |problem: &Value| problem["detail"].as_str().is_some_and(|detail| !detail.is_empty());
    match status {
        400..500 if told(&body) => Ok(true),
        207 if body["messages"].as_array().is_some_and(|each| each.iter().all(told)) => Ok(true),
        _ => Err(format!("`{shown}` at {door} is no message, and was answered {status}: {body}")),
    }
}
