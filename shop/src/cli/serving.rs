//! What `shop serve` understands.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use factum::http::client::Remote;
use shop::{
    loyalty::reactions::Policy,
    notification::gateway::{Channels, FROM, Mail, MailAddress, Relay, STAFF},
    serve::Serve,
    shipping::signature::Secret,
};

use super::{place::Stand, way::Way};

/// The variable that holds the carrier's secret, where no file does.
const CARRIER_SECRET: &str = "SHOP_CARRIER_SECRET";

/// Where a shop is open, and with whom.
#[derive(Debug, Args)]
pub struct Serving {
    #[command(flatten)]
    stand: Stand,
    /// Serve one unit of several, as factum.toml names them, each with its services and its data; `shop up` serves all of them.
    #[arg(long, value_name = "NAME")]
    unit: Option<String>,
    /// Where to listen; only this machine's own addresses. 127.0.0.1:8080 if neither this nor factum.toml says so.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// How long the simulated carrier's day takes, such as 24h, 10s or 500ms.
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = duration)]
    day: Duration,
    /// The payment provider's URL, such as http://127.0.0.1:9000; simulated if there is none. Its acts are
    /// POST <URL>/payments/<id>/authorize, capture, void and refund, each under an Idempotency-Key.
    #[arg(long, value_name = "URL")]
    provider: Option<Remote>,
    /// The provider lists its payments (`GET <url>/payments/pages/0` and so on): ours are compared with them every night.
    #[arg(long, requires = "provider")]
    provider_lists: bool,
    /// The carrier's URL; simulated if there is none. It is asked by POST <URL>/shipments/<id>, and to drop a parcel
    /// by POST <URL>/shipments/<id>/cancel, each under an Idempotency-Key, and tells its news to the shop's POST
    /// /carrier/news, signed by `Carrier-Signature: sha256=<HMAC-SHA256 of the body, in hex>`.
    #[arg(long, value_name = "URL")]
    carrier: Option<Remote>,
    /// A file with the secret that the carrier signs its news with, of 16 bytes or more; or say it in the variable
    /// SHOP_CARRIER_SECRET.
    #[arg(long, value_name = "FILE", requires = "carrier")]
    carrier_secret: Option<PathBuf>,
    /// How long an order waits for a provider or a carrier that does not answer, before it is undone: its payment is let go,
    /// its stock is free again, and the customer hears that it was cancelled.
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = duration)]
    patience: Duration,
    /// How long the provider and the carrier may take to answer one request; then what came of it counts as unknown.
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = duration)]
    answer_within: Duration,
    #[command(flatten)]
    way: Way,
    /// Where mail to customers and staff goes: a relay that speaks plain SMTP, such as smtp://127.0.0.1:25; simulated if there
    /// is none, and then it can be read at GET /notifications, as all that is sent.
    #[arg(long, value_name = "URL")]
    mail: Option<Relay>,
    /// Whom mail comes from.
    #[arg(long, value_name = "ADDRESS", default_value = FROM)]
    mail_from: MailAddress,
    /// Where the shop's staff reads its mail.
    #[arg(long, value_name = "ADDRESS", default_value = STAFF)]
    staff: MailAddress,
    /// Who sends texts; simulated if there is none. It is asked by POST <URL>/messages with {to, text}, under an
    /// Idempotency-Key.
    #[arg(long, value_name = "URL")]
    sms: Option<Remote>,
    /// Who sends pushes; simulated if there is none. It is asked by POST <URL>/pushes with {to, title, text}, under an
    /// Idempotency-Key; `to` is the customer's id.
    #[arg(long, value_name = "URL")]
    push: Option<Remote>,
    /// How long nobody changes a cart before it is abandoned, and its customer reminded.
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = duration)]
    abandon_carts: Duration,
    /// Provider and carrier are those that this directory was run with before, at other addresses.
    #[arg(long)]
    moved: bool,
    /// Start also if streams hold events that this program cannot read: those streams are held, the others go on.
    #[arg(long)]
    hold_unknown: bool,
    /// When an order brings its customer points.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    points_on: PointsOn,
}

/// See [`Serving`].
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum PointsOn {
    /// When it is delivered.
    #[default]
    Delivered,
    /// When it is paid.
    Paid,
}

impl Serving {
    /// The same, with the carrier's secret read.
    ///
    /// # Errors
    /// The secret cannot be read, or is too short.
    pub fn options(self) -> anyhow::Result<Serve> {
        let carrier_secret = if self.carrier.is_some() { secret(self.carrier_secret.as_deref())? } else { None };
        let Self {
            stand,
            unit,
            listen,
            day,
            provider,
            provider_lists,
            carrier,
            patience,
            answer_within,
            way,
            moved,
            hold_unknown,
            points_on,
            ..
        } = self;
        let points = match points_on {
            PointsOn::Delivered => Policy::Delivered,
            PointsOn::Paid => Policy::Paid,
        };
        let mail = self.mail.map(|relay| Mail { relay, from: self.mail_from });
        let (channels, abandon_carts) =
            (Channels { mail, sms: self.sms, push: self.push, staff: self.staff.to_string() }, self.abandon_carts);
        let (data, part, said) = match &unit {
            None => (stand.data()?, None, None),
            Some(name) => stand.unit(name).map(|(data, part, said)| (data, Some(part), said))?,
        };
        let usual = SocketAddr::from(([127, 0, 0, 1], 8080));
        Ok(Serve {
            data,
            part,
            listen: listen.or(said).unwrap_or(usual),
            day,
            provider,
            provider_lists,
            carrier,
            carrier_secret,
            channels,
            abandon_carts,
            patience,
            answer_within,
            process: way.process.unwrap_or_default(),
            moved,
            hold_unknown,
            points,
        })
    }
}

/// The carrier's secret, from its file or its variable.
fn secret(file: Option<&Path>) -> anyhow::Result<Option<Secret>> {
    let text = match file {
        Some(file) => Some(fs::read(file).with_context(|| format!("the secret in {} cannot be read", file.display()))?),
        None => env::var_os(CARRIER_SECRET).map(|text| text.into_encoded_bytes()),
    };
    Ok(text.map(|text| Secret::new(&text)).transpose()?)
}

/// A duration of more than nothing, of 30 days at most.
pub fn duration(text: &str) -> Result<Duration, String> {
    let problem = || "use a duration such as 24h, 10s or 500ms".to_owned();
    let span: jiff::SignedDuration = text.parse().map_err(|_| problem())?;
    let duration = Duration::try_from(span).map_err(|_| problem())?;
    if duration.is_zero() || duration > Duration::from_secs(30 * 86_400) {
        return Err("use a duration of more than nothing and at most 30 days".to_owned());
    }
    Ok(duration)
}
