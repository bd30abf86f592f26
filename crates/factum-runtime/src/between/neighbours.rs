//! The services of other units: what they answer, and which streams are theirs.

use std::collections::BTreeMap;

use factum_core::{id::Name, service::Service};

use crate::registry::{self, Build, RegistryError};

/// See the module. Nothing, where there is one unit.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    commands: BTreeMap<String, Name>,
    categories: BTreeMap<String, Name>,
}

impl Neighbours {
    /// The services of all other units.
    ///
    /// # Errors
    /// [`RegistryError`] if they do not fit together.
    pub fn of(services: &[Service]) -> Result<Self, RegistryError> {
        let built = registry::built(services)?;
        let service = |at: usize| services[at].name.clone();
        let answered =
            built.commands.iter().map(|(command, id)| (command.clone(), service(built.consumers[id.0].service)));
        let owned = built.owners.iter().map(|(category, owner)| (category.to_owned(), owner.clone()));
        let owned = owned.filter(|(_, owner)| *owner != registry::PLATFORM);
        Ok(Self { commands: answered.collect(), categories: owned.collect() })
    }

    /// Whether services of another unit have nothing of what these have.
    pub(crate) fn apart(&self, build: &Build) -> Result<(), RegistryError> {
        for (command, id) in &build.commands {
            if let Some(other) = self.commands.get(command) {
                let (command, one) = (command.clone(), build.consumers[id.0].name.clone());
                return Err(RegistryError::TwoAddressees { command, one, other: other.to_string() });
            }
        }
        for (category, one) in build.owners.iter() {
            if let Some(other) = self.categories.get(category) {
                let (category, one, other) = (category.to_owned(), one.clone(), other.clone());
                return Err(RegistryError::TwoOwners { category, one, other });
            }
        }
        Ok(())
    }

    /// The service that answers a command.
    pub fn answers(&self, command: &str) -> Option<&Name> {
        self.commands.get(command)
    }

    /// The service whose streams are of this category.
    pub fn owner(&self, category: &str) -> Option<&Name> {
        self.categories.get(category)
    }

    /// Commands and who answers them.
    pub fn commands(&self) -> impl Iterator<Item = (&str, &Name)> {
        self.commands.iter().map(|(command, service)| (command.as_str(), service))
    }
}
