//! How a pool chooses among its endpoints.

/// The balancing methods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Balance {
    /// Smooth weighted round robin, exact over all workers.
    #[default]
    RoundRobin,
    /// Weighted random.
    Random,
    /// Fewest requests in flight per weight.
    LeastConnections,
    /// Most free capacity.
    LeastLoad,
    /// The better of two random endpoints, by requests in flight per weight.
    PowerOfTwo,
    /// The better of two random endpoints, by peak-sensitive latency times load.
    PeakEwma,
    /// Always the first usable endpoint, by name.
    FirstAlive,
    /// Starts at the number of the client's connection.
    Rotate,
    /// The first endpoint with room, by name.
    Fill,
    /// The same key goes to the same endpoint.
    Hash(HashKey),
}

impl Balance {
    /// The method as written in a manifest.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::RoundRobin => "RoundRobin",
            Self::Random => "Random",
            Self::LeastConnections => "LeastConnections",
            Self::LeastLoad => "LeastLoad",
            Self::PowerOfTwo => "PowerOfTwo",
            Self::PeakEwma => "PeakEwma",
            Self::FirstAlive => "FirstAlive",
            Self::Rotate => "Rotate",
            Self::Fill => "Fill",
            Self::Hash(_) => "Hash",
        }
    }
}

/// What a hash is made of. A request that lacks the value is hashed by its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The client's IP address.
    Address,
    /// A request header, lower case.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A query parameter.
    Query(String),
}
