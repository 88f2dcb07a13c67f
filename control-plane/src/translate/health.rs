//! Settings that judge backends.

use std::time::Duration;

use weir_proto::model::{self, Invalid};
use weir_proto::pb;
use weir_proto::pb::active_health::Probe;

use super::pool::duration;
use crate::api::grpc;
use crate::api::health::{ActiveHealthSpec, HealthMode, HealthSpec, PassiveHealthSpec, ProbeHeader, ProbeType};

const INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(1);
const HEALTHY_THRESHOLD: u32 = 2;
const UNHEALTHY_THRESHOLD: u32 = 1;

/// The message, every default in place.
pub(super) fn message(health: HealthSpec) -> Result<pb::Health, Invalid> {
    let HealthSpec { passive, panic_threshold, slow_start, active, sticky_offline } = health;
    let passive = passive_message(passive.unwrap_or_default()).map_err(|e| e.under("passive"))?;
    let default = model::Health::default();
    Ok(pb::Health {
        passive: Some(passive),
        panic_threshold: panic_threshold.unwrap_or(default.panic_threshold.into()),
        slow_start_ms: duration("slowStart", slow_start, default.slow_start)?,
        active: active.map(active_message).transpose().map_err(|e| e.under("active"))?,
        sticky_offline: sticky_offline.unwrap_or(default.sticky_offline),
    })
}

fn passive_message(passive: PassiveHealthSpec) -> Result<pb::PassiveHealth, Invalid> {
    let PassiveHealthSpec { max_fails, fail_timeout, statuses, grpc_statuses } = passive;
    let default = model::PassiveHealth::default();
    Ok(pb::PassiveHealth {
        max_fails: max_fails.unwrap_or(default.max_fails),
        fail_timeout_ms: duration("failTimeout", fail_timeout, default.fail_timeout)?,
        statuses: statuses.unwrap_or_default(),
        grpc_statuses: grpc::numbers(grpc_statuses),
    })
}

fn active_message(active: ActiveHealthSpec) -> Result<pb::ActiveHealth, Invalid> {
    let interval_ms = duration("interval", active.interval.clone(), INTERVAL)?;
    let timeout = TIMEOUT.min(Duration::from_millis(interval_ms));
    Ok(pb::ActiveHealth {
        interval_ms,
        timeout_ms: duration("timeout", active.timeout.clone(), timeout)?,
        mode: mode(active.mode.unwrap_or_default()).into(),
        healthy_threshold: active.healthy_threshold.unwrap_or(HEALTHY_THRESHOLD),
        unhealthy_threshold: active.unhealthy_threshold.unwrap_or(UNHEALTHY_THRESHOLD),
        probe: Some(probe(active)?),
    })
}

fn mode(mode: HealthMode) -> pb::HealthMode {
    match mode {
        HealthMode::Paranoid => pb::HealthMode::Paranoid,
        HealthMode::Opportunistic => pb::HealthMode::Opportunistic,
        HealthMode::Lazy => pb::HealthMode::Lazy,
    }
}

fn probe(active: ActiveHealthSpec) -> Result<Probe, Invalid> {
    let ActiveHealthSpec { kind, method, path, host, headers, statuses, .. } = active;
    let of_http = [("method", method.is_some()), ("headers", headers.is_some()), ("statuses", statuses.is_some())];
    let request = |path: String, host: Option<String>| pb::HttpProbe {
        method: method.unwrap_or_else(|| "GET".to_owned()),
        path,
        host: host.unwrap_or_default(),
        headers: headers.unwrap_or_default().into_iter().map(header).collect(),
        statuses: statuses.unwrap_or_else(|| vec!["200".to_owned()]),
    };
    match kind.unwrap_or_default() {
        ProbeType::HTTP => Ok(Probe::Http(request(path.unwrap_or_else(|| "/".to_owned()), host))),
        ProbeType::FastCGI => {
            let script = path.ok_or_else(|| Invalid::new("path", "must be the absolute path of a script"))?;
            Ok(Probe::Fastcgi(request(script, host)))
        }
        ProbeType::GRPC => {
            none_of("GRPC", of_http)?;
            Ok(Probe::Grpc(pb::GrpcProbe { service: path.unwrap_or_default(), host: host.unwrap_or_default() }))
        }
        ProbeType::TCP => {
            none_of("TCP", of_http)?;
            none_of("TCP", [("path", path.is_some()), ("host", host.is_some())])?;
            Ok(Probe::Tcp(pb::TcpProbe {}))
        }
    }
}

/// A field that the kind of probe does not have would be ignored.
fn none_of<const N: usize>(kind: &str, fields: [(&str, bool); N]) -> Result<(), Invalid> {
    match fields.into_iter().find(|(_, is_there)| *is_there) {
        Some((field, _)) => Err(Invalid::new(field, format!("does not go with type {kind}"))),
        None => Ok(()),
    }
}

fn header(header: ProbeHeader) -> pb::Header {
    let ProbeHeader { name, value } = header;
    pb::Header { name, value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pool_spec;

    fn active(text: &str) -> Result<pb::ActiveHealth, Invalid> {
        let spec = pool_spec(&format!("{{health: {{active: {text}}}}}"));
        message(spec.health.unwrap()).map(|health| health.active.unwrap())
    }

    #[test]
    fn h2_defaults_are_those_of_the_promise() {
        let active = active("{}").unwrap();
        assert_eq!((active.interval_ms, active.timeout_ms), (2_000, 1_000));
        assert_eq!((active.healthy_threshold, active.unhealthy_threshold), (2, 1));
        let Some(Probe::Http(probe)) = active.probe else { panic!("HTTP is the default") };
        assert_eq!((&*probe.method, &*probe.path, &*probe.statuses), ("GET", "/", &["200".to_owned()][..]));
    }

    #[test]
    fn h2_a_short_interval_shortens_the_default_time_out() {
        assert_eq!(active("{interval: 500ms}").unwrap().timeout_ms, 500);
    }

    #[test]
    fn h2_a_field_that_the_kind_does_not_have_is_refused() {
        for (text, field) in [
            ("{type: TCP, path: /}", "health.active.path"),
            ("{type: TCP, statuses: ['200']}", "health.active.statuses"),
            ("{type: GRPC, method: GET}", "health.active.method"),
            ("{type: FastCGI}", "health.active.path"),
        ] {
            let error = active(text).unwrap_err().under("health");
            assert_eq!(error.field, field);
        }
    }

    #[test]
    fn h2_inherit_leaves_behind_what_another_kind_of_probe_asks() {
        let base = pool_spec("{health: {active: {path: /up, interval: 5s, mode: Lazy}}}");
        let merged = |text| super::super::merged(&pool_spec(text), &base).health.unwrap().active.unwrap();
        let same = merged("{health: {active: {statuses: ['204']}}}");
        assert_eq!((same.path.as_deref(), same.interval.as_deref()), (Some("/up"), Some("5s")));
        let other = merged("{health: {active: {type: TCP}}}");
        assert_eq!((other.path, other.interval.as_deref(), other.mode), (None, Some("5s"), Some(HealthMode::Lazy)));
    }
}
