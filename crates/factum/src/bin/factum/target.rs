//! What letters are looked for in: a running app, by its address, or data.

use std::{fmt, net::SocketAddr, path::Path, str::FromStr};

use factum::Location;
use reqwest::Url;

use crate::{Problem, remote::Remote, screen};

/// See the module.
#[derive(Clone, Debug)]
pub enum Target {
    /// A running app.
    Address(Url),
    /// An app's data: a directory, or a database.
    Data(Location),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let such_as = "name an address such as http://127.0.0.1:8080, a data directory, or a database: postgres://…";
        if !text.contains("://") {
            return match is_address(text) && !Path::new(text).exists() {
                true => Self::from_str(&format!("http://{text}")),
                false if text.is_empty() => Err(such_as.to_owned()),
                false => Ok(Self::Data(text.into())),
            };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Data(text.into()));
        }
        let url = Url::parse(text).map_err(|error| format!("{error}: {such_as}"))?;
        match url.scheme() {
            "http" => {}
            "https" => {
                let why = "https is not spoken: use the http address on the app's own machine, or an SSH tunnel to it";
                return Err(why.to_owned());
            }
            other => return Err(format!("{other} is not spoken: {such_as}")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("leave out name and password: nothing asks for them".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("leave out what follows `?` or `#`".to_owned());
        }
        Ok(Self::Address(url))
    }
}

/// Whether a text without a scheme is a host and a port.
fn is_address(text: &str) -> bool {
    let named = |(host, port): (&str, &str)| !host.contains(['/', ':']) && port.parse::<u16>().is_ok();
    text.parse::<SocketAddr>().is_ok() || text.split_once(':').is_some_and(named)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(url) => f.write_str(url.as_str().trim_end_matches('/')),
            Self::Data(data) => data.fmt(f),
        }
    }
}

impl Target {
    /// The running app; data alone cannot do it.
    pub fn app(&self) -> Result<Remote, Problem> {
        match self {
            Self::Address(url) => Remote::open(url),
            Self::Data(_) => {
                let sentence = "needs the program: start it and name its address, such as http://127.0.0.1:8080";
                Err(Problem::Refused(sentence.to_owned()))
            }
        }
    }

    /// As a shell takes it.
    pub fn quoted(&self) -> String {
        screen::quoted(&self.to_string())
    }
}
