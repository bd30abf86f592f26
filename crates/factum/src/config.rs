//! What a deployment says of a program: a file, the environment, flags; what comes later counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{
    Figment,
    providers::{Format, Serialized, Toml},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{location::Location, stores::Stores};

/// The file in the working directory; a program goes on without it.
pub const FILE: &str = "factum.toml";
/// The environment variable that names another file, which must be there then.
pub const FILE_VARIABLE: &str = "FACTUM_CONFIG";
/// What the environment's variables begin with: `FACTUM_STORE`, `FACTUM_ROWS`, …
const PREFIX: &str = "FACTUM_";
/// What can be said, which is the fields of [`Config`].
const KEYS: [&str; 6] = ["store", "rows", "snapshots", "definitions", "lease", "broker"];
/// What only the file can say, beside them.
const UNITS: &str = "units";

/// Shorter leases end while a machine is busy, longer ones are not worth their name.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3600);

/// What can be said. What is not said is as the program has it.
///
/// ```toml
/// store = "postgres://shop@db/shop?schema=shop"
/// rows = "/var/lib/shop/rows"
/// definitions = "/etc/shop/definitions"
/// ```
///
/// A business of several units names them, with the services of each and where its data is; a broker carries messages between
/// them:
///
/// ```toml
/// broker = "kafka://127.0.0.1:9092"
///
/// [units.sales]
/// services = ["cart", "order"]
/// store = "postgres://shop@db/shop?schema=sales"
///
/// [units.stock]
/// services = ["inventory"]
/// store = "/var/lib/shop/stock"
/// ```
///
/// A password is better said in `FACTUM_STORE` than in a flag, which everybody on the machine can see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the data is: a directory, or a database.
    pub store: Option<Location>,
    /// Where the rows are, if not there.
    pub rows: Option<Location>,
    /// Where the snapshots are, if not there.
    pub snapshots: Option<Location>,
    /// A folder of definitions in YAML.
    pub definitions: Option<PathBuf>,
    /// As [`Stores::lease`]: a duration such as `15s`.
    #[serde(default, deserialize_with = "duration")]
    pub lease: Option<Duration>,
    /// The broker between units, as [`Broker::open`](crate::Broker::open) takes it.
    pub broker: Option<String>,
    /// The units, if there are several.
    #[serde(default)]
    pub units: BTreeMap<String, UnitConfig>,
}

/// A unit of several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitConfig {
    /// The names of its services.
    pub services: BTreeSet<String>,
    /// Where its data is.
    pub store: Location,
    /// Where its rows are, if not there.
    pub rows: Option<Location>,
    /// Where its snapshots are, if not there.
    pub snapshots: Option<Location>,
    /// Where it listens.
    pub listen: Option<SocketAddr>,
}

fn duration<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let span = text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    let wrong = || D::Error::custom("a lease is a duration from 1s to 1h, such as 15s");
    span.filter(|span| (SHORTEST..=LONGEST).contains(span)).map(Some).ok_or_else(wrong)
}

/// What the flags say, in the words of [`Config`].
#[derive(Clone, Debug, Default, Serialize)]
pub struct Flags {
    /// As [`Config::store`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// As [`Config::rows`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
    /// As [`Config::snapshots`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<String>,
    /// As [`Config::definitions`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definitions: Option<PathBuf>,
}

/// What was said cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be used: {0}")]
pub struct ConfigError(String);

impl Config {
    /// From `factum.toml` or the file that `FACTUM_CONFIG` names, the environment, and these flags.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file or variable, and what can be said.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        let file = match env::var_os(FILE_VARIABLE).map(PathBuf::from) {
            Some(named) if !named.is_file() => {
                return Err(ConfigError(format!("there is no file {}, which {FILE_VARIABLE} names", named.display())));
            }
            Some(named) => Some(named),
            None => Some(PathBuf::from(FILE)).filter(|file| file.is_file()),
        };
        Self::of(file.as_deref(), flags)
    }

    fn of(file: Option<&Path>, flags: &Flags) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(file) = file {
            figment = figment.merge(Toml::file_exact(file));
        }
        // As text: a folder named 42 is no number.
        for key in KEYS {
            let variable = format!("{PREFIX}{}", key.to_uppercase());
            match env::var(&variable) {
                Ok(text) => figment = figment.merge(Serialized::default(key, text)),
                Err(env::VarError::NotPresent) => {}
                Err(env::VarError::NotUnicode(_)) => {
                    return Err(ConfigError(format!("{variable} is no text in UTF-8")));
                }
            }
        }
        let config: Self =
            figment.merge(Serialized::defaults(flags)).extract().map_err(|error| said_wrong(file, &error))?;
        let of_units =
            config.units.values().flat_map(|unit| [Some(&unit.store), unit.rows.as_ref(), unit.snapshots.as_ref()]);
        let own = [&config.store, &config.rows, &config.snapshots].map(Option::as_ref);
        for place in own.into_iter().chain(of_units).flatten() {
            place.check().map_err(|error| ConfigError(error.to_string()))?;
        }
        Ok(config)
    }

    /// One of the units.
    ///
    /// # Errors
    /// [`ConfigError`]: there is none of that name, or no broker.
    pub fn unit(&self, name: &str) -> Result<&UnitConfig, ConfigError> {
        let known = || self.units.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let unit = self.units.get(name).ok_or_else(|| {
            ConfigError(match self.units.is_empty() {
                true => format!(
                    "there is no unit {name}: name it in {FILE}, as [{UNITS}.{name}] with its services and its store"
                ),
                false => format!("there is no unit {name}: there are {}", known()),
            })
        })?;
        match self.broker {
            Some(_) => Ok(unit),
            None => {
                Err(ConfigError("several units need a broker between them: broker = \"kafka://host:port\"".to_owned()))
            }
        }
    }

    /// Compares the units with the services of the program: each is in one of them.
    ///
    /// # Errors
    /// [`ConfigError`], which names a service that is in none, in two, or unknown, or two units with one store.
    pub fn check_units<'a>(&self, services: impl IntoIterator<Item = &'a str>) -> Result<(), ConfigError> {
        let services: BTreeSet<&str> = services.into_iter().collect();
        let (mut placed, mut stores): (BTreeMap<&str, &str>, BTreeMap<String, &str>) = Default::default();
        for (unit, config) in &self.units {
            for service in &config.services {
                if !services.contains(&**service) {
                    let all = services.iter().copied().collect::<Vec<_>>().join(", ");
                    return Err(ConfigError(format!("unit {unit} names the service {service}, and there are {all}")));
                }
                if let Some(other) = placed.insert(service, unit) {
                    return Err(ConfigError(format!(
                        "the service {service} is in the units {other} and {unit}: leave it in one"
                    )));
                }
            }
            if let Some(other) = stores.insert(config.store.to_string(), unit) {
                return Err(ConfigError(format!(
                    "the units {other} and {unit} have one store: give each its own, such as a schema or a directory"
                )));
            }
        }
        match services.iter().find(|service| !placed.contains_key(**service)) {
            Some(service) => Err(ConfigError(format!("the service {service} is in no unit: name it in one"))),
            None => Ok(()),
        }
    }

    /// The stores; `None` if nothing says where the data is.
    pub fn stores(&self) -> Option<Stores> {
        Some(self.stores_of(self.store.clone()?, self.rows.as_ref(), self.snapshots.as_ref()))
    }

    /// The stores of a unit.
    pub fn stores_of_unit(&self, unit: &UnitConfig) -> Stores {
        self.stores_of(unit.store.clone(), unit.rows.as_ref(), unit.snapshots.as_ref())
    }

    fn stores_of(&self, log: Location, rows: Option<&Location>, snapshots: Option<&Location>) -> Stores {
        let stores = Stores::at(log);
        let stores = self.lease.iter().fold(stores, |stores, length| stores.lease(*length));
        let stores = rows.into_iter().fold(stores, |stores, place| stores.rows_in(place));
        snapshots.into_iter().fold(stores, |stores, place| stores.snapshots_in(place))
    }
}

/// Without what stands in the file: there may be a password in it.
fn said_wrong(file: Option<&Path>, error: &figment::Error) -> ConfigError {
    use figment::error::Kind;
    let place = file.map_or_else(|| "the flags".to_owned(), |file| file.display().to_string());
    let keys = [&KEYS[..], &[UNITS]].concat().join(", ");
    let key = error.path.join(".");
    ConfigError(match &error.kind {
        Kind::UnknownField(name, _) => format!("{place} says `{name}`, which nobody reads: there are {keys}"),
        Kind::InvalidType(_, wanted) => format!("{place} gives `{key}` in another form than {wanted}"),
        // Where in the file it is, without the lines around it.
        Kind::Message(text) => {
            let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            format!("{place} cannot be read: {first}")
        }
        _ => format!("{place} cannot be read; there are {keys}, each with a text"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(toml: &str, flags: &Flags) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        std::fs::write(&file, toml).unwrap();
        Config::of(Some(&file), flags).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_count_more_than_the_file() {
        let flags = Flags { store: Some("./other".to_owned()), ..Flags::default() };
        let toml = "store = 'postgres://shop@db/shop'\nrows = '/rows'";
        let config = said(toml, &flags).unwrap();
        assert_eq!((config.store.clone(), config.rows.clone()), (Some("./other".into()), Some("/rows".into())));
        assert_eq!(config.stores(), Some(Stores::at("./other").rows_in("/rows")));
        assert_eq!(said(toml, &Flags::default()).unwrap().store, Some("postgres://shop@db/shop".into()));
        assert_eq!(Config::of(None, &Flags::default()).unwrap().stores(), None);
    }

    #[test]
    fn units_are_told_apart_and_compared_with_the_services() {
        let toml = "broker = 'kafka://b:9092'\n[units.sales]\nservices = ['cart', 'order']\nstore = './sales'\n\
                    [units.stock]\nservices = ['inventory']\nstore = './stock'\nrows = './rows'\nlisten = '127.0.0.1:8081'";
        let config = said(toml, &Flags::default()).unwrap();
        let stock = config.unit("stock").unwrap();
        assert_eq!(config.stores_of_unit(stock), Stores::at("./stock").rows_in("./rows"));
        config.check_units(["order", "cart", "inventory"]).unwrap();
        let told = |services: &[&str]| config.check_units(services.iter().copied()).unwrap_err().to_string();
        assert!(told(&["order", "cart", "inventory", "fraud"]).contains("the service fraud is in no unit"));
        assert!(told(&["order", "cart"]).contains("unit stock names the service inventory"));
        assert!(config.unit("fraud").unwrap_err().to_string().contains("there are sales, stock"));
        let two = said(&toml.replace("'inventory'", "'cart'"), &Flags::default()).unwrap();
        assert!(two.check_units(["order", "cart"]).unwrap_err().to_string().contains("in the units sales and stock"));
        let one = said(&toml.replace("'./stock'", "'./sales'"), &Flags::default()).unwrap();
        assert!(one.check_units(["order", "cart", "inventory"]).unwrap_err().to_string().contains("have one store"));
        let alone = said(&toml.replace("broker = 'kafka://b:9092'", ""), &Flags::default()).unwrap();
        assert!(alone.unit("stock").unwrap_err().to_string().contains("need a broker"));
        let wrong = said(&toml.replace("rows =", "row ="), &Flags::default()).unwrap_err();
        assert!(wrong.contains("`row`"), "{wrong}");
    }

    #[test]
    fn what_cannot_be_used_is_a_sentence_without_what_is_secret() {
        for (toml, sentence) in [
            ("stroe = 'postgres://shop:sesame@db/shop'", "says `stroe`, which nobody reads: there are store, rows"),
            ("store = 5", "gives `store` in another form than"),
            ("store = ['postgres://shop:sesame@db/shop']", "gives `store` in another form than"),
            ("store = 'postgres://shop:sesame@db/shop", "cannot be read"),
            ("store = 'mysql://shop:sesame@db/shop'", "data is not kept at mysql://"),
            ("lease = '0s'", "a duration from 1s to 1h"),
            ("store = ''", "name a directory, or a database"),
        ] {
            let told = said(toml, &Flags::default()).unwrap_err();
            assert!(told.contains(sentence) && !told.contains("sesame"), "{toml}: {told}");
        }
    }
}
