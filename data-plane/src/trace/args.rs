//! The arguments of traces.

use std::str::FromStr;

use clap::Args;
use http::Uri;
use http::uri::{Authority, PathAndQuery};

use super::Settings;
use crate::share::Share;

/// Where a collector of OTLP over gRPC listens, by its registered name for ports.
const PORT: u16 = 4317;

/// What is traced; can be flattened into a command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Traces")]
pub struct TraceArgs {
    /// Send traces to a collector of OpenTelemetry, by OTLP over gRPC, such as http://127.0.0.1:4317. Without it the
    /// headers traceparent and tracestate pass untouched
    #[arg(long, value_name = "URL", env = "WEIR_TRACE_ENDPOINT")]
    pub trace_endpoint: Option<Collector>,
    /// Of the requests that come without a traceparent; of the others, those are traced whose parent is
    #[arg(long, value_name = "SHARE", env = "WEIR_TRACE_SAMPLE", default_value = "100%", requires = "trace_endpoint")]
    pub trace_sample: Share,
}

impl TraceArgs {
    /// What they say, if anything is to be traced by the proxy of this name.
    #[must_use]
    pub fn settings(self, instance: &str) -> Option<Settings> {
        let Self { trace_endpoint, trace_sample } = self;
        let instance = instance.to_owned();
        trace_endpoint.map(|collector| Settings { collector, sample: trace_sample, instance })
    }
}

/// Where a collector listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector(Uri);

impl Collector {
    /// Its URL, with a port.
    #[must_use]
    pub fn url(&self) -> &Uri {
        &self.0
    }

    /// Whether it is spoken to by TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| "write http://HOST[:PORT] or https://HOST[:PORT], for example http://127.0.0.1:4317".to_owned();
        let mut parts = text.parse::<Uri>().map_err(|_| wrong(()))?.into_parts();
        let scheme = parts.scheme.as_ref().map(http::uri::Scheme::as_str);
        let is_bare = parts.path_and_query.as_ref().is_none_or(|path| path == "/");
        let (Some("http" | "https"), true, Some(authority)) = (scheme, is_bare, parts.authority) else {
            return Err(wrong(()));
        };
        parts.authority = Some(match authority.port_u16() {
            Some(_) => authority,
            None => Authority::try_from(format!("{authority}:{PORT}")).map_err(|_| wrong(()))?,
        });
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
        Uri::from_parts(parts).map(Self).map_err(|_| wrong(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_a_url_whose_port_may_be_left_out() {
        let url = |text: &str| text.parse::<Collector>().map(|collector| collector.url().to_string());
        assert_eq!(url("http://a:1").unwrap(), "http://a:1/");
        assert_eq!(url("https://[::1]/").unwrap(), "https://[::1]:4317/");
        assert!("https://a".parse::<Collector>().unwrap().is_secure());
        for wrong in ["", "a:4317", "ftp://a", "http://a/v1/traces", "http://"] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
