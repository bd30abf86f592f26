//! Whom a shop's calls go to: recorded in its log, so that a start with others does not hand them what is open.

use anyhow::bail;
use factum::{Archive, http::client::Remote, prelude::*, stream::StreamId};

use crate::{check, contracts::process::Process, data::Data, plural::counted, services::archive_if_any};

/// What stands where somebody is only played.
pub const SIMULATED: &str = "simulated";
/// There is one record in a log.
const ID: &str = "shop";

/// The shop runs with these partners from now on.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("partners.chosen", own)]
pub struct PartnersChosen {
    /// The payment provider's address, or `simulated`.
    pub provider: String,
    /// The carrier's address, or `simulated`.
    pub carrier: String,
    /// How an order is run: `orchestrated`, also where it is not said, or `choreographed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
}

/// Records the partners that the shop runs with; answered by `partners.chosen`, by nothing if they are the same.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("partners.choose", own)]
pub struct ChoosePartners {
    /// The payment provider's address, or `simulated`.
    pub provider: String,
    /// The carrier's address, or `simulated`.
    pub carrier: String,
    /// How an order is run: `orchestrated` or `choreographed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
}

/// Provider and carrier: their addresses, or that they are simulated; and how an order is run with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partners {
    /// Who holds, takes and gives back the money.
    pub provider: String,
    /// Who brings the parcels.
    pub carrier: String,
    /// How an order is run.
    pub process: Process,
}

impl Partners {
    /// By their addresses.
    pub fn of(provider: Option<&Remote>, carrier: Option<&Remote>) -> Self {
        let text = |remote: Option<&Remote>| remote.map_or_else(|| SIMULATED.to_owned(), Remote::to_string);
        Self { provider: text(provider), carrier: text(carrier), process: Process::default() }
    }

    /// The same, and how an order is run.
    #[must_use]
    pub fn run(self, process: Process) -> Self {
        Self { process, ..self }
    }

    fn chosen(provider: String, carrier: String, process: Option<&str>) -> Self {
        let process = process.and_then(|process| process.parse().ok()).unwrap_or_default();
        Self { provider, carrier, process }
    }

    /// Whether one of these who is real would only be simulated by the others.
    fn is_only_played_by(&self, others: &Self) -> bool {
        let both = [(&self.provider, &others.provider), (&self.carrier, &others.carrier)];
        both.into_iter().any(|(one, other)| one != SIMULATED && other == SIMULATED)
    }

    fn sentence(&self) -> String {
        let Self { provider, carrier, .. } = self;
        format!("the provider {provider} and the carrier {carrier}")
    }

    /// Records them.
    pub fn choose(&self) -> ChoosePartners {
        let process = Some(self.process.to_string());
        ChoosePartners { provider: self.provider.clone(), carrier: self.carrier.clone(), process }
    }
}

/// Refuses to go on in a directory that was run with other partners as long as any call is open, or may still be made for
/// what has happened: whoever is asked now does not know what the others have done. And with a simulated one, where a real
/// one has money or parcels.
///
/// # Errors
/// A sentence that says what to do; or the log cannot be read.
pub fn refuse_others(data: &Data, wanted: &Partners) -> anyhow::Result<()> {
    let Some(archive) = archive_if_any(data)? else { return Ok(()) };
    let Some(before) = chosen(&archive)? else { return Ok(()) };
    let (before, under_way) = (before.run(wanted.process), archive.under_way()?);
    if before != *wanted && !under_way.is_quiet() {
        bail!(
            "{} was run with {}, and not all that it asked them is answered ({}, {}), so it does \
             not start with {}: start it as before, let it run until they have answered, and stop it in order; or add \
             --moved if these are the same partners at other addresses",
            data,
            before.sentence(),
            counted(under_way.calls as u64, "open call"),
            counted(under_way.unread, "unread message"),
            wanted.sentence()
        );
    }
    if before.is_only_played_by(wanted) {
        let findings = check::check(&archive)?;
        let kept = findings.captured.saturating_sub(findings.refunded);
        if kept > 0 || findings.orders_under_way > 0 || findings.open_payments > 0 {
            bail!(
                "{} was run with {}, and now a partner would only be simulated: what its {} orders have paid ({kept} pence) \
                 would be given back in the books alone. Start it with --provider and --carrier as before; \
                 another directory is the place to try things out, and to import files",
                data,
                before.sentence(),
                findings.orders
            );
        }
    }
    Ok(())
}

/// Refuses to run a directory's orders in another way than before as long as any are under way: whoever is to carry them on
/// would not be there. `left` is the way of an import that could not be brought to rest: the orders are its.
///
/// # Errors
/// As [`refuse_others`].
pub fn refuse_another_process(data: &Data, wanted: Process, left: Option<Process>) -> anyhow::Result<()> {
    let Some(archive) = archive_if_any(data)? else { return Ok(()) };
    let before = match left {
        Some(process) => Some(process),
        None => chosen(&archive)?.map(|before| before.process),
    };
    let Some(before) = before.filter(|before| *before != wanted) else { return Ok(()) };
    let orders = check::check(&archive)?.orders_under_way;
    if orders > 0 {
        bail!(
            "{} is run {before}, and {} under way, so it does not start {wanted}: start it with --process {before} until all \
             have come to their ends",
            data,
            counted(orders, "order"),
        );
    }
    Ok(())
}

/// Whether a directory's log says last that it is run with these.
///
/// # Errors
/// The log cannot be read.
pub fn are_recorded(data: &Data, wanted: &Partners) -> anyhow::Result<bool> {
    let Some(archive) = archive_if_any(data)? else { return Ok(false) };
    Ok(chosen(&archive)?.is_some_and(|before| before == *wanted))
}

/// What a log says last of the partners.
fn chosen(archive: &Archive) -> anyhow::Result<Option<Partners>> {
    let mut chosen = None;
    for stored in archive.stream(&StreamId::new(Partners::CATEGORY, ID)?)? {
        if stored.type_name() == "partners.chosen" {
            let PartnersChosen { provider, carrier, process } = stored.decode()?;
            chosen = Some(Partners::chosen(provider, carrier, process.as_deref()));
        }
    }
    Ok(chosen)
}

impl Decider for Partners {
    const CATEGORY: &'static str = "partners";
    type Id = String;
    type Command = ChoosePartners;
    type Event = PartnersChosen;
    type Rejection = Never;

    fn address(_: &ChoosePartners, _: &Envelope) -> String {
        ID.to_owned()
    }

    fn decide(&self, _: &String, choose: ChoosePartners, _: &Context) -> Result<Vec<PartnersChosen>, Never> {
        let ChoosePartners { provider, carrier, process } = choose;
        let same = *self == Self::chosen(provider.clone(), carrier.clone(), process.as_deref());
        Ok(if same { vec![] } else { vec![PartnersChosen { provider, carrier, process }] })
    }

    fn evolve(&mut self, event: &PartnersChosen) {
        let PartnersChosen { provider, carrier, process } = event.clone();
        *self = Self::chosen(provider, carrier, process.as_deref());
    }
}

/// The service that keeps the record.
pub fn service() -> Service {
    Service::new("partners").decider::<Partners>()
}
