//! `pb::Health` and `model::Health`.

use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, header};

use super::{at_most, grpc_status, list, required, strings, unknown};
use crate::model::health::SHORTEST_INTERVAL;
use crate::model::units::millis;
use crate::model::{ActiveHealth, GrpcProbe, Health, HealthMode, HttpProbe, Invalid, PassiveHealth, Probe, StatusMask};
use crate::pb;
use crate::pb::active_health::Probe as WireProbe;

pub(super) fn decode(msg: pb::Health) -> Result<Health, Invalid> {
    let pb::Health { passive, panic_threshold, slow_start_ms, active, sticky_offline } = msg;
    let panic_threshold = at_most("panicThreshold", panic_threshold, 100)?;
    Ok(Health {
        passive: decode_passive(required("passive", passive)?).map_err(|e| e.under("passive"))?,
        panic_threshold: u8::try_from(panic_threshold).unwrap_or(100),
        slow_start: Duration::from_millis(slow_start_ms),
        active: active.map(decode_active).transpose().map_err(|e| e.under("active"))?,
        sticky_offline,
    })
}

pub(super) fn encode(health: &Health) -> pb::Health {
    let Health { passive, panic_threshold, slow_start, active, sticky_offline } = health;
    pb::Health {
        passive: Some(encode_passive(passive)),
        panic_threshold: u32::from(*panic_threshold),
        slow_start_ms: millis(*slow_start),
        active: active.as_ref().map(encode_active),
        sticky_offline: *sticky_offline,
    }
}

fn decode_passive(msg: pb::PassiveHealth) -> Result<PassiveHealth, Invalid> {
    let pb::PassiveHealth { max_fails, fail_timeout_ms, statuses, grpc_statuses } = msg;
    Ok(PassiveHealth {
        max_fails,
        fail_timeout: Duration::from_millis(fail_timeout_ms),
        statuses: strings("statuses", statuses, StatusMask::parse)?,
        grpc_statuses: list("grpcStatuses", grpc_statuses, grpc_status)?,
    })
}

fn encode_passive(passive: &PassiveHealth) -> pb::PassiveHealth {
    let PassiveHealth { max_fails, fail_timeout, statuses, grpc_statuses } = passive;
    pb::PassiveHealth {
        max_fails: *max_fails,
        fail_timeout_ms: millis(*fail_timeout),
        statuses: statuses.iter().map(ToString::to_string).collect(),
        grpc_statuses: grpc_statuses.iter().map(|status| status.number().into()).collect(),
    }
}

fn decode_active(msg: pb::ActiveHealth) -> Result<ActiveHealth, Invalid> {
    let pb::ActiveHealth { probe, mode, interval_ms, timeout_ms, healthy_threshold, unhealthy_threshold } = msg;
    let interval = Duration::from_millis(interval_ms);
    if interval < SHORTEST_INTERVAL {
        return Err(Invalid::new("interval", format!("must be at least {SHORTEST_INTERVAL:?}")));
    }
    let timeout = Duration::from_millis(timeout_ms);
    if timeout.is_zero() || timeout > interval {
        return Err(Invalid::new("timeout", format!("must be more than 0s and at most the interval, {interval:?}")));
    }
    Ok(ActiveHealth {
        probe: decode_probe(required("type", probe)?)?,
        mode: decode_mode(mode)?,
        interval,
        timeout,
        healthy_threshold: at_least_one("healthyThreshold", healthy_threshold)?,
        unhealthy_threshold: at_least_one("unhealthyThreshold", unhealthy_threshold)?,
    })
}

fn encode_active(active: &ActiveHealth) -> pb::ActiveHealth {
    let ActiveHealth { probe, mode, interval, timeout, healthy_threshold, unhealthy_threshold } = active;
    pb::ActiveHealth {
        probe: Some(encode_probe(probe)),
        mode: encode_mode(*mode).into(),
        interval_ms: millis(*interval),
        timeout_ms: millis(*timeout),
        healthy_threshold: *healthy_threshold,
        unhealthy_threshold: *unhealthy_threshold,
    }
}

fn at_least_one(field: &str, value: u32) -> Result<u32, Invalid> {
    if value == 0 { Err(Invalid::new(field, "must be at least 1")) } else { Ok(value) }
}

fn decode_mode(number: i32) -> Result<HealthMode, Invalid> {
    match pb::HealthMode::try_from(number) {
        Ok(pb::HealthMode::Paranoid) => Ok(HealthMode::Paranoid),
        Ok(pb::HealthMode::Opportunistic) => Ok(HealthMode::Opportunistic),
        Ok(pb::HealthMode::Lazy) => Ok(HealthMode::Lazy),
        Ok(pb::HealthMode::Unspecified) | Err(_) => Err(unknown("mode", number)),
    }
}

fn encode_mode(mode: HealthMode) -> pb::HealthMode {
    match mode {
        HealthMode::Paranoid => pb::HealthMode::Paranoid,
        HealthMode::Opportunistic => pb::HealthMode::Opportunistic,
        HealthMode::Lazy => pb::HealthMode::Lazy,
    }
}

fn decode_probe(probe: WireProbe) -> Result<Probe, Invalid> {
    Ok(match probe {
        WireProbe::Http(probe) => Probe::Http(decode_http(probe)?),
        WireProbe::Fastcgi(probe) => Probe::FastCgi(decode_http(probe)?),
        WireProbe::Tcp(pb::TcpProbe {}) => Probe::Tcp,
        WireProbe::Grpc(pb::GrpcProbe { service, host }) => {
            Probe::Grpc(GrpcProbe { service, host: decode_host(&host)? })
        }
    })
}

fn encode_probe(probe: &Probe) -> WireProbe {
    match probe {
        Probe::Http(probe) => WireProbe::Http(encode_http(probe)),
        Probe::FastCgi(probe) => WireProbe::Fastcgi(encode_http(probe)),
        Probe::Tcp => WireProbe::Tcp(pb::TcpProbe {}),
        Probe::Grpc(GrpcProbe { service, host }) => {
            WireProbe::Grpc(pb::GrpcProbe { service: service.clone(), host: encode_host(host.as_ref()) })
        }
    }
}

fn decode_http(msg: pb::HttpProbe) -> Result<HttpProbe, Invalid> {
    let pb::HttpProbe { method, path, host, headers, statuses } = msg;
    if statuses.is_empty() {
        return Err(Invalid::new("statuses", "must have at least one: nothing would pass"));
    }
    Ok(HttpProbe {
        method: decode_method(&method).map_err(|e| Invalid::new("method", e))?,
        path: decode_path(path).map_err(|e| Invalid::new("path", e))?,
        host: decode_host(&host)?,
        headers: list("headers", headers, decode_header)?,
        statuses: strings("statuses", statuses, StatusMask::parse)?,
    })
}

fn encode_http(probe: &HttpProbe) -> pb::HttpProbe {
    let HttpProbe { method, path, host, headers, statuses } = probe;
    let header = |(name, value): &(HeaderName, HeaderValue)| pb::Header { name: name.to_string(), value: text(value) };
    pb::HttpProbe {
        method: method.to_string(),
        path: path.clone(),
        host: encode_host(host.as_ref()),
        headers: headers.iter().map(header).collect(),
        statuses: statuses.iter().map(ToString::to_string).collect(),
    }
}

fn decode_method(text: &str) -> Result<Method, String> {
    match Method::from_bytes(text.as_bytes()) {
        Ok(Method::CONNECT) | Err(_) => Err(format!("{text:?} is no method of a probe: write for example GET")),
        Ok(method) => Ok(method),
    }
}

fn decode_path(path: String) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!("{path:?} does not begin with /"));
    }
    match PathAndQuery::try_from(path.as_str()) {
        Ok(parsed) if parsed.as_str() == path => Ok(path),
        _ => Err(format!("{path:?} has characters that a path cannot have: write a space as %20")),
    }
}

fn decode_host(text: &str) -> Result<Option<HeaderValue>, Invalid> {
    let wrong =
        || Invalid::new("host", format!("{text:?} is no host: write for example web.internal or web.internal:80"));
    if text.is_empty() {
        return Ok(None);
    }
    text.parse::<http::uri::Authority>().ok().filter(|host| !host.as_str().contains('@')).ok_or_else(wrong)?;
    HeaderValue::from_str(text).map(Some).map_err(|_| wrong())
}

fn encode_host(host: Option<&HeaderValue>) -> String {
    host.map(text).unwrap_or_default()
}

fn decode_header(msg: pb::Header) -> Result<(HeaderName, HeaderValue), Invalid> {
    let pb::Header { name, value } = msg;
    let known = HeaderName::try_from(&*name).map_err(|_| Invalid::new("name", format!("{name:?} is no header")))?;
    if [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION].contains(&known) {
        return Err(Invalid::new("name", format!("{known} cannot be set: a probe has no body, and `host` of its own")));
    }
    let value = HeaderValue::from_str(&value).ok().filter(|value| value.to_str().is_ok());
    let value = value.ok_or_else(|| Invalid::new("value", format!("the value of {known} is not printable ASCII")))?;
    Ok((known, value))
}

/// Only printable ASCII is let in.
fn text(value: &HeaderValue) -> String {
    value.to_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(change: impl FnOnce(&mut pb::HttpProbe)) -> pb::ActiveHealth {
        let mut probe = pb::HttpProbe {
            method: "GET".into(),
            path: "/healthz?full=1".into(),
            host: "web.internal:80".into(),
            headers: vec![pb::Header { name: "x-token".into(), value: "a b".into() }],
            statuses: vec!["2xx".into()],
        };
        change(&mut probe);
        active(WireProbe::Http(probe))
    }

    fn active(probe: WireProbe) -> pb::ActiveHealth {
        pb::ActiveHealth {
            probe: Some(probe),
            mode: pb::HealthMode::Lazy.into(),
            interval_ms: 2_000,
            timeout_ms: 1_000,
            healthy_threshold: 2,
            unhealthy_threshold: 1,
        }
    }

    #[test]
    fn h2_every_kind_of_probe_comes_back_as_it_was() {
        let grpc = pb::GrpcProbe { service: "shop.Cart".into(), host: String::new() };
        let Some(WireProbe::Http(script)) = http(|_| ()).probe else { unreachable!() };
        let fastcgi = active(WireProbe::Fastcgi(script));
        for msg in [http(|_| ()), fastcgi, active(WireProbe::Tcp(pb::TcpProbe {})), active(WireProbe::Grpc(grpc))] {
            assert_eq!(encode_active(&decode_active(msg.clone()).unwrap()), msg);
        }
    }

    #[test]
    fn h2_what_cannot_be_a_probe_is_refused_with_its_field() {
        let header = |name: &str, value: &str| vec![pb::Header { name: name.into(), value: value.into() }];
        let cases = [
            (http(|p| p.path = "/a b".into()), "path"),
            (http(|p| p.path = "healthz".into()), "path"),
            (http(|p| p.path = "/a#b".into()), "path"),
            (http(|p| p.method = "GE T".into()), "method"),
            (http(|p| p.method = "CONNECT".into()), "method"),
            (http(|p| p.host = "a b".into()), "host"),
            (http(|p| p.host = "user@web".into()), "host"),
            (http(|p| p.statuses.clear()), "statuses"),
            (http(|p| p.statuses = vec!["2".into()]), "statuses[0]"),
            (http(|p| p.headers = header("a b", "1")), "headers[0].name"),
            (http(|p| p.headers = header("host", "1")), "headers[0].name"),
            (http(|p| p.headers = header("x", "a\r\nb: c")), "headers[0].value"),
            (pb::ActiveHealth { interval_ms: 9, ..http(|_| ()) }, "interval"),
            (pb::ActiveHealth { timeout_ms: 0, ..http(|_| ()) }, "timeout"),
            (pb::ActiveHealth { timeout_ms: 2_001, ..http(|_| ()) }, "timeout"),
            (pb::ActiveHealth { healthy_threshold: 0, ..http(|_| ()) }, "healthyThreshold"),
            (pb::ActiveHealth { unhealthy_threshold: 0, ..http(|_| ()) }, "unhealthyThreshold"),
            (pb::ActiveHealth { mode: 99, ..http(|_| ()) }, "mode"),
            (pb::ActiveHealth { probe: None, ..http(|_| ()) }, "type"),
        ];
        for (msg, field) in cases {
            assert_eq!(decode_active(msg).unwrap_err().field, field);
        }
    }
}
