//! Named places where tests stop the process, to see what a crash leaves behind.

/// Aborts the process when the failpoint is set to `return`. Nothing without the feature `failpoints`.
#[cfg(feature = "failpoints")]
pub(crate) fn hit(name: &str) {
    if fail::eval(name, |_| ()).is_some() {
        std::process::abort();
    }
}

/// Nothing: the feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) const fn hit(_name: &str) {}

/// Whether the failpoint is set to `return`. Never without the feature `failpoints`.
#[cfg(feature = "failpoints")]
pub(crate) fn is_set(name: &str) -> bool {
    fail::eval(name, |_| ()).is_some()
}

/// Never: the feature `failpoints` is off.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) const fn is_set(_name: &str) -> bool {
    false
}
