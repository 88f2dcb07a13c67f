//! R4: a call that does not end is ended at its deadline, a millisecond sooner or later.

use std::time::Duration;

use weir_proto::pb::Plugin;
use weir_tests::Stand;

use super::kind::Kind;

const DEADLINE_MS: u64 = 100;
/// On a machine that does other things too, some are late; if Weir were, all would be.
const TRIES: usize = 10;

#[tokio::test]
async fn r4_a_plugin_that_spins_is_ended_within_its_deadline_and_a_millisecond() {
    for kind in Kind::WRITTEN {
        let spinning = Plugin { timeout_ms: DEADLINE_MS, ..kind.written("hooks") };
        let stand = Stand::start(spinning, "").await;
        let mut quickest = f64::MAX;
        for _ in 0..TRIES {
            let took = async || stand.sum("weir_plugin_duration_seconds_sum", &["hook=\"pre\""]).await;
            let before = took().await;
            assert_eq!(stand.get("/spins").await.status, 500);
            quickest = quickest.min(took().await - before);
        }
        let off = Duration::from_secs_f64(quickest).abs_diff(Duration::from_millis(DEADLINE_MS));
        assert!(off <= Duration::from_millis(1), "{kind:?}: {quickest} s");
    }
}
