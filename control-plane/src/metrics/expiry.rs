//! When a certificate ends. Looked up when it is asked for, as certificates change by themselves.

use std::sync::Arc;

use prometheus::Gauge;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use rustls::ServerConfig;
use weir_proto::tls::Current;

/// A gauge of the certificate in force.
pub(super) struct Expiry {
    gauge: Gauge,
    certificate: Arc<Current<ServerConfig>>,
}

impl Expiry {
    pub(super) fn new(name: &str, certificate: Arc<Current<ServerConfig>>) -> prometheus::Result<Self> {
        Ok(Self { gauge: Gauge::new(name, "When the certificate that proxies are shown ends.")?, certificate })
    }
}

impl Collector for Expiry {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        #[expect(clippy::cast_precision_loss, reason = "exact for the next 285 million years")]
        self.gauge.set(self.certificate.expires() as f64);
        self.gauge.collect()
    }
}
