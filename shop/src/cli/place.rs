//! Where the data is that a command is about.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use factum::{
    Broker,
    config::{Config, Flags},
};
use shop::{
    data::Data,
    services::{Part, names},
};

/// The data of a command that reads.
#[derive(Debug, Args)]
pub struct Where {
    /// The data directory, or a database such as postgres://shop@127.0.0.1/shop?schema=shop. Without it FACTUM_STORE counts,
    /// or `store` in factum.toml.
    #[arg(long, visible_alias = "store", value_name = "DIR|URL")]
    data: Option<String>,
}

/// The data of a command that runs the shop; it is made if it is missing.
#[derive(Debug, Args)]
pub struct Stand {
    #[command(flatten)]
    place: Where,
    /// Where the rows are, if not there: a directory or a database; or FACTUM_ROWS.
    #[arg(long, value_name = "DIR|URL")]
    rows: Option<String>,
    /// The folder of definitions in YAML, if it is not the folder `definitions` of the data directory; or FACTUM_DEFINITIONS.
    #[arg(long, value_name = "DIR")]
    definitions: Option<PathBuf>,
}

impl Where {
    /// The data.
    pub fn data(self) -> anyhow::Result<Data> {
        configured(&Flags { store: self.data, ..Flags::default() })
    }
}

impl Stand {
    /// The data.
    pub fn data(self) -> anyhow::Result<Data> {
        let Self { place, rows, definitions } = self;
        configured(&Flags { store: place.data, rows, definitions, ..Flags::default() })
    }

    /// The data of one unit of several, and what it is. Where that is stands in factum.toml.
    pub fn unit(self, name: &str) -> anyhow::Result<(Data, Part, Option<SocketAddr>)> {
        if self.place.data.is_some() || self.rows.is_some() {
            bail!("where the unit {name} keeps its data stands in factum.toml: leave --data and --rows out");
        }
        let config = Config::load(&Flags { definitions: self.definitions, ..Flags::default() })?;
        let (unit, names) = (config.unit(name)?, names());
        config.check_units(names.iter().map(String::as_str))?;
        let broker = Broker::open(config.broker.as_deref().unwrap_or_default())?;
        let data = Data { stores: config.stores_of_unit(unit), definitions: config.definitions.clone() };
        Ok((data, Part { unit: name.to_owned(), services: unit.services.clone(), broker }, unit.listen))
    }
}

fn configured(flags: &Flags) -> anyhow::Result<Data> {
    Data::configured(&Config::load(flags)?).context(
        "nothing says where the data is: add --data DIR, or --store postgres://user@host/database?schema=shop, or say it in the \
         variable FACTUM_STORE or in factum.toml",
    )
}
