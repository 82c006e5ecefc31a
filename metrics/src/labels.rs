//! Closed sets of labels.

use std::collections::BTreeMap;

/// Counts that are not 0, by the name of their label: what JSON shows of an array with a counter per value of a set.
pub fn counted(names: impl IntoIterator<Item = &'static str>, counts: &[u64]) -> BTreeMap<&'static str, u64> {
    names.into_iter().zip(counts.iter().copied()).filter(|(_, count)| *count > 0).collect()
}

/// Declares an enum whose values are the labels of a metric, in the order of its counters.
///
/// It has `ALL`, every value in order, `name`, the label, and `place`, the index in `ALL`: a counter per value is an array of
/// `ALL.len()`, indexed by `place`. A value may have a number of its own, in parentheses. The values of another set follow
/// where the last line names it, `Group of Set`.
///
/// ```
/// helios_metrics::label_set! {
///     /// How a look-up ended.
///     pub enum Outcome {
///         /// It found something.
///         Hit(7) = "hit",
///         Miss(3) = "miss",
///     }
/// }
/// helios_metrics::label_set! {
///     pub enum Answer {
///         Late = "late",
///         ..InTime of Outcome
///     }
/// }
/// assert_eq!(Outcome::ALL.map(Outcome::name), ["hit", "miss"]);
/// assert_eq!((Outcome::Miss as u8, Outcome::Miss.place()), (3, 1));
/// assert_eq!(Answer::ALL.map(Answer::name), ["late", "hit", "miss"]);
/// ```
#[macro_export]
macro_rules! label_set {
    // The type of both forms below.
    (@enum
        $(#[$meta:meta])* $vis:vis $set:ident { $($(#[$value_meta:meta])* $value:ident $(= $number:literal)?,)* }
        $($group:ident($inner:ident))?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $set {
            $(
                #[allow(missing_docs, reason = "the label says what it is")]
                $(#[$value_meta])*
                $value $(= $number)?,
            )*
            $(
                #[doc = concat!("One of [`", stringify!($inner), "`].")]
                $group($inner),
            )?
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis enum $set:ident {
            $($(#[$value_meta:meta])* $value:ident $(($number:literal))? = $label:literal),* $(,)?
        }
    ) => {
        $crate::label_set!(@enum
            $(#[$meta])* $vis $set { $($(#[$value_meta])* $value $(= $number)?,)* }
        );

        impl $set {
            /// Every value, in the order of its counters.
            pub const ALL: [Self; [$($set::$value),*].len()] = [$($set::$value),*];

            /// The metric label.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $label),*
                }
            }

            /// The index in [`ALL`](Self::ALL), for an array with a counter per value.
            #[allow(dead_code, reason = "not every set is counted in an array")]
            pub const fn place(self) -> usize {
                enum Place { $($value),* }
                match self {
                    $(Self::$value => Place::$value as usize),*
                }
            }
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis enum $set:ident {
            $($(#[$value_meta:meta])* $value:ident = $label:literal,)*
            ..$group:ident of $inner:ident
        }
    ) => {
        $crate::label_set!(@enum
            $(#[$meta])* $vis $set { $($(#[$value_meta])* $value,)* } $group($inner)
        );

        impl $set {
            /// Every value, those of the other set last.
            pub const ALL: [Self; [$($label),*].len() + $inner::ALL.len()] = {
                let own = [$($set::$value),*];
                let mut all = [$set::$group($inner::ALL[0]); [$($label),*].len() + $inner::ALL.len()];
                let mut at = 0;
                while at < all.len() {
                    all[at] = if at < own.len() { own[at] } else { $set::$group($inner::ALL[at - own.len()]) };
                    at += 1;
                }
                all
            };

            /// The metric label.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $label,)*
                    Self::$group(inner) => inner.name(),
                }
            }
        }
    };
}
