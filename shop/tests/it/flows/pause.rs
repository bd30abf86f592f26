//! A service whose consumers stand still: each fails whatever reaches it, until they go on; what failed waits as a letter.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use factum::{
    By,
    decider::{Addressed, AnyDecider, Context, Decision},
    envelope::{Message, Stored},
    letters::{Outcome, Query},
    payload::TypeInfo,
    pipeline::{Due, Through},
    prelude::*,
    reaction::{AnyFolding, Effect, Makes},
    rejection::Refused,
    snapshot::Codec,
    stream::Position,
};

use crate::shop::Shop;

/// Whether the consumers stand still.
#[derive(Clone, Default)]
pub struct Pause(Arc<AtomicBool>);

impl Pause {
    pub fn begin(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// The consumers go on, and a person sees to what waits: so many letters.
    pub async fn end(&self, shop: &Shop) -> usize {
        self.0.store(false, Ordering::SeqCst);
        let by = By::new("mara", "the service is back");
        let mut ended = 0;
        loop {
            let letters = shop.app.letters().list(Query::default()).await.unwrap().letters;
            for letter in &letters {
                let outcome = shop.app.letters().redrive(&letter.id, &by).await.unwrap();
                assert!(matches!(outcome, Outcome::Done { .. }), "{}: {outcome:?}", letter.id);
            }
            ended += letters.len();
            shop.app.rest().await.unwrap();
            if letters.is_empty() {
                return ended;
            }
        }
    }

    /// All consumers of a service that the engine runs obey it; but orders are accepted.
    pub fn of(&self, mut service: Service) -> Service {
        if service.name != "order" {
            let deciders = std::mem::take(&mut service.deciders).into_iter();
            service.deciders = deciders.map(|inner| Box::new(Obedient(inner, self.clone())) as _).collect();
        }
        let foldings = std::mem::take(&mut service.foldings).into_iter();
        service.foldings = foldings.map(|inner| Box::new(Obedient(inner, self.clone())) as _).collect();
        for reaction in std::mem::take(&mut service.reactions) {
            service.foldings.push(Box::new(Obedient(reaction, self.clone())));
        }
        service
    }

    fn check(&self) -> Result<(), HandlerError> {
        match self.0.load(Ordering::SeqCst) {
            true => Err(HandlerError::failed("the service is paused")),
            false => Ok(()),
        }
    }
}

struct Obedient<T>(T, Pause);

impl AnyDecider for Obedient<Box<dyn AnyDecider>> {
    fn category(&self) -> &'static str {
        self.0.category()
    }
    fn commands(&self) -> Vec<TypeInfo> {
        self.0.commands()
    }
    fn events(&self) -> Vec<TypeInfo> {
        self.0.events()
    }
    fn address(&self, message: &Message) -> Result<Addressed, HandlerError> {
        self.0.address(message)
    }
    fn repeat_key(&self, command: &Addressed) -> Option<u64> {
        self.0.repeat_key(command)
    }
    fn blank(&self) -> Box<dyn Any + Send> {
        self.0.blank()
    }
    fn decide(&self, state: &mut dyn Any, command: Addressed, context: &Context) -> Result<Decision, HandlerError> {
        self.1.check()?;
        self.0.decide(state, command, context)
    }
    fn evolve(&self, state: &mut dyn Any, stored: &Stored) -> Result<(), HandlerError> {
        self.0.evolve(state, stored)
    }
    fn reads(&self, stored: &Stored) -> Result<(), HandlerError> {
        self.0.reads(stored)
    }
    fn bytes(&self, state: &dyn Any) -> usize {
        self.0.bytes(state)
    }
    fn snapshots(&self) -> Option<Codec> {
        self.0.snapshots()
    }
}

/// It goes on folding: its state is right when it goes on.
impl AnyFolding for Obedient<Box<dyn AnyFolding>> {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn version(&self) -> u32 {
        self.0.version()
    }
    fn folded(&self) -> Vec<TypeInfo> {
        self.0.folded()
    }
    fn reacted(&self) -> Vec<TypeInfo> {
        self.0.reacted()
    }
    fn answered(&self) -> Vec<TypeInfo> {
        self.0.answered()
    }
    fn starts_at_beginning(&self) -> bool {
        self.0.starts_at_beginning()
    }
    fn by(&self) -> Option<&'static str> {
        self.0.by()
    }
    fn on_dead(&self) -> OnDead {
        self.0.on_dead()
    }
    fn makes(&self) -> &Makes {
        self.0.makes()
    }
    fn reacts_to(&self, type_name: &str) -> bool {
        self.0.reacts_to(type_name)
    }
    fn snapshots(&self) -> Option<Codec> {
        self.0.snapshots()
    }
    fn blank(&self) -> Box<dyn Any + Send> {
        self.0.blank()
    }
    fn fold(&self, state: &mut dyn Any, stored: &Stored, touched: &mut bool) -> Result<(), HandlerError> {
        self.0.fold(state, stored, touched)
    }
    fn react(&self, state: &dyn Any, stored: &Stored) -> Result<Vec<Effect>, HandlerError> {
        self.1.check()?;
        self.0.react(state, stored)
    }
    fn due(&self, state: &dyn Any, stored: &Stored) -> Result<Option<Due>, HandlerError> {
        self.0.due(state, stored)
    }
    fn stands(&self, state: &mut dyn Any, acted: Position, through: Option<&Through>) {
        self.0.stands(state, acted, through);
    }
    fn hears_rejections(&self) -> bool {
        self.0.hears_rejections()
    }
    fn rejected(&self, state: &dyn Any, refused: &Refused, stored: &Stored) -> Result<Vec<Effect>, HandlerError> {
        self.1.check()?;
        self.0.rejected(state, refused, stored)
    }
    fn answer(
        &self,
        state: &dyn Any,
        command: &Stored,
        context: &Context,
    ) -> Result<Result<Vec<Effect>, Refused>, HandlerError> {
        self.1.check()?;
        self.0.answer(state, command, context)
    }
}

/// A reaction, as a folding without a state.
impl AnyFolding for Obedient<Reaction> {
    fn name(&self) -> &'static str {
        self.0.name
    }
    fn version(&self) -> u32 {
        1
    }
    fn folded(&self) -> Vec<TypeInfo> {
        Vec::new()
    }
    fn reacted(&self) -> Vec<TypeInfo> {
        self.0.types.clone()
    }
    fn answered(&self) -> Vec<TypeInfo> {
        Vec::new()
    }
    fn starts_at_beginning(&self) -> bool {
        self.0.from_start
    }
    fn by(&self) -> Option<&'static str> {
        self.0.by
    }
    fn on_dead(&self) -> OnDead {
        self.0.on_dead
    }
    fn makes(&self) -> &Makes {
        &self.0.makes
    }
    fn reacts_to(&self, type_name: &str) -> bool {
        self.0.types.iter().any(|info| info.name == type_name)
    }
    fn snapshots(&self) -> Option<Codec> {
        None
    }
    fn blank(&self) -> Box<dyn Any + Send> {
        Box::new(())
    }
    fn fold(&self, _: &mut dyn Any, _: &Stored, _: &mut bool) -> Result<(), HandlerError> {
        Ok(())
    }
    fn react(&self, _: &dyn Any, stored: &Stored) -> Result<Vec<Effect>, HandlerError> {
        self.1.check()?;
        self.0.run(stored)
    }
    fn hears_rejections(&self) -> bool {
        false
    }
    fn rejected(&self, _: &dyn Any, _: &Refused, _: &Stored) -> Result<Vec<Effect>, HandlerError> {
        Ok(Vec::new())
    }
    fn answer(&self, _: &dyn Any, _: &Stored, _: &Context) -> Result<Result<Vec<Effect>, Refused>, HandlerError> {
        Err(HandlerError::failed("a reaction answers nothing"))
    }
}
