//! Parts of a date in UTC, of seconds since 1970.

/// `hour(v)`: 0..=23.
pub(in super::super) fn hour(seconds: f64, _: &[f64]) -> Option<f64> {
    // Go converts to int64, which truncates towards zero; a float that no int64 holds has no date anyway.
    let seconds = seconds as i64;
    Some((seconds.rem_euclid(86_400) / 3600) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_those_of_utc_also_before_1970() {
        assert_eq!(hour(1_700_000_000.9, &[]), Some(22.0));
        assert_eq!(hour(-1.0, &[]), Some(23.0));
        assert_eq!(hour(f64::NAN, &[]), Some(0.0));
    }
}
