//! `Metrics`: counts requests, or observes a figure of them, in a metric that the user makes up.

use std::sync::Arc;

use weir_proto::model::plugin::param::{self, Measure};

use super::text::Text;
use crate::plugin::{Failure, Hooks, Outcome, Session, Stage};

/// The type.
#[derive(Debug)]
pub(super) struct Metrics {
    metric: Arc<param::Metrics>,
    labels: Box<[Text]>,
}

impl Metrics {
    pub(super) fn new(param: param::Metrics) -> Self {
        let labels = param.labels.iter().map(|(_, template)| Text::new(template.clone())).collect();
        Self { metric: Arc::new(param), labels }
    }
}

impl Stage for Metrics {
    fn hooks(&self) -> Hooks {
        Hooks { done: true, ..Hooks::default() }
    }

    fn metric(&self) -> Option<&Arc<param::Metrics>> {
        Some(&self.metric)
    }

    fn done(&self, session: &mut Session<'_>, outcome: &Outcome) -> Result<(), Failure> {
        if let (Some(tally), Some(value)) = (session.tally(), measured(self.metric.value, outcome)) {
            let labels = self.labels.iter().map(|text| text.text(session)).collect();
            tally.observe(session.worker().id, labels, value);
        }
        Ok(())
    }
}

/// `None` of what the request did not come to.
#[expect(clippy::cast_precision_loss, reason = "exact below 8 PiB")]
fn measured(measure: Measure, outcome: &Outcome) -> Option<f64> {
    match measure {
        Measure::Requests => Some(1.0),
        Measure::Duration => Some(outcome.duration.as_secs_f64()),
        Measure::UpstreamDuration => outcome.upstream.map(|upstream| upstream.as_secs_f64()),
        Measure::Bytes => Some(outcome.bytes as f64),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_request_without_a_backend_has_no_time_of_one() {
        let outcome = Outcome { status: 200, duration: Duration::from_millis(1_500), upstream: None, bytes: 42 };
        assert_eq!(measured(Measure::Requests, &outcome), Some(1.0));
        assert_eq!(measured(Measure::Duration, &outcome), Some(1.5));
        assert_eq!(measured(Measure::UpstreamDuration, &outcome), None);
        assert_eq!(measured(Measure::Bytes, &outcome), Some(42.0));
    }
}
