//! The message types that a program declares: each has one name and one version today, whoever reads or writes it.

use std::collections::BTreeMap;

use crate::{
    error::NameError,
    id::check_type_name,
    payload::{TypeInfo, Version},
    reaction::Makes,
    service::Service,
};

/// Declarations that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// A name that cannot be stored.
    #[error("{by}: {problem}")]
    Name {
        /// Who declares it.
        by: String,
        /// What is wrong.
        problem: NameError,
    },
    /// A version that is none.
    #[error("{by} declares `{type_name}` {version}, which is no version: write three numbers, such as 1.2.0")]
    NoVersion {
        /// Who declares it.
        by: String,
        /// The type.
        type_name: &'static str,
        /// What stands there.
        version: &'static str,
    },
    /// Two shapes under one name.
    #[error(
        "`{type_name}` is {one_version} for {one} and {other_version} for {other}: a program knows one version of a \
         type; give both the same Rust type"
    )]
    TwoVersions {
        /// The type.
        type_name: &'static str,
        /// Who declares the one.
        one: String,
        /// The one.
        one_version: &'static str,
        /// Who declares the other.
        other: String,
        /// The other.
        other_version: &'static str,
    },
    /// A reader that knows more than is written.
    #[error(
        "{reader} reads `{type_name}` {read_version}, but {owner} writes and answers {version}: give both the same \
         Rust type, or the reader an older minor version"
    )]
    Ahead {
        /// The type.
        type_name: &'static str,
        /// Who reads it.
        reader: String,
        /// As which version.
        read_version: &'static str,
        /// The decider or folding whose type it is.
        owner: String,
        /// The version that it declares.
        version: &'static str,
    },
    /// Two types that had one name.
    #[error("`{old}` is an old name of `{one}` and of `{other}`: data stored under it would be both; keep one `was`")]
    OldNameTwice {
        /// The old name.
        old: &'static str,
        /// The one.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// An old name that is still a type.
    #[error(
        "`{old}` is an old name of `{today}`, and {by} still declares it as a type: remove `was = \"{old}\"`, or the type"
    )]
    OldNameTaken {
        /// The old name.
        old: &'static str,
        /// The type that had it.
        today: &'static str,
        /// Who declares it.
        by: String,
    },
}

/// A type as a program declares it.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Name and version.
    pub info: TypeInfo,
    /// The handler whose declaration counts: the decider or folding whose type it is, else who knows most.
    pub by: String,
    version: Version,
    owned: bool,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Types {
    declared: BTreeMap<&'static str, Declared>,
    old: BTreeMap<&'static str, &'static str>,
}

impl Types {
    /// Puts together what all handlers of these services declare.
    ///
    /// # Errors
    /// [`TypeError`] if two of them speak of one name and mean two things. A reader may know an older minor than the
    /// owner of a type.
    pub fn of(services: &[Service]) -> Result<Self, TypeError> {
        let mut types = Self::default();
        for service in services {
            types.service(service)?;
        }
        for (old, today) in &types.old {
            if let Some(Declared { by, .. }) = types.declared.get(old) {
                return Err(TypeError::OldNameTaken { old, today, by: by.clone() });
            }
        }
        Ok(types)
    }

    /// A type by its name of today.
    pub fn get(&self, name: &str) -> Option<&Declared> {
        self.declared.get(name)
    }

    /// All types, by name.
    pub fn all(&self) -> impl Iterator<Item = &Declared> {
        self.declared.values()
    }

    /// Old names, and what they are called today.
    pub fn old_names(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.old.iter().map(|(old, today)| (*old, *today))
    }

    /// Types whose names are not ours.
    pub fn adopted(&self) -> impl Iterator<Item = &'static str> {
        self.declared.values().filter(|declared| declared.info.adopted).map(|declared| declared.info.name)
    }

    fn service(&mut self, service: &Service) -> Result<(), TypeError> {
        let name = &service.name;
        for decider in &service.deciders {
            let by = format!("{name}.{}", decider.category());
            self.add(decider.events().into_iter().chain(decider.commands()), &by, true)?;
        }
        for folding in &service.foldings {
            let by = format!("{name}.{}", folding.name());
            self.add(folding.answered(), &by, true)?;
            self.add(folding.folded().into_iter().chain(folding.reacted()), &by, false)?;
            self.add(emitted(folding.makes()), &by, false)?;
        }
        for saga in &service.sagas {
            self.add(saga.declared(), &format!("{name}.{}", saga.name()), false)?;
        }
        for reaction in &service.reactions {
            let by = format!("{name}.{}", reaction.name);
            self.add(reaction.types.clone(), &by, false)?;
            self.add(emitted(&reaction.makes), &by, false)?;
        }
        for view in &service.views {
            self.add(view.types(), &format!("the view of `{}`", view.table().name), false)?;
        }
        for cache in &service.caches {
            self.add(cache.types(), &format!("the cache {}", cache.name()), false)?;
        }
        for call in &service.calls {
            self.add(call.answers.clone(), &format!("the call {name}.{}", call.name), false)?;
        }
        Ok(())
    }

    fn add(&mut self, infos: impl IntoIterator<Item = TypeInfo>, by: &str, owned: bool) -> Result<(), TypeError> {
        for info in infos {
            let no_version = || TypeError::NoVersion { by: by.to_owned(), type_name: info.name, version: info.version };
            let version = Version::parse(info.version).ok_or_else(no_version)?;
            for name in info.was.iter().chain([&info.name]) {
                check_type_name(name).map_err(|problem| TypeError::Name { by: by.to_owned(), problem })?;
            }
            for old in info.was {
                match self.old.insert(old, info.name) {
                    Some(one) if one != info.name => {
                        return Err(TypeError::OldNameTwice { old, one, other: info.name });
                    }
                    _ => {}
                }
            }
            let new = Declared { info, by: by.to_owned(), version, owned };
            match self.declared.get_mut(info.name) {
                None => _ = self.declared.insert(info.name, new),
                Some(known) if counts(known, &new)? => *known = new,
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// The events that a reaction emits: perhaps of a type that a decider owns.
fn emitted(makes: &Makes) -> impl Iterator<Item = TypeInfo> {
    makes.events.iter().map(|(_, info)| *info)
}

/// Whether a declaration counts more than the one that is known.
fn counts(known: &Declared, new: &Declared) -> Result<bool, TypeError> {
    if known.version.major != new.version.major || known.owned && new.owned && known.version != new.version {
        return Err(TypeError::TwoVersions {
            type_name: new.info.name,
            one: known.by.clone(),
            one_version: known.info.version,
            other: new.by.clone(),
            other_version: new.info.version,
        });
    }
    let (reader, owner) = match (known.owned, new.owned) {
        (true, false) => (new, known),
        (false, true) => (known, new),
        (true, true) => return Ok(false),
        (false, false) => return Ok(new.version > known.version),
    };
    if reader.version > owner.version {
        return Err(TypeError::Ahead {
            type_name: new.info.name,
            reader: reader.by.clone(),
            read_version: reader.info.version,
            owner: owner.by.clone(),
            version: owner.info.version,
        });
    }
    Ok(new.owned)
}
