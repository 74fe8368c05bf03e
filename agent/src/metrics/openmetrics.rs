//! OpenMetrics 1.0.0, written by prometheus-client.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};

use super::family::{Family, Kind, Series, Value};

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
            _ if labels.is_empty() => written(&mut metric, family.kind, value)?,
            _ => written(&mut metric.encode_family(labels)?, family.kind, value)?,
        }
    }
    Ok(())
}

fn written(metric: &mut MetricEncoder<'_>, kind: Kind, value: &Value) -> fmt::Result {
    match (kind, value) {
        (_, Value::Spread(spread)) => {
            let buckets: Vec<(f64, u64)> = spread.buckets().collect();
            metric.encode_histogram::<NoLabelSet>(spread.sum(), spread.count(), &buckets, None)
        }
        (Kind::Counter, Value::Number(number)) => metric.encode_counter::<NoLabelSet, _, f64>(number, None),
        (_, Value::Number(number)) => metric.encode_gauge(number),
    }
}

impl From<Kind> for MetricType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Gauge => Self::Gauge,
            Kind::Counter => Self::Counter,
            Kind::Info => Self::Info,
            Kind::Histogram => Self::Histogram,
        }
    }
}
