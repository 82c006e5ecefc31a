//! Counters that are declared once.

/// Declares a struct of counters with `add`, for the sums of another thread, and `since`, for what came to them.
///
/// ```
/// helios_metrics::counters! {
///     /// What became of parcels.
///     pub struct Parcels {
///         /// Parcels that came.
///         pub came,
///         /// Parcels that went.
///         pub went,
///     }
/// }
///
/// let (mut sum, before) = (Parcels { came: 3, went: 1 }, Parcels { came: 2, went: 1 });
/// assert_eq!(sum.since(&before), Parcels { came: 1, went: 0 });
/// sum.add(&before);
/// assert_eq!(sum, Parcels { came: 5, went: 2 });
/// ```
#[macro_export]
macro_rules! counters {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: u64,)*
        }

        impl $name {
            /// Adds what somebody else counted.
            #[allow(dead_code, reason = "not every struct of counters has sums")]
            $vis fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }

            /// What came to each counter since `before`; 0 for a counter that was corrected downwards.
            #[allow(dead_code, reason = "not every struct of counters is compared with an earlier one")]
            $vis fn since(&self, before: &Self) -> Self {
                Self { $($field: self.$field.saturating_sub(before.$field),)* }
            }
        }
    };
}

/// Declares counters of one kind of event: a struct with a field per counter, and all that follows from it.
///
/// A row is a field with its documentation, how many one event adds to it, after `=>` the metric and its help, and after
/// `each` the metric of each source of events. Either metric may be missing. Rows in the first block count by a label.
///
/// It makes
/// - the struct, `count` for an event, `add` for the sums of another thread, `fields` with every name and value for APIs;
/// - a [`Table`](crate::Table) with the metrics of the whole;
/// - a table with the metrics of each source, to be written from the sums of all sources, each with the value of the label.
///
/// ```
/// helios_metrics::label_set! { pub enum Size { Small = "small", Large = "large" } }
/// pub struct Parcel { size: Size, stamps: u32 }
///
/// helios_metrics::tally! {
///     /// Parcels that came.
///     pub struct Parcels of Parcel {
///         by Size as "size" = |parcel| parcel.size => {
///             /// Parcels.
///             parcels = |_| 1 => "helios_x_parcels_total" "Parcels received";
///         }
///         /// Stamps on them.
///         stamps = |parcel| parcel.stamps => "helios_x_stamps_total" "Stamps on parcels",
///             each "helios_x_sender_stamps_total" "Stamps on parcels of the sender";
///     }
///     /// Of all.
///     pub METRICS;
///     /// Of each sender.
///     pub BY_SENDER as "sender";
/// }
///
/// let mut all = Parcels::default();
/// all.count(&Parcel { size: Size::Large, stamps: 3 });
/// assert_eq!((all.parcels, all.stamps), ([0, 1], 3));
/// assert_eq!(all.fields().collect::<Vec<_>>(), [("parcels", 1), ("stamps", 3)]);
/// assert_eq!((METRICS.metrics().count(), BY_SENDER.metrics().count()), (2, 1));
/// ```
#[macro_export]
macro_rules! tally {
    (
        $(#[$meta:meta])*
        $vis:vis struct $tally:ident of $event:ty {
            by $set:ident as $label:literal = $at:expr => {
                $($(#[$by_meta:meta])* $by:ident = $by_value:expr
                    $(=> $by_name:literal $by_help:literal)?
                    $(, each $by_each_name:literal $by_each_help:literal)?;)*
            }
            $($(#[$field_meta:meta])* $field:ident = $value:expr
                $(=> $name:literal $help:literal)?
                $(, each $each_name:literal $each_help:literal)?;)*
        }
        $(#[$metrics_meta:meta])*
        $metrics_vis:vis $metrics:ident;
        $(#[$sources_meta:meta])*
        $sources_vis:vis $sources:ident as $source_label:literal;
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        $vis struct $tally {
            $($(#[$by_meta])* pub $by: [u64; $set::ALL.len()],)*
            $($(#[$field_meta])* pub $field: u64,)*
        }

        impl $tally {
            /// Counts an event.
            pub fn count(&mut self, event: &$event) {
                let at: fn(&$event) -> $set = $at;
                let at = at(event).place();
                $({
                    let value: fn(&$event) -> u32 = $by_value;
                    self.$by[at] += u64::from(value(event));
                })*
                $({
                    let value: fn(&$event) -> u32 = $value;
                    self.$field += u64::from(value(event));
                })*
            }

            /// Adds what somebody else counted.
            pub fn add(&mut self, other: &Self) {
                $(self.$by.iter_mut().zip(other.$by).for_each(|(mine, theirs)| *mine += theirs);)*
                $(self.$field += other.$field;)*
            }

            /// The name of every counter and its value; of one with a label the sum.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [
                    $((stringify!($by), self.$by.iter().sum::<u64>()),)*
                    $((stringify!($field), self.$field),)*
                ]
                .into_iter()
            }
        }

        $(#[$metrics_meta])*
        $metrics_vis const $metrics: $crate::Table<$tally> = $crate::Table(&[
            $($($crate::Entry::counter($by_name, &[$label], $by_help, |tally, out| {
                out.all($set::ALL.iter().map(|label| [label.name()]).zip(tally.$by))
            }),)?)*
            $($($crate::Entry::counter($name, &[], $help, |tally, out| out.one(tally.$field)),)?)*
        ]);

        $(#[$sources_meta])*
        $sources_vis const $sources: $crate::Table<Vec<(String, $tally)>> = $crate::Table(&[
            $($($crate::Entry::counter($by_each_name, &[$source_label], $by_each_help, |sources, out| {
                out.all(sources.iter().map(|(source, tally)| ([source.as_str()], tally.$by.iter().sum::<u64>())))
            }),)?)*
            $($($crate::Entry::counter($each_name, &[$source_label], $each_help, |sources, out| {
                out.all(sources.iter().map(|(source, tally)| ([source.as_str()], tally.$field)))
            }),)?)*
        ]);
    };
}
