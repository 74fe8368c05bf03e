//! Instants as the API writes and reads them: RFC 3339, UTC. Reads no clock.

use jiff::Timestamp;

/// `metav1.Time`: whole seconds.
pub(super) fn seconds(instant: Timestamp) -> String {
    Timestamp::from_second(instant.as_second()).unwrap_or(instant).to_string()
}

/// Whole seconds, from nanoseconds since 1970.
pub(super) fn of_nanos(nanos: i64) -> Option<String> {
    Timestamp::from_nanosecond(nanos.into()).ok().map(seconds)
}

/// With every digit that is known, from nanoseconds since 1970.
pub(super) fn exact(nanos: i64) -> Option<String> {
    Timestamp::from_nanosecond(nanos.into()).ok().map(|instant| instant.to_string())
}
