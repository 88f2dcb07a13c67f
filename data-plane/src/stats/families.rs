//! The metrics of the data plane, made at each scrape from the live table: series of a removed pool are
//! gone without anybody removing them (T1).
//!
//! This does not go through a `Registry`, which would sort all series anew at each scrape.

mod custom;
mod plugin;
mod pool;
mod process;
mod sheet;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use prometheus::TextEncoder;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;

use super::ProcessStats;
use crate::table::TableHandle;

use sheet::Sheet;

/// Makes the metrics.
#[derive(Debug)]
pub struct Families {
    table: TableHandle,
    stats: Arc<ProcessStats>,
    process: ProcessCollector,
    /// Length of the last text, so that the next is written without growing.
    len: AtomicUsize,
}

impl Families {
    /// Metrics of this table and these counters.
    #[must_use]
    pub fn new(table: TableHandle, stats: Arc<ProcessStats>) -> Self {
        Self { table, stats, process: ProcessCollector::for_self(), len: AtomicUsize::new(0) }
    }

    /// All metrics of this moment, as Prometheus text.
    ///
    /// # Errors
    /// If a metric breaks the rules of the format.
    pub fn text(&self) -> prometheus::Result<String> {
        let mut text = String::with_capacity(self.len.load(Relaxed));
        TextEncoder::new().encode_utf8(&self.collect(), &mut text)?;
        self.len.store(text.len(), Relaxed);
        Ok(text)
    }

    /// Metrics without any series are left out.
    fn collect(&self) -> Vec<MetricFamily> {
        let mut sheet = Sheet::default();
        let table = self.table.load_full();
        table.pools.iter().for_each(|pool| pool::collect(pool, &mut sheet));
        plugin::collect(table.pools.iter(), &mut sheet);
        process::collect(&self.stats, &mut sheet);
        let mut families = sheet.into_families();
        families.extend(custom::collect(table.pools.iter()));
        families.extend(self.process.collect());
        families
    }
}

#[cfg(test)]
mod tests {
    use arc_swap::ArcSwap;
    use weir_proto::model::{self, Kind};

    use super::*;
    use crate::pool::Target;
    use crate::pool::runtime::Environment;
    use crate::pool::runtime::tests::targets;
    use crate::pool::{Pool, PoolRuntime};
    use crate::reason::Reason;
    use crate::stats::process::TableInfo;
    use crate::table::Table;

    fn pool(name: &str, weights: &[u32]) -> Arc<Pool> {
        let environment = Environment::without_tasks(2);
        let config = Arc::new(model::Pool::new(name.parse().unwrap()));
        let runtime = PoolRuntime::new(config.clone(), environment);
        runtime.set_members(targets(weights));
        Arc::new(Pool::new(config, runtime))
    }

    fn families(pools: Vec<Arc<Pool>>) -> Families {
        let table = Table { pools: pools.into_iter().collect(), ..Table::default() };
        Families::new(Arc::new(ArcSwap::from_pointee(table)), Arc::new(ProcessStats::new(&["http".into()], 2)))
    }

    /// Lines of Weir's own metrics.
    fn lines(families: &Families) -> Vec<String> {
        let text = families.text().unwrap();
        text.lines().filter(|line| line.starts_with("weir_")).map(ToOwned::to_owned).collect()
    }

    fn has(families: &Families, line: &str) {
        let lines = lines(families);
        assert!(lines.iter().any(|l| l == line), "no {line} in {lines:#?}");
    }

    #[test]
    fn t1_a_removed_pool_has_no_series() {
        let families = families(vec![pool("a/web", &[1])]);
        has(&families, r#"weir_backend_up{backend="b000",pool="a/web"} 1"#);
        families.table.store(Arc::default());
        assert!(!lines(&families).iter().any(|line| line.contains("a/web")));
    }

    #[test]
    fn t1_series_exist_only_for_what_happened_and_gauges_always() {
        let pool = pool("a/web", &[1, 1]);
        let families = families(vec![pool.clone()]);
        let before = lines(&families);
        let of_pool = |line: &&String| line.contains("a/web");
        let counts = |line: &String| line.contains("code=") || line.contains("reason=");
        assert!(!before.iter().filter(of_pool).any(counts), "{before:#?}");
        has(&families, r#"weir_requests_active{backend="b001",pool="a/web"} 0"#);
        has(&families, r#"weir_pool_panic{pool="a/web"} 0"#);
        pool.runtime.shards.of(0).dropped[Reason::NoBackend as usize].increment();
        has(&families, r#"weir_dropped_total{pool="a/web",reason="no_backend"} 1"#);
        assert_eq!(lines(&families).len(), before.len() + 1);
    }

    #[test]
    fn t1_workers_and_endpoints_of_a_backend_add_up() {
        let pool = pool("a/web", &[1]);
        let mut two = targets(&[1]);
        two.push(Target { address: "127.0.0.1:9".parse().unwrap(), ..two[0].clone() });
        pool.runtime.set_members(two);
        let families = families(vec![pool.clone()]);
        has(&families, r#"weir_backend_up{backend="b000",pool="a/web"} 2"#);
        for (worker, member) in pool.runtime.members().iter().enumerate() {
            member.endpoint.shards.of(worker).responses[1].add(5);
        }
        pool.runtime.set_members(targets(&[1]));
        has(&families, r#"weir_requests_total{backend="b000",code="2xx",pool="a/web"} 10"#);
        has(&families, r#"weir_backend_up{backend="b000",pool="a/web"} 1"#);
    }

    #[test]
    fn h7_transitions_and_failures_are_counted_by_backend() {
        let pool = pool("a/web", &[1, 1]);
        let endpoint = pool.runtime.members()[0].endpoint.clone();
        (0..3).for_each(|_| pool.runtime.fail(&endpoint, Reason::ConnectFailure));
        let families = families(vec![pool]);
        has(&families, r#"weir_backend_up{backend="b000",pool="a/web"} 0"#);
        has(&families, r#"weir_backend_fails_total{backend="b000",pool="a/web",reason="connect_failure"} 3"#);
        has(&families, r#"weir_health_transitions_total{backend="b000",pool="a/web",to="down"} 1"#);
    }

    #[test]
    fn h8_panic_is_a_gauge() {
        let pool = pool("a/web", &[1, 1, 1, 1]);
        let mut config = (*pool.config).clone();
        config.health.panic_threshold = 90;
        pool.runtime.configure(Arc::new(config));
        let endpoint = pool.runtime.members()[0].endpoint.clone();
        (0..3).for_each(|_| pool.runtime.fail(&endpoint, Reason::Reset));
        let families = families(vec![pool]);
        has(&families, r#"weir_pool_panic{pool="a/web"} 1"#);
        has(&families, r#"weir_pool_endpoints_up{pool="a/web"} 3"#);
    }

    #[test]
    fn t1_endpoints_up_are_those_that_may_be_chosen_and_0_is_told_too() {
        let (web, empty) = (pool("a/web", &[1, 1, 0]), pool("a/empty", &[]));
        let families = families(vec![web.clone(), empty]);
        has(&families, r#"weir_pool_endpoints_up{pool="a/web"} 2"#);
        has(&families, r#"weir_pool_endpoints_up{pool="a/empty"} 0"#);
        let endpoint = web.runtime.members()[0].endpoint.clone();
        (0..3).for_each(|_| web.runtime.fail(&endpoint, Reason::Reset));
        has(&families, r#"weir_pool_endpoints_up{pool="a/web"} 1"#);
        families.table.store(Arc::default());
        assert!(!lines(&families).iter().any(|line| line.starts_with("weir_pool_endpoints_up")));
    }

    #[test]
    fn t3_durations_are_histograms_of_seconds() {
        let pool = pool("a/web", &[1]);
        pool.runtime.shards.of(1).request_duration.observe(std::time::Duration::from_millis(20));
        let families = families(vec![pool]);
        has(&families, r#"weir_request_duration_seconds_bucket{pool="a/web",le="0.01"} 0"#);
        has(&families, r#"weir_request_duration_seconds_bucket{pool="a/web",le="0.025"} 1"#);
        has(&families, r#"weir_request_duration_seconds_bucket{pool="a/web",le="+Inf"} 1"#);
        has(&families, r#"weir_request_duration_seconds_sum{pool="a/web"} 0.02"#);
    }

    #[test]
    fn the_process_and_its_table_are_told() {
        let families = families(vec![]);
        let stats = families.stats.clone();
        stats.listeners[0].connections.enter();
        stats.discovery.nacks[Kind::Backend as usize].store(2, Relaxed);
        stats.unrouted.of(1).reasons[Reason::NoRoute as usize].increment();
        stats.unrouted.of(1).responses[3].increment();
        let since = tokio::time::Instant::now();
        *stats.discovery.table.lock() = Some(TableInfo { version: "0a".into(), since });
        for line in [
            r#"weir_connections_active{listener="http"} 1"#,
            r#"weir_nacks_total{kind="Backend"} 2"#,
            r#"weir_nacks_total{kind="Pool"} 0"#,
            r#"weir_dropped_total{pool="",reason="no_route"} 1"#,
            r#"weir_requests_total{backend="",code="4xx",pool=""} 1"#,
            r#"weir_table_version_info{version="0a"} 1"#,
            "weir_control_plane_connected 0",
        ] {
            has(&families, line);
        }
        let text = families.text().unwrap();
        assert!(text.contains("process_resident_memory_bytes"));
    }
}
