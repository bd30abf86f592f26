//! Calls: messages handled outside the process, with retry, time-out and an answer.
//!
//! ```text
//!            ┌────────── again, timed out, unknown ──────────┐
//!            ▼                                               │
//! open ──► asked ──► done ─────► command to the decider ─► closed
//!            │  └──► refused ──► command to the decider ─► closed
//!            └─────► attempts used up: `gave_up` ────────► closed
//! ```
//!
//! A call is open as long as its cell stands. Its answer is a command, decided in the commit that deletes the cell, so
//! that an answer counts once however often the call was made. The steps of sagas make calls too
//! ([`Step::call`](crate::saga::Step::call)): their answers go to the instance.

use std::{future::Future, marker::PhantomData, pin::Pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    envelope::{Draft, Stored},
    error::HandlerError,
    id::Name,
    payload::{Command, PayloadError, TypeInfo},
};

/// One attempt at a call.
#[derive(Clone, Debug)]
pub struct Call<R> {
    /// What is asked.
    pub request: R,
    /// The same on every attempt: give it to the other side, so that it acts once.
    pub idempotency_key: String,
    /// Counts from 1.
    pub attempt: u32,
    /// When the call was decided.
    pub at: Timestamp,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub enum Answer<C> {
    /// The other side did it.
    Done(C),
    /// The other side will not do it; final.
    Refused(C),
    /// It may or may not have happened: ask by the idempotency key before trying again.
    Unknown(String),
    /// It has not happened and may succeed later, not before the given time if the other side named one.
    Again(String, Option<Duration>),
}

/// How often and how long to try. Waiting grows exponentially with full jitter
/// (Marc Brooker, *Exponential Backoff and Jitter*, 2015).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// The longest first wait.
    pub first: Duration,
    /// Each wait's bound is this many times the one before.
    pub factor: f64,
    /// No wait is longer.
    pub longest: Duration,
    /// Attempts in all.
    pub attempts: u32,
}

/// Exponential backoff: waits up to `first`, then `factor` times as long each time; at most a minute, 8 attempts.
pub fn exp(first: Duration, factor: f64) -> Retry {
    Retry { first, factor, longest: Duration::from_secs(60), attempts: 8 }
}

/// The most attempts that [`Retry::lasting`] comes to.
const MOST_LASTING: u32 = 10_000;

impl Retry {
    /// How many attempts in all.
    #[must_use]
    pub fn max(self, attempts: u32) -> Self {
        Self { attempts: attempts.max(1), ..self }
    }

    /// As many attempts as fill this time, by the average of their waits: for a partner that is away no longer than that.
    #[must_use]
    pub fn lasting(self, time: Duration) -> Self {
        let mut waited = Duration::ZERO;
        let fills = |attempt: &u32| {
            waited += self.bound(*attempt) / 2;
            waited >= time
        };
        self.max((1..MOST_LASTING).find(fills).unwrap_or(MOST_LASTING))
    }

    /// The longest wait before an attempt, counted from 1 (before the first there is none).
    pub fn bound(&self, attempt: u32) -> Duration {
        if attempt <= 1 {
            return Duration::ZERO;
        }
        let grown = self.first.as_secs_f64() * self.factor.max(1.0).powi(attempt.min(64) as i32 - 2);
        Duration::from_secs_f64(grown.min(self.longest.as_secs_f64()))
    }
}

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallPolicy {
    /// How often.
    pub retry: Retry,
    /// One attempt's longest time; then its outcome is unknown.
    pub timeout: Duration,
    /// Attempts under way at once, over all keys. What waits for its next attempt is none of them.
    pub window: usize,
    /// How many attempts may be retries.
    pub budget: Budget,
    /// When the other side is left alone for a while.
    pub breaker: Breaker,
    /// Whether it changes nothing outside: where several processes could lead it may still be under way in one that leads no
    /// more, and is begun however short the lease is.
    pub only_reads: bool,
}

impl Default for CallPolicy {
    fn default() -> Self {
        Self {
            retry: exp(Duration::from_millis(200), 2.0),
            timeout: Duration::from_secs(10),
            window: 64,
            budget: Budget::default(),
            breaker: Breaker::default(),
            only_reads: false,
        }
    }
}

/// How many of a call's attempts may be retries, so that a weak partner is not drowned in them: each first attempt pays
/// for a part of a retry, and a few a second are free. A retry that nobody has paid for waits, and is not used up. (After
/// the retry budget of Finagle and tower.)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Retries that a first attempt pays for.
    pub ratio: f64,
    /// Retries a second that are free.
    pub free: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { ratio: 0.2, free: 10 }
    }
}

/// When the other side of a call is left alone (Michael Nygard, *Release It!*, 2007).
///
/// ```text
///            so many of the last attempts failed, or so many in a row
///   closed ─────────────────────────────────────► open ◄──────────────┐
///     ▲  every attempt is made                     │ none is made,    │
///     │                                            │ none is used up  │
///     │                              `open_for` is over               │
///     │                                            ▼                  │
///     └──────── the probe was answered ──────── half open ── the probe failed
///                                               one is made
/// ```
///
/// What is under way at one time is cut off at one time, and some failures come sooner than any answer. So the share is that of
/// the attempts that were *begun* in the window (as in the adaptive throttling of *Site Reliability Engineering*, 2016, which sets
/// requests against answers), a failure is one of a row only if its attempt was begun behind the end of the one before, and what
/// was begun before the breaker opened counts nothing.
///
/// A probe that fails is not one of its call's attempts, so that also a lone call outlasts an outage. A failed attempt is one
/// without an answer: cut off, timed out, or not possible now without a time named. A partner
/// that refuses, or that says when to come again, is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    /// Attempts are looked at for so long, from their begin and again from their end.
    pub window: Duration,
    /// Fewer than so many in the window open nothing.
    pub least: u32,
    /// The part of them that must have failed.
    pub failing: f64,
    /// So many failures one behind the other open it, however few there are in the window.
    pub in_a_row: u32,
    /// It stays open so long, then one attempt is made.
    pub open_for: Duration,
}

impl Breaker {
    /// It never opens.
    pub fn never() -> Self {
        Self { least: u32::MAX, in_a_row: u32::MAX, ..Self::default() }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), least: 10, failing: 0.5, in_a_row: 5, open_for: Duration::from_secs(5) }
    }
}

/// An attempt under way.
pub type Attempt = Pin<Box<dyn Future<Output = Answer<Draft>> + Send>>;

type Ask = Arc<dyn Fn(&Stored, String, u32) -> Result<Attempt, HandlerError> + Send + Sync>;
type GaveUp = Arc<dyn Fn(&Stored, &str) -> Result<Draft, HandlerError> + Send + Sync>;
type Fallback = Arc<dyn Fn(&Stored) -> Result<Option<Draft>, HandlerError> + Send + Sync>;
/// Says whether a request is asked for a week instead of so many times.
type Patient = Arc<dyn Fn(&Stored) -> Result<bool, HandlerError> + Send + Sync>;

/// A call's name, with what it is asked and what it answers: a command where reactions make it, anything where steps of
/// sagas do. Declare it once, where both sides see it:
///
/// ```
/// use factum_core::call::CallTo;
/// # #[derive(serde::Serialize, serde::Deserialize)] pub struct Charge;
/// # #[derive(serde::Serialize, serde::Deserialize)] pub struct Charged;
/// pub const CHARGE: CallTo<Charge, Charged> = CallTo::new("charge");
/// ```
pub struct CallTo<R, A> {
    name: &'static str,
    marker: PhantomData<fn(R) -> A>,
}

impl<R, A> Clone for CallTo<R, A> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R, A> Copy for CallTo<R, A> {}

impl<R, A> CallTo<R, A> {
    /// A call of that name; unique within its service.
    pub const fn new(name: &'static str) -> Self {
        Self { name, marker: PhantomData }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it is asked and answers, to be compared.
    pub(crate) fn shape() -> Shape {
        Shape { request: std::any::type_name::<R>(), answer: std::any::type_name::<A>() }
    }
}

/// What a call is asked and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The request's type.
    pub request: &'static str,
    /// The answer's.
    pub answer: &'static str,
}

/// A call without its types, as the outward loop holds it.
#[derive(Clone)]
pub struct AnyCall {
    /// Its name within the service.
    pub name: &'static str,
    /// What it is asked and answers.
    pub shape: Shape,
    /// The other side; calls to one share its breaker. The call's full name if it is not said.
    pub dependency: Option<&'static str>,
    /// How it is made.
    pub policy: CallPolicy,
    /// Commands that can be its answer; none if it answers the steps of sagas only.
    pub answers: Vec<TypeInfo>,
    /// Makes an attempt.
    pub ask: Ask,
    /// Finds out what became of an attempt whose outcome is unknown; without it the call is simply made again.
    pub query: Option<Ask>,
    /// The answer when all attempts are used up. A saga hears of that without one.
    pub gave_up: Option<GaveUp>,
    /// The answer while the breaker is open, if there is one.
    pub fallback: Option<Fallback>,
    /// Which requests are asked for a week instead of so many times.
    pub patient: Option<Patient>,
}

/// A call of a service: what asks the outside, and how.
pub struct CallSpec<R, A> {
    any: AnyCall,
    draft: fn(&A) -> Result<Draft, PayloadError>,
    marker: PhantomData<fn(R) -> A>,
}

impl<R, C> CallSpec<R, C>
where
    R: DeserializeOwned + Send + 'static,
    C: Command,
{
    /// A call that reactions make (`fx.call`): `ask` makes one attempt and answers with a command, `gave_up` is the command
    /// that the decider gets when all attempts are used up (with what stood in the way at the last one). Some service of
    /// the program answers each of these commands.
    pub fn new<F, Fut>(to: CallTo<R, C>, ask: F, gave_up: impl Fn(R, &str) -> C + Send + Sync + 'static) -> Self
    where
        F: Fn(Call<R>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer<C>> + Send + 'static,
    {
        let gave_up: GaveUp = Arc::new(move |stored, reason| Ok(Draft::of(&gave_up(request(stored)?, reason))?));
        let mut spec = Self::over(to, ask, Draft::of);
        (spec.any.gave_up, spec.any.answers) = (Some(gave_up), C::types());
        spec
    }
}

impl<R, A> CallSpec<R, A>
where
    R: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
{
    /// A call that steps of sagas make ([`Step::call`](crate::saga::Step::call)): `ask` makes one attempt.
    pub fn of_steps<F, Fut>(to: CallTo<R, A>, ask: F) -> Self
    where
        F: Fn(Call<R>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer<A>> + Send + 'static,
    {
        Self::over(to, ask, |answer| Draft::named(Name::Static("answer"), answer))
    }
}

impl<R, A> CallSpec<R, A>
where
    R: DeserializeOwned + Send + 'static,
    A: Send + 'static,
{
    fn over<F, Fut>(to: CallTo<R, A>, ask: F, draft: fn(&A) -> Result<Draft, PayloadError>) -> Self
    where
        F: Fn(Call<R>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer<A>> + Send + 'static,
    {
        let any = AnyCall {
            name: to.name,
            shape: CallTo::<R, A>::shape(),
            dependency: None,
            policy: CallPolicy::default(),
            answers: Vec::new(),
            ask: erase(ask, draft),
            query: None,
            gave_up: None,
            fallback: None,
            patient: None,
        };
        Self { any, draft, marker: PhantomData }
    }

    /// How often to try, and how long to wait between.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.any.policy.retry = retry;
        self
    }

    /// One attempt's longest time; then its outcome is unknown.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.any.policy.timeout = timeout;
        self
    }

    /// It changes nothing outside: it only reads there, or works through the app alone. See [`CallPolicy::only_reads`].
    #[must_use]
    pub fn only_reads(mut self) -> Self {
        self.any.policy.only_reads = true;
        self
    }

    /// Calls under way at once. Calls of one key are always made one after the other.
    #[must_use]
    pub fn window(mut self, calls: usize) -> Self {
        self.any.policy.window = calls.max(1);
        self
    }

    /// The other side, by a name: calls to one share its breaker.
    #[must_use]
    pub fn to(mut self, dependency: &'static str) -> Self {
        self.any.dependency = Some(dependency);
        self
    }

    /// How many attempts may be retries.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.any.policy.budget = budget;
        self
    }

    /// When the other side is left alone for a while. Of calls to one dependency, the first that is declared counts.
    #[must_use]
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.any.policy.breaker = breaker;
        self
    }

    /// The answer while the breaker is open, such as a value that was kept from before; without one the call waits.
    #[must_use]
    pub fn fallback(mut self, fallback: impl Fn(R) -> Option<A> + Send + Sync + 'static) -> Self {
        let draft = self.draft;
        self.any.fallback = Some(Arc::new(move |stored| {
            let answer = fallback(request(stored)?);
            Ok(answer.map(|answer| draft(&answer)).transpose()?)
        }));
        self
    }

    /// Requests that are not given up by the number of their attempts: they are asked for 7 days, with growing waits, and then
    /// are letters. To be redriven: it is asked again, under the same key. For what must happen in the end, such as giving
    /// money back, whether the other side is away for a minute or a day.
    #[must_use]
    pub fn patient(mut self, patient: impl Fn(&R) -> bool + Send + Sync + 'static) -> Self {
        self.any.patient = Some(Arc::new(move |stored| Ok(patient(&request(stored)?))));
        self
    }

    /// What finds out, by the idempotency key, what became of an attempt whose outcome is unknown. `Again` means that
    /// the other side does not know the key, so that the call may be made again.
    #[must_use]
    pub fn query<F, Fut>(mut self, query: F) -> Self
    where
        F: Fn(Call<R>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer<A>> + Send + 'static,
    {
        self.any.query = Some(erase(query, self.draft));
        self
    }

    /// Takes the types away.
    pub fn erase(self) -> AnyCall {
        self.any
    }
}

fn erase<R, A, F, Fut>(ask: F, draft: fn(&A) -> Result<Draft, PayloadError>) -> Ask
where
    R: DeserializeOwned + Send + 'static,
    A: Send + 'static,
    F: Fn(Call<R>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Answer<A>> + Send + 'static,
{
    Arc::new(move |stored, idempotency_key, attempt| {
        let at = stored.envelope().timestamp;
        let answer = ask(Call { request: request(stored)?, idempotency_key, attempt, at });
        let encoded = move |answer: &A| draft(answer).map_err(|error| error.to_string());
        let attempt: Attempt = Box::pin(async move {
            match answer.await {
                Answer::Done(answer) => encoded(&answer).map_or_else(Answer::Unknown, Answer::Done),
                Answer::Refused(answer) => encoded(&answer).map_or_else(Answer::Unknown, Answer::Refused),
                Answer::Unknown(reason) => Answer::Unknown(reason),
                Answer::Again(reason, wait) => Answer::Again(reason, wait),
            }
        });
        Ok(attempt)
    })
}

fn request<R: DeserializeOwned>(stored: &Stored) -> Result<R, HandlerError> {
    serde_json::from_slice(&stored.message.data).map_err(|error| HandlerError::Payload(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest_and_never_overflow() {
        let retry = exp(Duration::from_millis(200), 2.0);
        let bounds: Vec<u128> = (1..=5).map(|attempt| retry.bound(attempt).as_millis()).collect();
        assert_eq!(bounds, [0, 200, 400, 800, 1600]);
        assert_eq!(retry.bound(u32::MAX), Duration::from_secs(60));
    }

    #[test]
    fn attempts_fill_a_time_by_their_average() {
        let retry = exp(Duration::from_millis(200), 2.0);
        let attempts = |time| retry.lasting(Duration::from_secs(time)).attempts;
        // 0.1 + 0.2 + … + 12.8 are 25.5 s; then 25.6 more; then 30 a time.
        assert_eq!([0, 1, 25, 26, 51, 52, 600].map(attempts), [1, 5, 9, 10, 10, 11, 29]);
        assert_eq!(retry.lasting(Duration::MAX).attempts, MOST_LASTING);
    }
}
