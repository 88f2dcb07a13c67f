//! Who was right lately.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use ring::hmac;
use tokio::time::Instant;

/// How long a password that was changed may still be good.
const KEPT: Duration = Duration::from_mins(1);

/// Most that are remembered.
const MOST: usize = 4_096;

/// Knows credentials by a hash under a key that no one else has: memory that leaks gives away no password.
pub(super) struct Memory {
    key: hmac::Key,
    until: Mutex<HashMap<Box<[u8]>, Instant>>,
}

impl Default for Memory {
    fn default() -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
        Self { key, until: Mutex::default() }
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Memory").field(&self.until.lock().len()).finish()
    }
}

impl Memory {
    pub(super) fn knows(&self, user: &str, password: &[u8]) -> bool {
        let now = Instant::now();
        self.until.lock().get(&self.hash(user, password)).is_some_and(|until| now < *until)
    }

    pub(super) fn remember(&self, user: &str, password: &[u8]) {
        let now = Instant::now();
        let mut until = self.until.lock();
        if until.len() >= MOST {
            until.retain(|_, until| now < *until);
        }
        if until.len() >= MOST {
            until.clear();
        }
        until.insert(self.hash(user, password), now + KEPT);
    }

    /// A name has no colon.
    fn hash(&self, user: &str, password: &[u8]) -> Box<[u8]> {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(user.as_bytes());
        context.update(b":");
        context.update(password);
        context.sign().as_ref().into()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn p1_who_was_right_is_known_for_a_minute() {
        let memory = Memory::default();
        memory.remember("ada", b"open");
        assert!(memory.knows("ada", b"open"));
        assert!(!memory.knows("ada", b"Open") && !memory.knows("bob", b"open"));
        advance(KEPT).await;
        assert!(!memory.knows("ada", b"open"));
    }

    #[test]
    fn p7_what_is_remembered_is_bounded() {
        let memory = Memory::default();
        (0..=MOST).for_each(|n| memory.remember("ada", n.to_string().as_bytes()));
        assert!(memory.until.lock().len() <= MOST);
        assert!(memory.knows("ada", MOST.to_string().as_bytes()), "the last one");
    }
}
