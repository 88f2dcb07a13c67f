//! Probes of type FastCGI: one request to a script, whose status must be among those that pass.

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Method};
use tokio::time::{Instant, timeout_at};
use weir_proto::model::{HttpProbe, ResourceName, StatusMask};

use super::{AGENT, ProbeTarget, in_time};
use crate::http::failure::Failure;
use crate::upstream::fastcgi::probe::{Probe, probe};
use crate::upstream::stream::Stream;

/// A connection for each probe: applications are few that could be asked twice on one.
#[derive(Debug)]
pub(in crate::health) struct FastCgiProber {
    backend: ResourceName,
    method: Method,
    script: String,
    host: String,
    variables: Vec<(String, String)>,
    statuses: Vec<StatusMask>,
}

impl FastCgiProber {
    pub(super) fn new(target: &ProbeTarget, probe: &HttpProbe, backend: &ResourceName) -> Self {
        let HttpProbe { method, path, host, headers, statuses } = probe;
        let mut all = HeaderMap::from_iter([(USER_AGENT, AGENT)]);
        let own: HeaderMap = headers.iter().cloned().collect();
        all.extend(own);
        Self {
            backend: backend.clone(),
            method: method.clone(),
            script: path.clone(),
            host: text(host.as_ref().unwrap_or(&target.host)),
            variables: all.iter().map(|(name, value)| (variable(name.as_str()), text(value))).collect(),
            statuses: statuses.clone(),
        }
    }

    pub(super) async fn run(&self, target: &ProbeTarget, deadline: Instant) -> Result<(), Failure> {
        let Self { backend, method, script, host, variables, statuses } = self;
        let ask = Probe { backend, method, script_filename: script, host, variables };
        let stream = in_time(deadline, Stream::connect(&target.address)).await?;
        let asked = timeout_at(deadline, probe(stream, &target.address, &ask)).await.map_err(|_| Failure::Timeout)?;
        let status = asked.map_err(|error| Failure::of_fastcgi(&error))?.as_u16();
        if statuses.iter().any(|mask| mask.matches(status)) { Ok(()) } else { Err(Failure::BadResponse) }
    }
}

/// The name of a header as a variable of CGI (RFC 3875, 4.1.18).
fn variable(header: &str) -> String {
    format!("HTTP_{}", header.to_ascii_uppercase().replace('-', "_"))
}

/// The settings let only printable ASCII in.
fn text(value: &HeaderValue) -> String {
    value.to_str().unwrap_or_default().to_owned()
}
