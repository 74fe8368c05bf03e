//! Columns that are more than SQLite's own types: JSON, and numbers of 64 bits without a sign.

use rusqlite::{Error, Result, Row, types::Type};
use serde::de::DeserializeOwned;

/// Decodes a column that holds JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T> {
    let index = row.as_ref().column_index(column)?;
    let text = row.get_ref(index)?.as_str()?;
    serde_json::from_str(text).map_err(|error| not_json(index, error))
}

/// The column's text is not what it should be.
pub(super) fn not_json(index: usize, error: serde_json::Error) -> Error {
    Error::FromSqlConversionFailure(index, Type::Text, error.into())
}

/// A number that was stored bit by bit: SQLite's integers have a sign.
pub(super) fn unsigned(row: &Row<'_>, column: &str) -> Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}
