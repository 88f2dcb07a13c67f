//! What one client may ask of the proxy, whatever a Pool says.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use weir_proto::model::units::{parse_duration, parse_size};

/// Bounds on heads, bodies and connections; can be flattened into a command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Longest target of a request (path and query); 414 beyond
    #[arg(
        long,
        value_name = "SIZE",
        env = "WEIR_MAX_TARGET_SIZE",
        default_value = "8Ki",
        value_parser = within(MAX_TARGET)
    )]
    pub max_target_size: usize,
    /// All names and values of a request's headers together; 431 beyond
    #[arg(
        long,
        value_name = "SIZE",
        env = "WEIR_MAX_HEADER_SIZE",
        default_value = "64Ki",
        value_parser = within(MAX_HEADERS)
    )]
    pub max_header_size: usize,
    /// Header fields of a request, at most 100; 431 beyond
    #[arg(
        long,
        value_name = "N",
        env = "WEIR_MAX_HEADERS",
        default_value = "100",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=100)
    )]
    pub max_headers: usize,
    /// Body of a request, where its Pool does not say maxBodySize; 413 beyond, 0 = unlimited
    #[arg(long, value_name = "SIZE", env = "WEIR_MAX_BODY_SIZE", default_value = "0", value_parser = parse_size)]
    pub max_body_size: u64,
    /// Bytes of a request's body a second, on average, after 5s of waiting for it; 408 below. 0 = any, as streams of gRPC
    /// need it
    #[arg(long, value_name = "SIZE", env = "WEIR_MIN_BODY_RATE", default_value = "0", value_parser = parse_size)]
    pub min_body_rate: u64,
    /// From the first byte of a request's head to its last
    #[arg(long, value_name = "TIME", env = "WEIR_HEADER_TIMEOUT", default_value = "30s", value_parser = parse_duration)]
    pub header_timeout: Duration,
    /// Time for a handshake of TLS
    #[arg(
        long,
        value_name = "TIME",
        env = "WEIR_TLS_HANDSHAKE_TIMEOUT",
        default_value = "10s",
        value_parser = parse_limit
    )]
    pub tls_handshake_timeout: Duration,
    /// Time without a request on a connection
    #[arg(long, value_name = "TIME", env = "WEIR_IDLE_TIMEOUT", default_value = "75s", value_parser = parse_duration)]
    pub idle_timeout: Duration,
    /// Time in which a client takes no byte of what is being sent to it
    #[arg(long, value_name = "TIME", env = "WEIR_SEND_TIMEOUT", default_value = "60s", value_parser = parse_duration)]
    pub send_timeout: Duration,
    /// Connections of one listener at a time; those beyond are closed at once, 0 = unlimited
    #[arg(long, value_name = "N", env = "WEIR_MAX_CONNECTIONS", default_value = "0")]
    pub max_connections: u32,
    /// Connections of one client at a time, by its IPv4 address or IPv6 /64 network; those beyond are closed at once,
    /// 0 = unlimited
    #[arg(long, value_name = "N", env = "WEIR_MAX_CONNECTIONS_PER_CLIENT", default_value = "0")]
    pub max_connections_per_client: u32,
    /// Requests on one connection, which then closes; 0 = unlimited
    #[arg(long, value_name = "N", env = "WEIR_MAX_REQUESTS_PER_CONNECTION", default_value = "0")]
    pub max_requests_per_connection: u64,
    /// Requests that a connection of HTTP/2 may have at a time; those beyond are refused, and may be sent again
    #[arg(
        long,
        value_name = "N",
        env = "WEIR_HTTP2_MAX_STREAMS",
        default_value = "128",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub http2_max_streams: u32,
}

/// The highest `--max-target-size`.
const MAX_TARGET: usize = 64 << 10;
/// The highest `--max-header-size`.
const MAX_HEADERS: usize = 1 << 20;
/// What a head has besides target and headers: method, version, separators.
const REST_OF_HEAD: usize = 56 << 10;

/// A time that is no limit at all would be no protection.
fn parse_limit(text: &str) -> Result<Duration, String> {
    let limit = parse_duration(text)?;
    if limit.is_zero() { Err("must be more than 0s".to_owned()) } else { Ok(limit) }
}

impl Limits {
    /// Most bytes to buffer of a head: more than what is let through, so that a long target (414) can be told from large
    /// headers (431).
    #[must_use]
    pub fn head_buffer(&self) -> usize {
        self.max_target_size + self.max_header_size + REST_OF_HEAD
    }
}

impl Default for Limits {
    /// Those of the flags.
    fn default() -> Self {
        Self {
            max_target_size: 8 << 10,
            max_header_size: 64 << 10,
            max_headers: 100,
            max_body_size: 0,
            min_body_rate: 0,
            header_timeout: Duration::from_secs(30),
            tls_handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            send_timeout: Duration::from_secs(60),
            max_connections: 0,
            max_connections_per_client: 0,
            max_requests_per_connection: 0,
            http2_max_streams: 128,
        }
    }
}

/// Reads a size of at least one byte and at most `most`.
fn within(most: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match parse_size(text)?.try_into() {
        Ok(size @ 1..) if size <= most => Ok(size),
        _ => Err(format!("must be at least 1 and at most {}Ki", most >> 10)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        limits: Limits,
    }

    fn parse(flags: &[&str]) -> Result<Limits, String> {
        let program = Program::try_parse_from([&["weir"], flags].concat()).map_err(|error| error.to_string())?;
        Ok(program.limits)
    }

    #[test]
    fn the_defaults_are_those_of_the_flags() {
        assert_eq!(format!("{:?}", parse(&[]).unwrap()), format!("{:?}", Limits::default()));
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for (flag, value, text) in [
            ("--max-target-size", "0", "at least 1 and at most 64Ki"),
            ("--max-target-size", "65Ki", "at least 1 and at most 64Ki"),
            ("--max-header-size", "2Mi", "at least 1 and at most 1024Ki"),
            ("--max-headers", "101", "101 is not in 1..=100"),
            ("--max-body-size", "1MB", "1MB"),
            ("--idle-timeout", "75", "75"),
            ("--tls-handshake-timeout", "0s", "more than 0s"),
        ] {
            let error = parse(&[flag, value]).unwrap_err();
            assert!(error.contains(text), "{flag} {value}: {error}");
        }
    }

    #[test]
    fn the_buffer_holds_more_than_what_is_let_through() {
        let limits = parse(&["--max-target-size=64Ki", "--max-header-size=1Mi"]).unwrap();
        assert!(limits.head_buffer() > (64 << 10) + (1 << 20));
        assert_eq!(Limits::default().head_buffer(), 128 << 10);
    }
}
