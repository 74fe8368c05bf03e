//! How long ago, as kubectl says it. Pure.

use jiff::{SignedDuration, Timestamp};

/// From an RFC 3339 date until now; `<unknown>` if it is none.
pub(crate) fn since(date: Option<&str>, now: Timestamp) -> String {
    let then: Option<Timestamp> = date.and_then(|date| date.parse().ok());
    then.map_or_else(|| "<unknown>".to_owned(), |then| human(now.duration_since(then)))
}

/// The two largest units that matter at that age (`k8s.io/apimachinery` `duration.HumanDuration`).
pub(crate) fn human(age: SignedDuration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match seconds {
        // A clock that was set back.
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => two(days, "d", hours % 24, "h"),
        _ if days < 365 * 2 => format!("{days}d"),
        _ if years < 8 => two(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

fn two(large: i64, unit: &str, small: i64, part: &str) -> String {
    if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{part}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_prints_them() {
        const HOUR: i64 = 3600;
        const DAY: i64 = 24 * HOUR;
        let rows = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (121, "2m1s"),
            (10 * 60 + 5, "10m"),
            (179 * 60, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 60, "3h1m"),
            (47 * HOUR, "47h"),
            (2 * DAY, "2d"),
            (2 * DAY + HOUR, "2d1h"),
            (9 * DAY + HOUR, "9d"),
            (729 * DAY, "729d"),
            (731 * DAY, "2y1d"),
            (8 * 365 * DAY + DAY, "8y"),
        ];
        for (seconds, expected) in rows {
            assert_eq!(human(SignedDuration::from_secs(seconds)), expected, "{seconds}");
        }
    }

    #[test]
    fn a_date_that_is_none_is_unknown() {
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        for (date, expected) in
            [(None, "<unknown>"), (Some("x"), "<unknown>"), (Some("2026-11-23T09:00:00Z"), "60m")]
        {
            assert_eq!(since(date, now), expected, "{date:?}");
        }
    }
}
