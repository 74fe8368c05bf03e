//! What a page consists of, before it is written in one format or the other.

use crate::picture::counted::Spread;

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
    /// Its series are called `…_bucket`, `…_sum` and `…_count`.
    Histogram,
}

/// One series and what it is worth now.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) labels: Vec<Label>,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    /// Prometheus keeps every value as a float.
    Number(f64),
    /// In a histogram, and only there.
    Spread(Spread),
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

    pub(super) fn histogram(name: &'static str, help: &'static str, series: Vec<Series>) -> Self {
        Self { name, kind: Kind::Histogram, help, series }
    }
}

impl Series {
    pub(super) fn new<const N: usize>(labels: [(&'static str, &str); N], value: impl Into<Value>) -> Self {
        let value = value.into();
        Self { labels: labels.map(|(name, value)| (name, value.to_owned())).into(), value }
    }

    /// The same with more labels before its own.
    pub(super) fn below<const N: usize>(mut self, labels: [(&'static str, &str); N]) -> Self {
        self.labels.splice(0..0, labels.map(|(name, value)| (name, value.to_owned())));
        self
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Spread> for Value {
    fn from(spread: Spread) -> Self {
        Self::Spread(spread)
    }
}

/// 1 if it is so.
pub(super) fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}
