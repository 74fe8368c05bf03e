//! When images are removed to make room: the kubelet's keys, defaults and rules.

use std::time::Duration;

use serde::Deserialize;

/// `imageGCHighThresholdPercent`, `imageGCLowThresholdPercent`, `imageMinimumGCAge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageGc {
    /// Percent of the filesystem in use from which on images are removed; 100: never.
    pub(crate) high: u8,
    /// Down to which they are removed.
    pub(crate) low: u8,
    /// How long an image stays after it came or was used last.
    pub(crate) min_age: Duration,
}

/// The kubelet's defaults.
impl Default for ImageGc {
    fn default() -> Self {
        Self { high: 85, low: 80, min_age: Duration::from_mins(2) }
    }
}

impl ImageGc {
    /// The defaults, but for what is given.
    pub(crate) fn of(
        high: Option<Percent>,
        low: Option<Percent>,
        min_age: Option<Age>,
    ) -> Result<Self, String> {
        let all = Self::default();
        let high = high.map_or(all.high, |Percent(high)| high);
        let low = low.map_or(all.low, |Percent(low)| low);
        let min_age = min_age.map_or(all.min_age, |Age(age)| age);
        if low < high {
            Ok(Self { high, low, min_age })
        } else {
            Err(format!("imageGCLowThresholdPercent: {low} is not below imageGCHighThresholdPercent, {high}"))
        }
    }
}

/// 0 to 100.
#[derive(Debug, Deserialize)]
#[serde(try_from = "u8")]
pub(crate) struct Percent(u8);

impl TryFrom<u8> for Percent {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        let wrong = || format!("image garbage collection: {number} is no percentage from 0 to 100");
        Some(number).filter(|number| *number <= 100).map(Self).ok_or_else(wrong)
    }
}

/// A time as Go writes it, of one unit: `90s`, `2m`, `1h`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Age(Duration);

impl TryFrom<String> for Age {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const UNITS: [(char, u64); 3] = [('s', 1), ('m', 60), ('h', 3600)];
        let seconds = UNITS.iter().find_map(|(unit, seconds)| {
            let number: u64 = text.strip_suffix(*unit)?.parse().ok()?;
            number.checked_mul(*seconds)
        });
        let wrong = || format!("imageMinimumGCAge: {text:?} is not a time like 90s, 2m or 1h");
        seconds.map(Duration::from_secs).map(Self).ok_or_else(wrong)
    }
}
