//! How a control plane tells a proxy that its stream has lasted long enough, so that proxies spread over replicas
//! that came later (rule 9 of the stream).

use tonic::{Code, Status};

const MESSAGE: &str = "the stream has come of age";

/// What ends such a stream.
#[must_use]
pub fn come_of_age() -> Status {
    Status::unavailable(MESSAGE)
}

/// Whether that is why a stream ended: its control plane is well.
#[must_use]
pub fn is_come_of_age(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.message() == MESSAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_told_from_other_ends() {
        assert!(is_come_of_age(&come_of_age()));
        assert!(!is_come_of_age(&Status::unavailable("the control plane stops")));
    }
}
