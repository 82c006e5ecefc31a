//! Values of the configuration that must lie in a range, and what their messages say.

use std::fmt::Display;

/// Says what is wrong with a value outside of `low..=high`: `must be from 1 to 256, found 0`. `None` for a value inside.
pub fn outside<T: PartialOrd + Display>(value: T, low: T, high: T) -> Option<String> {
    // A NaN is in no range.
    let inside = (&low..=&high).contains(&&value);
    (!inside).then(|| format!("must be from {low} to {high}, found {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_belong_to_the_range() {
        assert_eq!([outside(1, 1, 256), outside(256, 1, 256)], [None, None]);
        assert_eq!(outside(10_000_000, 1, 1_048_449).unwrap(), "must be from 1 to 1048449, found 10000000");
        assert_eq!(outside(-0.5, 0.0, 1.0).unwrap(), "must be from 0 to 1, found -0.5");
        assert_eq!(outside(f64::NAN, 0.0, 1.0).unwrap(), "must be from 0 to 1, found NaN");
    }
}
