//! The plugin types that come with Weir.

use std::fmt;
use std::str::FromStr;

macro_rules! built_in {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A plugin type that comes with Weir.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum BuiltIn {
            $($(#[$doc])* $name,)*
        }

        impl BuiltIn {
            /// Every type.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As it is written in a manifest.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

built_in! {
    /// Keeps one candidate, by chance.
    Random,
    /// Keeps those with the fewest requests in flight.
    LeastConnections,
    /// Keeps those with the most free capacity.
    LeastLoad,
    /// Keeps the first one.
    Fill,
    /// Keeps those with the best score.
    Score,
    /// Keeps one candidate, by chance in proportion to scores.
    WeightedScore,
    /// Keeps one candidate, always the same for the same key.
    Hash,
    /// Keeps those with a label that the request asks for.
    Subset,
    /// Keeps the one that a cookie names, and sets the cookie.
    Stickiness,
    /// Changes headers of the request.
    RequestHeaders,
    /// Changes headers of the response.
    ResponseHeaders,
    /// Sends the request on with another path or host.
    Rewrite,
    /// Sends the client elsewhere.
    Redirect,
    /// Answers in place of a backend.
    Respond,
    /// Lets scripts of other origins in.
    Cors,
    /// Lets requests in by where they come from.
    AllowAddresses,
    /// Lets requests in by what they carry.
    Require,
    /// Delays requests, or fails them, for tests.
    Fault,
    /// Limits how many requests come in.
    RateLimit,
    /// Lets requests in by a key.
    ApiKey,
    /// Lets people in by name and password.
    BasicAuth,
    /// Lets requests in by a signed token.
    Jwt,
    /// Lets requests in that another server lets in.
    ExternalAuth,
    /// Compresses responses.
    Compress,
    /// Sends copies of requests to another pool.
    Mirror,
    /// Counts requests in a metric of the user's own.
    Metrics,
}

impl fmt::Display for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BuiltIn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|known| known.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no plugin type"))
    }
}
