//! Statuses of gRPC.

/// A status of gRPC that is no success, 1 to 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrpcStatus(u8);

/// The largest there is: UNAUTHENTICATED.
const LARGEST: u8 = 16;

impl GrpcStatus {
    /// The one of this number; `None` if there is none or it is OK.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| (1..=LARGEST).contains(number)).map(Self)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}
