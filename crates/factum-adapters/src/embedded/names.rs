//! Names of types and sources, each allocated once: a log has few of them and millions of messages.

use std::{collections::HashSet, sync::Arc};

use factum_core::id::Name;

/// Slots of the small table in front; a power of two.
const SLOTS: usize = 64;
/// Names kept at most, so that a log full of made-up names cannot fill the memory.
const MOST: usize = 4096;

/// Names that were seen before.
pub(super) struct Names {
    recent: [Option<Arc<str>>; SLOTS],
    known: HashSet<Arc<str>>,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { recent: [const { None }; SLOTS], known: HashSet::new() }
    }

    /// The name, without allocating if it was asked for before.
    pub(super) fn get(&mut self, text: &str) -> Name {
        // A comparison with the right slot costs a fifth of a hash; a wrong one costs a look-up, and no harm.
        let ends = text.bytes().next().unwrap_or(0) ^ text.bytes().next_back().unwrap_or(0).rotate_left(3);
        let slot = &mut self.recent[(usize::from(ends) ^ text.len()) % SLOTS];
        if let Some(known) = slot.as_ref().filter(|known| ***known == *text) {
            return Name::Shared(Arc::clone(known));
        }
        let name = match self.known.get(text) {
            Some(known) => Arc::clone(known),
            None => {
                if self.known.len() >= MOST {
                    self.known.clear();
                }
                let name: Arc<str> = Arc::from(text);
                self.known.insert(Arc::clone(&name));
                name
            }
        };
        *slot = Some(Arc::clone(&name));
        Name::Shared(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(name: &Name) -> *const u8 {
        name.as_str().as_ptr()
    }

    #[test]
    fn a_name_is_allocated_once_also_beside_others_of_its_slot() {
        let mut names = Names::new();
        let (first, second) = (names.get("order.created"), names.get("order.closed.d"));
        for _ in 0..3 {
            assert_eq!(address(&names.get("order.created")), address(&first));
            assert_eq!(address(&names.get("order.closed.d")), address(&second));
        }
        assert_eq!(first, *"order.created");
    }

    #[test]
    fn made_up_names_do_not_fill_the_memory() {
        let mut names = Names::new();
        for number in 0..3 * MOST {
            assert_eq!(names.get(&format!("name-{number}")), *format!("name-{number}").as_str());
        }
        assert!(names.known.len() <= MOST);
    }
}
