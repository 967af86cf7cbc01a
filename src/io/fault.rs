//! Short spellings of [`FormatError`], so that each refusal names field, byte offset, finding and remedy in one line.

use crate::error::{Error, FormatError};

/// A format error at `offset` in `field` of `format`.
pub(crate) fn fault(
    format: impl Into<String>,
    field: impl Into<String>,
    offset: u64,
    message: impl Into<String>,
    remedy: impl Into<String>,
) -> Error {
    FormatError { format: format.into(), field: field.into(), offset, message: message.into(), remedy: remedy.into() }
        .into()
}

/// What to do about bytes that were lost or changed on the way.
pub(crate) const COPY_AGAIN: &str = "the file is damaged or incomplete: copy it again from its source";
