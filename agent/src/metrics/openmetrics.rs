//! OpenMetrics 1.0.0, written by prometheus-client.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};

use super::family::{Family, Kind, Series};

pub(super) fn encode(families: Vec<Family>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut page = String::new();
    let written = text::encode(&mut page, &registry);
    debug_assert!(written.is_ok(), "text always fits into a string");
    page
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|family| one(family, &mut encoder))
    }
}

fn one(family: &Family, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(family.name, family.help, None, family.kind.into())?;
    for Series { labels, value } in &family.series {
        match family.kind {
            Kind::Info => metric.encode_info(labels)?,
            // prometheus-client writes an empty label set of a family as `{}`.
            Kind::Gauge if labels.is_empty() => metric.encode_gauge(value)?,
            Kind::Gauge => metric.encode_family(labels)?.encode_gauge(value)?,
            Kind::Counter if labels.is_empty() => count(&mut metric, *value)?,
            Kind::Counter => count(&mut metric.encode_family(labels)?, *value)?,
        }
    }
    Ok(())
}

fn count(metric: &mut MetricEncoder<'_>, value: f64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
}

impl From<Kind> for MetricType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Gauge => Self::Gauge,
            Kind::Counter => Self::Counter,
            Kind::Info => Self::Info,
        }
    }
}
