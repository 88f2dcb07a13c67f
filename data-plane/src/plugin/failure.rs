//! How a plugin fails.

/// Why a plugin failed; the word is the label `reason` of `weir_plugin_failures_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Cause {
    /// It says so itself: a Lua error, a trap.
    Error,
    /// It took too long.
    Timeout,
    /// It asked for too much memory.
    Memory,
    /// What it returned makes no sense.
    BadAnswer,
    /// What it needs is not there, such as another server.
    Unavailable,
    /// A fault of Weir's own.
    Panic,
}

impl Cause {
    /// Every cause, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Error, Self::Timeout, Self::Memory, Self::BadAnswer, Self::Unavailable, Self::Panic];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::BadAnswer => "bad_answer",
            Self::Unavailable => "unavailable",
            Self::Panic => "panic",
        }
    }
}

/// A failure of one call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// Of what kind.
    pub cause: Cause,
    /// For the log: where and what.
    pub text: String,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self { cause, text: text.into() }
    }

    /// What a plugin returned makes no sense.
    pub fn bad_answer(text: impl Into<String>) -> Self {
        Self::new(Cause::BadAnswer, text)
    }
}
