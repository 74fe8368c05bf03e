//! What a page consists of, before it is written in one format or the other.

/// A metric family.
#[derive(Debug)]
pub(super) struct Family {
    /// Without the suffix that its kind brings.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) series: Vec<Series>,
}

/// The kinds of metrics that are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    /// Its series are called `…_total`.
    Counter,
    /// Its series are called `…_info` and are always 1. The text format has no such kind and calls it a gauge.
    Info,
}

/// One series and what it is worth now. Prometheus keeps every value as a float.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) labels: Vec<Label>,
    pub(super) value: f64,
}

pub(super) type Label = (&'static str, String);

impl Family {
    pub(super) fn gauge(name: &'static str, help: &'static str, series: Vec<Series>) -> Self {
        Self { name, kind: Kind::Gauge, help, series }
    }

    pub(super) fn counter(name: &'static str, help: &'static str, series: Vec<Series>) -> Self {
        Self { name, kind: Kind::Counter, help, series }
    }

    pub(super) fn info(name: &'static str, help: &'static str, series: Vec<Series>) -> Self {
        Self { name, kind: Kind::Info, help, series }
    }
}

impl Series {
    pub(super) fn new<const N: usize>(labels: [(&'static str, &str); N], value: f64) -> Self {
        Self { labels: labels.map(|(name, value)| (name, value.to_owned())).into(), value }
    }

    /// The same with more labels before its own.
    pub(super) fn below<const N: usize>(mut self, labels: [(&'static str, &str); N]) -> Self {
        self.labels.splice(0..0, labels.map(|(name, value)| (name, value.to_owned())));
        self
    }
}

/// 1 if it is so.
pub(super) fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}
