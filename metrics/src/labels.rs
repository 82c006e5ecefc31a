//! Closed sets of labels.

/// Declares an enum whose values are the labels of a metric, in the order of its counters.
///
/// It has `ALL`, every value in order, and `name`, the label. A counter per value is an array of `ALL.len()`, indexed by
/// `value as usize`.
///
/// ```
/// helios_metrics::label_set! {
///     /// How a look-up ended.
///     pub enum Outcome {
///         /// It found something.
///         Hit = "hit",
///         Miss = "miss",
///     }
/// }
/// assert_eq!(Outcome::ALL.map(Outcome::name), ["hit", "miss"]);
/// ```
#[macro_export]
macro_rules! label_set {
    (
        $(#[$meta:meta])*
        $vis:vis enum $set:ident {
            $($(#[$value_meta:meta])* $value:ident = $label:literal),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $set {
            $($(#[$value_meta])* $value),*
        }

        impl $set {
            /// Every value, in the order of its counters.
            pub const ALL: [Self; [$($set::$value),*].len()] = [$($set::$value),*];

            /// The metric label.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $label),*
                }
            }
        }
    };
}
