//! Kubernetes quantities (`64Mi`, `0.5`, `1e3`): exact, never through a float. Knows nothing of what they measure.

/// Billionths in one.
const NANO: u128 = 1_000_000_000;
/// As in Kubernetes: what is larger counts as 2^63 - 1.
const MOST: u128 = i64::MAX as u128 * NANO;
/// Further than any exponent has an effect on.
const FARTHEST: i32 = 64;

/// How it was written, and how it is written back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notation {
    /// `n u m k M G T P E`, or nothing.
    Decimal,
    /// `Ki Mi Gi Ti Pi Ei`.
    Binary,
    /// `e3`.
    Exponent,
}

/// An amount to the billionth, rounded away from zero beyond that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quantity {
    nanos: u128,
    negative: bool,
    notation: Notation,
}

impl Quantity {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') {
            return None;
        }
        let (notation, unit, shift) = unit(suffix)?;
        let (whole, fraction) = moved(whole, fraction, shift);
        let nanos = amount(&whole, &fraction, unit);
        Some(Self { nanos, negative: negative && nanos > 0, notation })
    }

    /// Written back as this one was.
    pub(super) fn plus(self, other: Self) -> Self {
        Self { nanos: self.nanos.saturating_add(other.nanos).min(MOST), ..self }
    }

    pub(super) fn is_negative(&self) -> bool {
        self.negative
    }

    /// Whether it has a part smaller than one and was written in thousandths or less: `128m` of memory.
    pub(super) fn is_fraction_by_suffix(&self) -> bool {
        self.notation == Notation::Decimal && self.nanos > 0 && self.nanos < NANO
    }

    /// Whole units, rounded up; 0 if negative.
    pub(crate) fn units(&self) -> u64 {
        self.over(NANO)
    }

    /// Thousandths, rounded up; 0 if negative.
    pub(crate) fn thousandths(&self) -> u64 {
        self.over(NANO / 1000)
    }

    fn over(&self, size: u128) -> u64 {
        if self.negative { 0 } else { u64::try_from(self.nanos.div_ceil(size)).unwrap_or(u64::MAX) }
    }

    /// The amount, for comparing.
    pub(super) fn signed(&self) -> i128 {
        // At most 2^63 * 10^9: far inside the range.
        let size = self.nanos as i128;
        if self.negative { -size } else { size }
    }

    /// As an API server writes it back: no fraction, the largest suffix that keeps the amount.
    pub(super) fn canonical(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        if self.nanos == 0 {
            return "0".to_owned();
        }
        let whole = self.nanos.is_multiple_of(NANO) && self.nanos >= 1024 * NANO;
        if self.notation == Notation::Binary && whole {
            let (number, steps) = reduced(self.nanos / NANO, 1024, 6);
            return format!("{sign}{number}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][steps]);
        }
        let (number, steps) = reduced(self.nanos, 1000, 9);
        if self.notation == Notation::Exponent && steps != 3 {
            return format!("{sign}{number}e{}", 3 * steps as i64 - 9);
        }
        format!("{sign}{number}{}", ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][steps])
    }
}

/// What the letters after the number multiply it with: billionths, and places to move the point.
fn unit(suffix: &str) -> Option<(Notation, u128, i32)> {
    let decimal = |size: u128| Some((Notation::Decimal, size, 0));
    let binary = |power: u32| Some((Notation::Binary, NANO << (10 * power), 0));
    match suffix {
        "n" => decimal(1),
        "u" => decimal(1_000),
        "m" => decimal(1_000_000),
        "" => decimal(NANO),
        "k" => decimal(NANO * 1_000),
        "M" => decimal(NANO * 1_000_000),
        "G" => decimal(NANO * NANO),
        "T" => decimal(NANO * NANO * 1_000),
        "P" => decimal(NANO * NANO * 1_000_000),
        "E" => decimal(NANO * NANO * NANO),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => exponent(suffix).map(|shift| (Notation::Exponent, NANO, shift)),
    }
}

fn exponent(suffix: &str) -> Option<i32> {
    let number = suffix.strip_prefix(['e', 'E'])?;
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<i32>().map_or(FARTHEST, |size| size.min(FARTHEST));
    Some(if number.starts_with('-') { -size } else { size })
}

/// The digits before and after the point once it has moved by `shift` places to the right.
fn moved(whole: &str, fraction: &str, shift: i32) -> (String, String) {
    let places = shift.unsigned_abs() as usize;
    let (left, right) = if shift < 0 { (places, 0) } else { (0, places) };
    let digits = format!("{:0>left$}{whole}{fraction}{:0>right$}", "", "");
    let (whole, fraction) = digits.split_at(left + whole.len() + right - left);
    (whole.to_owned(), fraction.to_owned())
}

/// `whole.fraction * unit`, rounded up, at most `MOST`.
fn amount(whole: &str, fraction: &str, unit: u128) -> u128 {
    let digit = |byte: u8| u128::from(byte - b'0');
    // From the last digit on: rounding up at each step gives the same as rounding up once at the end.
    let part = fraction.bytes().rev().fold(0, |sum: u128, byte| (sum + digit(byte) * unit).div_ceil(10));
    let count = whole.bytes().fold(0, |sum: u128, byte| (sum * 10 + digit(byte)).min(MOST));
    count.saturating_mul(unit).saturating_add(part).min(MOST)
}

/// Divides as often as it leaves no rest, `most` times at most.
fn reduced(mut number: u128, by: u128, most: usize) -> (u128, usize) {
    let mut steps = 0;
    while steps < most && number.is_multiple_of(by) {
        number /= by;
        steps += 1;
    }
    (number, steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_read_exactly_rounded_up_and_written_back_as_kubernetes_writes_it() {
        const MAX: u64 = i64::MAX as u64;
        let rows: [(&str, u64, u64, &str); 36] = [
            ("0", 0, 0, "0"),
            ("0Mi", 0, 0, "0"),
            ("-0", 0, 0, "0"),
            ("1", 1, 1000, "1"),
            ("+1", 1, 1000, "1"),
            ("007", 7, 7000, "7"),
            ("0.5", 1, 500, "500m"),
            (".5", 1, 500, "500m"),
            ("5.", 5, 5000, "5"),
            ("1.5", 2, 1500, "1500m"),
            ("100m", 1, 100, "100m"),
            ("1000m", 1, 1000, "1"),
            ("1001m", 2, 1001, "1001m"),
            ("1u", 1, 1, "1u"),
            ("1n", 1, 1, "1n"),
            ("0.1n", 1, 1, "1n"),
            ("0.1m", 1, 1, "100u"),
            ("2000", 2000, 2_000_000, "2k"),
            ("1500", 1500, 1_500_000, "1500"),
            ("1k", 1000, 1_000_000, "1k"),
            ("128M", 128_000_000, 128_000_000_000, "128M"),
            ("1G", 1_000_000_000, 1_000_000_000_000, "1G"),
            ("1Ki", 1024, 1_024_000, "1Ki"),
            ("0.5Ki", 512, 512_000, "512"),
            ("1.5Gi", 1_610_612_736, 1_610_612_736_000, "1536Mi"),
            ("1024Mi", 1 << 30, 1000 << 30, "1Gi"),
            ("64Mi", 64 << 20, 64_000 << 20, "64Mi"),
            ("0.1Gi", 107_374_183, 107_374_182_400, "107374182400m"),
            ("1Ei", 1 << 60, u64::MAX, "1Ei"),
            ("9.9Ei", MAX, u64::MAX, "9223372036854775807"),
            ("10E", MAX, u64::MAX, "9223372036854775807"),
            ("99999999999999999999999999999999999999999", MAX, u64::MAX, "9223372036854775807"),
            ("1e3", 1000, 1_000_000, "1e3"),
            ("1E3", 1000, 1_000_000, "1e3"),
            ("12e-1", 2, 1200, "1200e-3"),
            ("1.25e+99999999999", MAX, u64::MAX, "9223372036854775807"),
        ];
        for (text, units, thousandths, canonical) in rows {
            let quantity = Quantity::parse(text).expect(text);
            let found = (quantity.units(), quantity.thousandths(), quantity.canonical());
            assert_eq!(found, (units, thousandths, canonical.to_owned()), "{text}");
            let again = Quantity::parse(canonical).expect(canonical);
            assert_eq!((again.units(), again.canonical()), (units, canonical.to_owned()), "{canonical}");
        }
    }

    #[test]
    fn what_is_not_a_quantity_is_refused() {
        for text in [
            "", "banana", "Mi", ".", "1.2.3", "1mi", "1MI", "1 Mi", "1Mi ", "1K", "1KiB", "0x10", "1e",
            "1e1.5", "--1", "1,5", "e3", "١", "1e+", "1e+-3",
        ] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }

    #[test]
    fn amounts_compare_across_notations() {
        let rows = [
            ("1Gi", "1G"),
            ("1", "999m"),
            ("0", "-1"),
            ("-1", "-2"),
            ("1025", "1Ki"),
            ("0.1Gi", "107374182"),
        ];
        for (larger, smaller) in rows {
            let [larger, smaller] = [larger, smaller].map(|text| Quantity::parse(text).expect(text).signed());
            assert!(larger > smaller);
        }
    }
}
