//! How much is enough: `tests/run` for a change, `tests/run --long` for a release.

/// How often to repeat: the full count under `tests/run --long`, else the short one.
pub(crate) fn count(short: usize, long: usize) -> usize {
    if std::env::var_os("MAESTRO_LONG").is_some() { long } else { short }
}
