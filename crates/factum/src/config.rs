//! What a deployment says of a program: a file, the environment, flags; what comes later counts.

use std::{
    env,
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
const KEYS: [&str; 5] = ["store", "rows", "snapshots", "definitions", "lease"];

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
        for place in [&config.store, &config.rows, &config.snapshots].into_iter().flatten() {
            place.check().map_err(|error| ConfigError(error.to_string()))?;
        }
        Ok(config)
    }

    /// The stores; `None` if nothing says where the data is.
    pub fn stores(&self) -> Option<Stores> {
        let stores = Stores::at(self.store.clone()?);
        let stores = self.lease.iter().fold(stores, |stores, length| stores.lease(*length));
        let stores = self.rows.iter().fold(stores, |stores, place| stores.rows_in(place));
        Some(self.snapshots.iter().fold(stores, |stores, place| stores.snapshots_in(place)))
    }
}

/// Without what stands in the file: there may be a password in it.
fn said_wrong(file: Option<&Path>, error: &figment::Error) -> ConfigError {
    use figment::error::Kind;
    let place = file.map_or_else(|| "the flags".to_owned(), |file| file.display().to_string());
    let keys = KEYS.join(", ");
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
