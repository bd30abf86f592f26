//! Where an app keeps its data.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use factum_core::error::StoreError;
use serde::{Deserialize, Serialize};

/// Where an app keeps its data: a directory, or a schema of a PostgreSQL database.
///
/// Whatever can be a path is one, so that `App::open("./data")` is all that a program says; `postgres://…` is a database:
/// `postgres://user:password@host:port/database?schema=unit`, without a schema `factum`. What is written of it, and shown,
/// is without the password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "PathBuf")]
pub struct Location(Kind);

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres(String),
    /// With its scheme.
    Unknown(String),
}

impl Location {
    /// The directory, if it is one.
    pub fn directory(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Directory(dir) => Some(dir),
            _ => None,
        }
    }

    /// Whether something can be kept there at all.
    ///
    /// # Errors
    /// [`StoreError::Permanent`], a sentence that says what can be named.
    pub fn check(&self) -> Result<(), StoreError> {
        match &self.0 {
            Kind::Unknown(scheme) => Err(unknown(scheme)),
            Kind::Directory(dir) if dir.as_os_str().is_empty() => Err(StoreError::Permanent(format!("name {SUCH_AS}"))),
            _ => Ok(()),
        }
    }

    /// As it was said, with the password if there is one: for the program that is to open it, and for nobody's eyes.
    pub fn in_full(&self) -> String {
        match &self.0 {
            Kind::Directory(dir) => dir.to_string_lossy().into_owned(),
            #[cfg(feature = "postgres")]
            Kind::Postgres(url) => url.clone(),
            Kind::Unknown(scheme) => format!("{scheme}://…"),
        }
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0
    }
}

impl<P: AsRef<Path>> From<P> for Location {
    fn from(place: P) -> Self {
        let path = place.as_ref();
        Self(match path.to_str().and_then(|text| Some((text, text.split_once("://")?.0))) {
            #[cfg(feature = "postgres")]
            Some((url, POSTGRES | POSTGRESQL)) => Kind::Postgres(url.to_owned()),
            Some((_, scheme)) if is_scheme(scheme) => Kind::Unknown(scheme.to_owned()),
            _ => Kind::Directory(path.to_owned()),
        })
    }
}

impl From<&Self> for Location {
    fn from(place: &Self) -> Self {
        place.clone()
    }
}

impl FromStr for Location {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let place = Self::from(text);
        place.check()?;
        Ok(place)
    }
}

const POSTGRES: &str = "postgres";
const POSTGRESQL: &str = "postgresql";
const SUCH_AS: &str = "a directory, or a database such as postgres://user:password@host:port/database?schema=unit";

/// What is said of a scheme that nothing stands behind.
pub(crate) fn unknown(scheme: &str) -> StoreError {
    StoreError::Permanent(match scheme {
        POSTGRES | POSTGRESQL => {
            format!("this program cannot keep data at {scheme}://…: build it with the feature `postgres`")
        }
        _ => format!("data is not kept at {scheme}://…: name {SUCH_AS}"),
    })
}

fn is_scheme(text: &str) -> bool {
    text.len() > 1 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Directory(dir) => dir.display().fmt(f),
            #[cfg(feature = "postgres")]
            Kind::Postgres(url) => f.write_str(&crate::wiring::shown(url)),
            Kind::Unknown(scheme) => write!(f, "{scheme}://…"),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Location {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_directory_and_a_url_a_database() {
        for dir in ["data", "./data", "/var/lib/shop", "C:/data", "a:b", ""] {
            assert_eq!(Location::from(dir).directory(), Some(Path::new(dir)), "{dir}");
        }
        for url in ["postgres://factum@db/shop", "postgresql://db/shop?schema=unit"] {
            assert!(matches!(Location::from(url).kind(), Kind::Postgres(kept) if kept == url), "{url}");
        }
        let told = "mysql://root:sesame@db/shop".parse::<Location>().unwrap_err().to_string();
        assert!(told.contains("mysql://…: name a directory") && !told.contains("sesame"), "{told}");
        assert!("".parse::<Location>().is_err());
    }

    #[test]
    fn nobody_sees_a_password() {
        let place = Location::from("postgres://factum:sesame@db/shop");
        let json = serde_json::to_string(&place).unwrap();
        let told = format!("{place} {place:?} {json} {}", Location::from("mysql://root:sesame@db/shop"));
        assert!(!told.contains("sesame"), "{told}");
        assert!(told.starts_with("postgres://factum@db/shop"), "{told}");
    }
}
