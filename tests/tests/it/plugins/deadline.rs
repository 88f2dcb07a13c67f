//! R4: a call that does not end is ended at its deadline, a millisecond sooner or later.

use std::time::Duration;

use weir_proto::pb::Plugin;
use weir_tests::Stand;

use super::kind::Kind;

const DEADLINE_MS: u64 = 100;
/// On a machine that does other things too, some are late; if Weir were, all would be.
const TRIES: usize = 50;
const TOLERANCE: Duration = Duration::from_millis(1);

#[tokio::test]
async fn r4_a_plugin_that_spins_is_ended_within_its_deadline_and_a_millisecond() {
    for kind in Kind::WRITTEN {
        let spinning = Plugin { timeout_ms: DEADLINE_MS, ..kind.written("hooks") };
        let stand = Stand::start(spinning, "").await;
        let mut nearest = Duration::MAX;
        for _ in 0..TRIES {
            let took = async || stand.sum("weir_plugin_duration_seconds_sum", &["hook=\"pre\""]).await;
            let before = took().await;
            assert_eq!(stand.get("/spins").await.status, 500);
            let took = Duration::from_secs_f64(took().await - before);
            nearest = nearest.min(took.abs_diff(Duration::from_millis(DEADLINE_MS)));
            if nearest <= TOLERANCE {
                break;
            }
        }
        assert!(nearest <= TOLERANCE, "{kind:?}: {nearest:?} off");
    }
}
