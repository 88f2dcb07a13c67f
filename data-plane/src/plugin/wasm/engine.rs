//! The machine that runs components: one for all of them, there as long as there are any.

use std::fmt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};
use wasmtime::{Cache, CacheConfig, Config, Enabled, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Time between two epochs: deadlines are as exact as this.
const TICK: Duration = Duration::from_millis(1);
/// A deadline that is never reached, and can be added to an epoch.
const FAR: u64 = u64::MAX / 2;
/// Stack of one call, well below that of a worker's thread.
const STACK: usize = 512 << 10;
/// Instances at the same time; beyond them, calls fail. Each is 4 GiB of address space, and of memory what it uses.
const INSTANCES: u32 = 1_000;
/// A language's runtime is several core modules in one component.
const CORE_INSTANCES: u32 = 8 * INSTANCES;
/// Of one module; compilers make one or two.
const TABLES: u32 = 8;
/// Functions that a module can point to; those of a JavaScript engine are about 20,000.
const TABLE_ELEMENTS: usize = 100_000;
/// Bytes of each memory and table that an instance leaves to the next one, wiped. Given back to the kernel, each page would
/// cost the next request a fault.
const LEFT: usize = 64 << 10;

/// The machine.
#[derive(Clone)]
pub(super) struct Engine(wasmtime::Engine);

/// A machine that may be gone.
pub(super) struct WeakEngine(EngineWeak);

impl fmt::Debug for WeakEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakEngine")
    }
}

impl Engine {
    /// A new machine; compiled code is kept below `folder`.
    ///
    /// # Errors
    /// If there is none for this processor or system.
    pub(super) fn new(folder: Option<&Path>) -> Result<Self, String> {
        let config = config(folder);
        let engine = wasmtime::Engine::new(config.clone().allocation_strategy(pooling())).or_else(|error| {
            info!(%error, "no address space for a pool of instances; each gets its own memory when it is made");
            wasmtime::Engine::new(&config)
        });
        let engine = engine.map_err(|e| format!("{e:#}"))?;
        tick(engine.weak()).map_err(|e| format!("no thread for the clock of components: {e}"))?;
        Ok(Self(engine))
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0
    }

    pub(super) fn weak(&self) -> WeakEngine {
        WeakEngine(self.0.weak())
    }
}

impl WeakEngine {
    pub(super) fn upgrade(&self) -> Option<Engine> {
        self.0.upgrade().map(Engine)
    }
}

/// Epochs that pass before a deadline that is so far away.
pub(super) fn epochs(time: Duration) -> u64 {
    let ticks = u64::try_from(time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(FAR);
    // One more, as the present one is already running out.
    ticks.min(FAR) + 1
}

fn config(folder: Option<&Path>) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true).max_wasm_stack(STACK).cache(folder.and_then(cache));
    config
}

/// Without a cache a component is compiled at each start: slower, not worse.
fn cache(folder: &Path) -> Option<Cache> {
    let folder = std::path::absolute(folder.join("wasm")).ok()?;
    let mut config = CacheConfig::new();
    config.with_directory(&folder);
    Cache::new(config)
        .inspect_err(|error| warn!(folder = %folder.display(), %error, "compiled components are not kept"))
        .ok()
}

/// Memory that is ready before it is asked for: an instance for one request costs microseconds.
fn pooling() -> InstanceAllocationStrategy {
    let mut config = PoolingAllocationConfig::new();
    config
        .total_component_instances(INSTANCES)
        .total_core_instances(CORE_INSTANCES)
        .total_memories(INSTANCES)
        .total_tables(CORE_INSTANCES)
        .max_tables_per_module(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(LEFT)
        .table_keep_resident(LEFT)
        // Wipes only what was written, where the kernel can tell.
        .pagemap_scan(Enabled::Auto);
    InstanceAllocationStrategy::Pooling(config)
}

/// Moves the epoch until the machine is gone.
fn tick(engine: EngineWeak) -> std::io::Result<()> {
    let run = move || {
        let mut last = Instant::now();
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            let now = Instant::now();
            last = after(last, now);
            thread::sleep(last.saturating_duration_since(now));
        }
    };
    thread::Builder::new().name("weir-wasm-clock".into()).spawn(run).map(drop)
}

/// When the next epoch begins. Sleeping takes longer than one asks for: counted from the last one, not from now, epochs
/// do not fall behind, and a deadline of a hundred of them is as exact as one of a single one. Those that were missed
/// altogether stay so: made up for, they would cut calls short that have just begun. (One that begins while an epoch is
/// late may be ended as much sooner: less than a millisecond.)
fn after(last: Instant, now: Instant) -> Instant {
    (last + TICK).max(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_early_and_at_most_one_tick_late() {
        let ms = Duration::from_millis;
        assert_eq!((epochs(ms(0)), epochs(ms(1)), epochs(ms(50))), (1, 2, 51));
        assert_eq!(epochs(Duration::from_micros(1_500)), 3);
        assert_eq!(epochs(Duration::MAX), FAR + 1);
    }

    #[test]
    fn r4_epochs_do_not_fall_behind_by_the_time_that_sleeping_takes_too_long() {
        let (began, us) = (Instant::now(), Duration::from_micros);
        let mut next = began;
        for _ in 0..100 {
            next = after(next, next + us(60));
        }
        assert_eq!(next - began, 100 * TICK);
        // Neither early nor in a burst after a time in which this thread did not run.
        let late = next + us(5_500);
        assert_eq!(after(next, late), late);
        assert_eq!(after(late, late + us(60)), late + TICK);
    }

    #[test]
    fn a_machine_is_gone_with_its_last_user() {
        let engine = Engine::new(None).unwrap();
        let weak = engine.weak();
        assert!(weak.upgrade().is_some());
        drop(engine);
        // The clock's thread may have it for a moment.
        while weak.upgrade().is_some() {
            thread::yield_now();
        }
    }
}
