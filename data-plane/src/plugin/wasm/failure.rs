//! What a call that ended badly says.

use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::plugin::{Cause, Failure};

/// What an error of wasmtime means.
pub(super) fn failure(error: wasmtime::Error) -> Failure {
    let error = match error.downcast::<Failure>() {
        Ok(failure) => return failure,
        Err(error) => error,
    };
    let cause = match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => return Failure::new(Cause::Timeout, "it did not come to an end in time"),
        Some(Trap::AllocationTooLarge) => Cause::Memory,
        _ if error.is::<PoolConcurrencyLimitError>() => Cause::Unavailable,
        _ => Cause::Error,
    };
    // The root says what went wrong; the rest is a trace of the guest's functions.
    Failure::new(cause, error.root_cause().to_string())
}
