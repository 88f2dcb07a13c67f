//! The state as CSV, in the columns of HAProxy's statistics, for what reads those: a listener is a `FRONTEND`, an
//! endpoint a server, a pool a `BACKEND`. Cells of what Weir does not count are empty.
//!
//! See "CSV format" in HAProxy's management guide, section 9.1.

use std::collections::BTreeMap;

use weir_proto::model::PoolProtocol;

use super::state::{BackendState, PoolState, PoolsState};
use crate::reason::Reason;
use crate::stats::ProcessStats;

const COLUMNS: [&str; 84] = [
    "pxname",
    "svname",
    "qcur",
    "qmax",
    "scur",
    "smax",
    "slim",
    "stot",
    "bin",
    "bout",
    "dreq",
    "dresp",
    "ereq",
    "econ",
    "eresp",
    "wretr",
    "wredis",
    "status",
    "weight",
    "act",
    "bck",
    "chkfail",
    "chkdown",
    "lastchg",
    "downtime",
    "qlimit",
    "pid",
    "iid",
    "sid",
    "throttle",
    "lbtot",
    "tracked",
    "type",
    "rate",
    "rate_lim",
    "rate_max",
    "check_status",
    "check_code",
    "check_duration",
    "hrsp_1xx",
    "hrsp_2xx",
    "hrsp_3xx",
    "hrsp_4xx",
    "hrsp_5xx",
    "hrsp_other",
    "hanafail",
    "req_rate",
    "req_rate_max",
    "req_tot",
    "cli_abrt",
    "srv_abrt",
    "comp_in",
    "comp_out",
    "comp_byp",
    "comp_rsp",
    "lastsess",
    "last_chk",
    "last_agt",
    "qtime",
    "ctime",
    "rtime",
    "ttime",
    "agent_status",
    "agent_code",
    "agent_duration",
    "check_desc",
    "agent_desc",
    "check_rise",
    "check_fall",
    "check_health",
    "agent_rise",
    "agent_fall",
    "agent_health",
    "addr",
    "cookie",
    "mode",
    "algo",
    "conn_rate",
    "conn_rate_max",
    "conn_tot",
    "intercepted",
    "dcon",
    "dses",
    "wrew",
];

const FRONTEND: &str = "0";
const BACKEND: &str = "1";
const SERVER: &str = "2";

/// The cells of one line that are not empty, by column.
type Row = BTreeMap<&'static str, String>;

/// The listeners and these pools.
pub(super) fn text(stats: &ProcessStats, pools: &PoolsState) -> String {
    let listeners = stats
        .listeners
        .iter()
        .map(|listener| frontend(&listener.name, listener.connections.current(), listener.connections.max()));
    let rows = listeners.chain(pools.pools.iter().flat_map(rows_of));
    rows.fold(format!("# {},\n", COLUMNS.join(",")), |text, row| text + &line(&row))
}

fn line(row: &Row) -> String {
    let cells: Vec<&str> = COLUMNS.iter().map(|column| row.get(column).map_or("", String::as_str)).collect();
    // HAProxy ends each line with an empty cell.
    cells.join(",") + ",\n"
}

fn frontend(name: &str, connections: u32, most: u32) -> Row {
    Row::from([
        ("pxname", name.to_owned()),
        ("svname", "FRONTEND".to_owned()),
        ("scur", connections.to_string()),
        ("smax", most.to_string()),
        ("status", "OPEN".to_owned()),
        ("type", FRONTEND.to_owned()),
    ])
}

fn rows_of(pool: &PoolState) -> Vec<Row> {
    let mut rows: Vec<Row> = pool.backends.iter().map(|backend| server(pool, backend)).collect();
    rows.push(backend(pool));
    rows
}

fn server(pool: &PoolState, endpoint: &BackendState) -> Row {
    let is_first_choice = endpoint.role == "Active";
    let mut row = Row::from([
        ("pxname", pool.name.clone()),
        ("svname", server_name(pool, endpoint)),
        ("scur", endpoint.in_flight.current.to_string()),
        ("smax", endpoint.in_flight.max.to_string()),
        ("stot", endpoint.in_flight.total.to_string()),
        ("lbtot", endpoint.in_flight.total.to_string()),
        ("bin", endpoint.bytes.0.to_string()),
        ("bout", endpoint.bytes.1.to_string()),
        ("econ", failures(endpoint, is_of_connecting).to_string()),
        ("eresp", failures(endpoint, |reason| !is_of_connecting(reason)).to_string()),
        ("status", status(endpoint.state).to_owned()),
        ("weight", endpoint.weight.to_string()),
        ("act", u8::from(is_first_choice).to_string()),
        ("bck", u8::from(!is_first_choice).to_string()),
        ("chkdown", endpoint.downs.to_string()),
        ("lastchg", endpoint.seconds_since.to_string()),
        ("type", SERVER.to_owned()),
        ("rate", whole(endpoint.requests_per_second)),
        ("check_desc", endpoint.reason.to_owned()),
        ("addr", endpoint.address.clone()),
        ("mode", mode(pool).to_owned()),
    ]);
    if endpoint.capacity > 0 {
        row.insert("slim", endpoint.capacity.to_string());
    }
    row.extend(responses(&endpoint.responses));
    row
}

fn backend(pool: &PoolState) -> Row {
    let serving = |first_choice: bool| {
        let up = pool.backends.iter().filter(|b| b.state == "Up" && (b.role == "Active") == first_choice);
        up.count().to_string()
    };
    let mut row = Row::from([
        ("pxname", pool.name.clone()),
        ("svname", "BACKEND".to_owned()),
        ("qcur", pool.queued.load.current.to_string()),
        ("qmax", pool.queued.load.max.to_string()),
        ("qlimit", pool.queued.limit.to_string()),
        ("scur", pool.in_flight.current.to_string()),
        ("smax", pool.in_flight.max.to_string()),
        ("stot", pool.in_flight.total.to_string()),
        ("req_tot", pool.in_flight.total.to_string()),
        ("wretr", pool.retries.to_string()),
        ("status", pool_status(pool).to_owned()),
        ("act", serving(true)),
        ("bck", serving(false)),
        ("type", BACKEND.to_owned()),
        ("rate", whole(pool.pace.requests_per_second)),
        ("mode", mode(pool).to_owned()),
        ("algo", pool.method.to_owned()),
    ]);
    row.extend(responses(&pool.responses));
    row
}

/// The Backend's name; with the address behind it where it has more than one.
fn server_name(pool: &PoolState, endpoint: &BackendState) -> String {
    let is_alone = pool.backends.iter().filter(|other| other.name == endpoint.name).count() == 1;
    if is_alone { endpoint.name.clone() } else { format!("{}@{}", endpoint.name, endpoint.address) }
}

fn responses(by_class: &BTreeMap<&'static str, u64>) -> Row {
    let column = |class: &str| COLUMNS.into_iter().find(|column| column.strip_prefix("hrsp_") == Some(class));
    by_class.iter().filter_map(|(class, count)| Some((column(class)?, count.to_string()))).collect()
}

fn failures(endpoint: &BackendState, counts: impl Fn(&str) -> bool) -> u64 {
    endpoint.failed.iter().filter(|(reason, _)| counts(reason)).map(|(_, count)| count).sum()
}

fn is_of_connecting(reason: &str) -> bool {
    reason == Reason::ConnectFailure.as_str() || reason == Reason::ConnectTimeout.as_str() || reason.starts_with("tls_")
}

/// HAProxy's word for the state of an endpoint.
fn status(state: &str) -> &'static str {
    match state {
        "Up" => "UP",
        "Draining" => "DRAIN",
        "Disabled" => "MAINT",
        _ => "DOWN",
    }
}

fn pool_status(pool: &PoolState) -> &'static str {
    match (pool.enabled, pool.up) {
        (false, _) => "MAINT",
        (true, true) => "UP",
        (true, false) => "DOWN",
    }
}

fn mode(pool: &PoolState) -> &'static str {
    if pool.protocol == PoolProtocol::Tcp.as_str() { "tcp" } else { "http" }
}

/// HAProxy's rates are whole.
fn whole(rate: f64) -> String {
    format!("{rate:.0}")
}
