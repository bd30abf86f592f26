//! What a partner was asked and has done: once for each key, and each effect once.

use std::collections::BTreeMap;

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<A> {
    /// It has this effect, by a name of its own such as `capture pay-7`, and is answered so.
    Done(String, A),
    /// It is answered so, and nothing is done.
    Refused(A),
}

/// A partner's memory, outside the program under test: it outlives each of its kills.
#[derive(Debug)]
pub struct Recorder<A> {
    /// What was asked under a key, and how it was answered.
    known: BTreeMap<String, (String, A)>,
    /// By effect: the key of it.
    done: BTreeMap<String, String>,
    /// The keys of what was done, in order.
    order: Vec<String>,
    repeats: u64,
    problems: Vec<String>,
}

impl<A> Default for Recorder<A> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), done: BTreeMap::new(), order: Vec::new(), repeats: 0, problems: Vec::new() }
    }
}

impl<A: Clone> Recorder<A> {
    /// Carries out what is asked under a key, unless it was before: then it is answered as it was. `asked` is all that must
    /// be the same whenever the key is.
    pub fn ask(&mut self, key: &str, asked: &str, carry_out: impl FnOnce() -> Outcome<A>) -> A {
        if let Some((before, answer)) = self.known.get(key) {
            self.repeats += 1;
            if before != asked {
                self.problems.push(format!("the key {key} stood for `{before}`, and now for `{asked}`"));
            }
            return answer.clone();
        }
        let answer = match carry_out() {
            Outcome::Refused(answer) => answer,
            Outcome::Done(effect, answer) => {
                self.order.push(key.to_owned());
                if let Some(before) = self.done.insert(effect.clone(), key.to_owned()) {
                    self.problems.push(format!("`{effect}` was done twice, under the keys {before} and {key}"));
                }
                answer
            }
        };
        self.known.insert(key.to_owned(), (asked.to_owned(), answer.clone()));
        answer
    }

    /// How a key was answered, if it is known.
    pub fn answer(&self, key: &str) -> Option<&A> {
        self.known.get(key).map(|(_, answer)| answer)
    }

    /// Whether something was done.
    pub fn has_done(&self, effect: &str) -> bool {
        self.done.contains_key(effect)
    }

    /// The keys under which something was done, in the order in which it was done.
    pub fn order(&self) -> &[String] {
        &self.order
    }

    /// How much was done.
    pub fn effects(&self) -> usize {
        self.done.len()
    }

    /// Requests that came again.
    pub fn repeats(&self) -> u64 {
        self.repeats
    }

    /// What no partner would have a program do: an effect twice, or one key for two things.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_carried_out_once_and_an_effect_under_two_keys_is_a_problem() {
        let mut recorder = Recorder::default();
        let charge = |answer: &'static str| move || Outcome::Done("charge b1".to_owned(), answer);
        assert_eq!(recorder.ask("k1", "charge b1 for 9", charge("first")), "first");
        assert_eq!(recorder.ask("k1", "charge b1 for 9", charge("second")), "first");
        assert_eq!((recorder.effects(), recorder.repeats(), recorder.problems().len()), (1, 1, 0));
        recorder.ask("k1", "charge b1 for 8", charge("third"));
        assert!(recorder.problems()[0].contains("now for `charge b1 for 8`"));
        recorder.ask("k2", "charge b1 for 9", charge("fourth"));
        assert!(recorder.problems()[1].contains("under the keys k1 and k2"));
    }

    #[test]
    fn what_was_refused_may_be_asked_again_under_another_key() {
        let mut recorder = Recorder::default();
        assert_eq!(recorder.ask("k1", "charge b1", || Outcome::Refused("no")), "no");
        recorder.ask("k2", "charge b1", || Outcome::Done("charge b1".to_owned(), "yes"));
        assert_eq!((recorder.answer("k1"), recorder.answer("k3")), (Some(&"no"), None));
        assert!(recorder.has_done("charge b1") && recorder.problems().is_empty());
        recorder.ask("k3", "charge b2", || Outcome::Done("charge b2".to_owned(), "yes"));
        recorder.ask("k2", "charge b1", || Outcome::Refused("no"));
        assert_eq!(recorder.order(), ["k2", "k3"], "each once, as it was done");
    }
}
