//! The channels, outside the process: a relay for mail, and whoever sends texts and pushes. This is the only async code of the
//! room.
//!
//! Each is a dependency of its own: one that is away or hangs holds up neither the others nor anything else of the shop.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use factum::{
    call::Retry,
    http::client::{Ending, Remote},
    prelude::*,
};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp,
};
use serde::{Deserialize, Serialize};

pub use lettre::Address as MailAddress;

use crate::contracts::{ids::NotificationId, notification::RecordNotification};

/// The call for mail.
pub const MAIL: CallTo<Letter, RecordNotification> = CallTo::new("mail");
/// The call for texts.
pub const SMS: CallTo<Letter, RecordNotification> = CallTo::new("sms");
/// The call for pushes.
pub const PUSH: CallTo<Letter, RecordNotification> = CallTo::new("push");
/// Attempts at a channel that answers: some hours. While nobody answers its breaker is open, and that uses none of them up.
const ATTEMPTS: u32 = 32;
/// A relay that takes a mail only later, such as one that does not know us yet, is asked again after so long, and each time
/// after so much longer.
const LATER: Duration = Duration::from_secs(60);
/// But never after longer.
const MUCH_LATER: Duration = Duration::from_secs(900);
/// Where the shop's staff reads its mail, if nothing else is said.
pub const STAFF: &str = "staff@localhost";
/// Whom mail comes from, if nothing else is said.
pub const FROM: &str = "shop@localhost";
/// The port of a relay that names none.
const SMTP_PORT: u16 = 25;

/// What a channel is to bring.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Letter {
    /// Our reference.
    pub notification_id: NotificationId,
    /// Where to.
    pub to: String,
    /// What stands above it.
    pub subject: String,
    /// Its text.
    pub body: String,
}

/// Who brings notifications. Where there is nobody, it is simulated: what would have been sent can be read in the rows.
#[derive(Clone, Debug)]
pub struct Channels {
    /// The mail.
    pub mail: Option<Mail>,
    /// Who sends texts: `POST <url>/messages` with `{to, text}`, under an `Idempotency-Key`, is answered by a JSON object, or
    /// refused with 402 or 422 and `{reason}`.
    pub sms: Option<Remote>,
    /// Who sends pushes: `POST <url>/pushes` with `{to, title, text}`, where `to` is the customer's id, as for texts.
    pub push: Option<Remote>,
    /// Where the shop's staff reads its mail.
    pub staff: String,
}

impl Default for Channels {
    /// All of them simulated.
    fn default() -> Self {
        Self { mail: None, sms: None, push: None, staff: STAFF.to_owned() }
    }
}

impl Channels {
    /// Each channel's name, and its address or that it is simulated.
    pub fn addresses(&self) -> [(&'static str, String); 3] {
        let mail = self.mail.as_ref().map(|mail| mail.relay.to_string());
        let remote = |url: &Option<Remote>| url.as_ref().map(Remote::to_string);
        [("mail", mail), ("sms", remote(&self.sms)), ("push", remote(&self.push))]
            .map(|(channel, address)| (channel, address.unwrap_or_else(|| "simulated".to_owned())))
    }
}

/// Mail by a relay that speaks SMTP. Every attempt bears the same `Message-ID`, made of the call's key, so that a mail which
/// came twice, because an answer was lost, can be told to be one.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The relay.
    pub relay: Relay,
    /// Whom it comes from.
    pub from: MailAddress,
}

/// Where a relay for mail is: `smtp://host` or `smtp://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    host: String,
    port: u16,
}

impl FromStr for Relay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("smtps:") {
            let why = "only plain SMTP is spoken: let a relay on this machine speak TLS to the outside, and give its smtp URL";
            return Err(why.to_owned());
        }
        let usage = || "use an address such as smtp://127.0.0.1:25".to_owned();
        let place = text.strip_prefix("smtp://").ok_or_else(usage)?;
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains('@') {
            return Err("a relay with a name or a password is not used: leave them out".to_owned());
        }
        let (host, port) = match place.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => (host, port.parse().map_err(|_| usage())?),
            None => (place, SMTP_PORT),
        };
        let odd = |char: char| char.is_whitespace() || char.is_control() || "/?#".contains(char);
        if host.is_empty() || host.contains(odd) || port == 0 {
            return Err(usage());
        }
        Ok(Self { host: host.trim_matches(['[', ']']).to_owned(), port })
    }
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "smtp://[{}]:{}", self.host, self.port),
            false => write!(f, "smtp://{}:{}", self.host, self.port),
        }
    }
}

/// The call for mail, over a relay.
pub fn mail(mail: Option<Mail>) -> CallSpec<Letter, RecordNotification> {
    let transport = mail.map(|Mail { relay, from }| {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(relay.host).port(relay.port);
        (builder.timeout(Some(3.secs())).build(), from)
    });
    spec(MAIL, move |call| {
        let transport = transport.clone();
        async move {
            match transport {
                Some((relay, from)) => deliver(&relay, from, &call).await,
                None => sent(&call.request),
            }
        }
    })
}

/// The call for texts.
pub fn sms(url: Option<Remote>) -> CallSpec<Letter, RecordNotification> {
    spec(SMS, move |call| {
        let url = url.clone();
        async move {
            let Letter { to, body, .. } = &call.request;
            post(url, "messages", &call, &Text { to, title: None, text: body }).await
        }
    })
}

/// The call for pushes.
pub fn push(url: Option<Remote>) -> CallSpec<Letter, RecordNotification> {
    spec(PUSH, move |call| {
        let url = url.clone();
        async move {
            let Letter { to, subject, body, .. } = &call.request;
            post(url, "pushes", &call, &Text { to, title: Some(subject), text: body }).await
        }
    })
}

fn spec<F, Fut>(to: CallTo<Letter, RecordNotification>, ask: F) -> CallSpec<Letter, RecordNotification>
where
    F: Fn(Call<Letter>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Answer<RecordNotification>> + Send + 'static,
{
    let gave_up = |letter: Letter, reason: &str| record(&letter, Some(reason.to_owned()));
    let retry = Retry { longest: 10.minutes(), ..exp(1.secs(), 2.0) };
    CallSpec::new(to, ask, gave_up).retry(retry.max(ATTEMPTS)).timeout(10.secs())
}

/// What is posted.
#[derive(Serialize)]
struct Text<'a> {
    to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    text: &'a str,
}

/// What is answered: there is nothing to say.
#[derive(Deserialize)]
struct Taken {}

async fn post(url: Option<Remote>, what: &str, call: &Call<Letter>, text: &Text<'_>) -> Answer<RecordNotification> {
    let Some(url) = url else { return sent(&call.request) };
    let ending: Ending<Taken> = url.post(&[what], &call.idempotency_key, text).await;
    ending.answer(|_| Ok(record(&call.request, None)), |reason| record(&call.request, Some(reason)))
}

async fn deliver(
    relay: &AsyncSmtpTransport<Tokio1Executor>,
    from: MailAddress,
    call: &Call<Letter>,
) -> Answer<RecordNotification> {
    let letter = &call.request;
    let Ok(message) = message(from, call) else {
        return Answer::Refused(record(letter, Some("bad_address".to_owned())));
    };
    match relay.send(message).await {
        Ok(_) => sent(letter),
        Err(error) => ending(call, &error),
    }
}

/// How the relay's no is meant. What broke off may have been taken.
fn ending(call: &Call<Letter>, error: &smtp::Error) -> Answer<RecordNotification> {
    let letter = &call.request;
    match error.status() {
        Some(code) if error.is_permanent() => Answer::Refused(record(letter, Some(format!("smtp_{code}")))),
        Some(code) => Answer::Again(format!("smtp_{code}"), Some((call.attempt * LATER).min(MUCH_LATER))),
        None if error.is_client() => Answer::Refused(record(letter, Some("not_for_this_relay".to_owned()))),
        None => Answer::Unknown(error.to_string()),
    }
}

fn message(from: MailAddress, call: &Call<Letter>) -> Result<Message, lettre::error::Error> {
    let Letter { to, subject, body, .. } = &call.request;
    let to: MailAddress = to.trim().parse().map_err(|_| lettre::error::Error::MissingTo)?;
    Message::builder()
        .message_id(Some(format!("<{}@{}>", call.idempotency_key, from.domain())))
        .date(SystemTime::from(call.at))
        .from(Mailbox::new(None, from))
        .to(Mailbox::new(None, to))
        .subject(subject.as_str())
        .header(ContentType::TEXT_PLAIN)
        .body(body.clone())
}

fn sent(letter: &Letter) -> Answer<RecordNotification> {
    Answer::Done(record(letter, None))
}

fn record(letter: &Letter, failed: Option<String>) -> RecordNotification {
    RecordNotification { notification_id: letter.notification_id.clone(), failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_an_address_and_nothing_else() {
        for (text, shown) in [
            ("smtp://mail", "smtp://mail:25"),
            ("smtp://127.0.0.1:2525/", "smtp://127.0.0.1:2525"),
            ("smtp://[::1]:26", "smtp://[::1]:26"),
            ("smtp://[::1]", "smtp://[::1]:25"),
        ] {
            assert_eq!(text.parse::<Relay>().unwrap().to_string(), shown);
        }
        for (text, says) in [
            ("smtps://mail", "speak TLS"),
            ("mail:25", "such as smtp://"),
            ("smtp://", "such as smtp://"),
            ("smtp://mail:x", "such as smtp://"),
            ("smtp://mail:0", "such as smtp://"),
            ("smtp://a b", "such as smtp://"),
            ("smtp://me:secret@mail", "leave them out"),
        ] {
            let refused = text.parse::<Relay>().unwrap_err();
            assert!(refused.contains(says) && !refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn a_mail_bears_the_calls_key_and_no_line_of_it_becomes_a_header() {
        let letter = |to: &str| Letter {
            notification_id: "n".into(),
            to: to.to_owned(),
            subject: "Gr\u{fc}\u{df}e\r\nBcc: x@y".to_owned(),
            body: "text\n.\nmore".to_owned(),
        };
        let call = |to: &str| Call {
            request: letter(to),
            idempotency_key: "key-1".to_owned(),
            attempt: 1,
            at: Timestamp::UNIX_EPOCH,
        };
        let from: MailAddress = "shop@example.org".parse().unwrap();
        let mail = String::from_utf8(message(from.clone(), &call("ann@b.example")).unwrap().formatted()).unwrap();
        assert!(
            mail.contains("Message-ID: <key-1@example.org>\r\n") && mail.contains("To: ann@b.example\r\n"),
            "{mail}"
        );
        assert!(!mail.contains("\r\nBcc"), "{mail}");
        for odd in ["", "nobody", "a@b\r\nBcc: x@y", "a@b, c@d"] {
            assert!(message(from.clone(), &call(odd)).is_err(), "{odd}");
        }
    }
}
