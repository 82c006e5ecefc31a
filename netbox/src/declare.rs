//! How a kind of NetBox objects is declared: one entry of [`kinds!`], from which its row, what is asked for, the tables
//! of a snapshot, their saved form and their refresh follow.

use std::fmt::Debug;

use serde::de::DeserializeOwned;

use crate::builder::{Builder, Rows};
use crate::codec::Code;
use crate::config::{NetBoxConfig, Purpose};
use crate::snapshot::{Snapshot, Tables};
use crate::table::{Row, Table};

/// What objects become rows with.
pub(crate) struct Load<'a> {
    /// Takes strings and lists.
    pub builder: &'a mut Builder,
    /// Decides which custom fields are kept.
    pub config: &'a NetBoxConfig,
}

/// A value of a row.
pub(crate) trait Value: Code + Copy + Debug + Default + PartialEq {
    /// The same value for a snapshot in the making: strings and lists are kept there.
    #[must_use]
    fn carry(self, _from: &Snapshot, _to: &mut Builder) -> Self {
        self
    }
}

/// A value that one field of the API holds, under the same name.
pub(crate) trait Field: Value {
    /// How the field is read.
    type Wire: DeserializeOwned + Default;

    /// `None` if the object cannot be a row with this value.
    fn load(wire: Self::Wire, load: &mut Load<'_>) -> Option<Self>;
}

/// What is special about a kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec {
    /// Readers that need the kind.
    pub purposes: &'static [Purpose],
    /// Whether names would be wrong without it, and not only missing. A token that may not view the kind is then refused.
    pub required: bool,
    /// A query that restricts what is read; empty for everything.
    pub filter: fn(&NetBoxConfig) -> String,
    /// Names of kinds whose change moves objects of this kind without touching their `last_updated`: NetBox updates those
    /// in bulk. After such a change the kind is read in full.
    pub follows: &'static [&'static str],
}

impl Spec {
    /// For names of flows, without a filter.
    pub(crate) const FLOWS: Self =
        Self { purposes: &[Purpose::Flows], required: false, filter: everything, follows: &[] };
    /// For the configuration of collectors.
    pub(crate) const TARGETS: Self = Self { purposes: &[Purpose::Targets], ..Self::FLOWS };
    /// For both.
    pub(crate) const ALL: Self = Self { purposes: &[Purpose::Flows, Purpose::Targets], ..Self::FLOWS };
}

fn everything(_config: &NetBoxConfig) -> String {
    String::new()
}

/// A kind of objects.
pub(crate) trait ObjectKind: Row + Copy + PartialEq + Send + Sync + 'static {
    /// An object as NetBox writes it.
    type Wire: DeserializeOwned + Send;
    /// Unique among the kinds; the label of metrics.
    const NAME: &'static str;
    /// Below `/api/`.
    const PATH: &'static str;
    /// What a token needs to view it.
    const PERMISSION: &'static str;
    /// What is special about it.
    const SPEC: Spec;

    /// Fields of the API that a reader needs.
    fn fields(purpose: Purpose) -> Vec<&'static str>;

    /// NetBox's number for the object.
    fn id_of(wire: &Self::Wire) -> u32;

    /// The object as a row; `None` for one that makes no sense.
    fn load(wire: Self::Wire, load: &mut Load<'_>) -> Option<Self>;

    /// The row for a snapshot in the making.
    fn carry(self, from: &Snapshot, to: &mut Builder) -> Self;

    /// The kind's rows in a snapshot in the making.
    fn rows(rows: &mut Rows) -> &mut Vec<Self>;

    /// The kind's table.
    fn table(tables: &Tables) -> &Table<Self>;
}

/// Declares the kinds of objects. An entry is
///
/// ```text
/// /// What it is.
/// table: Row = "name", "path below /api/", "permission", Spec => {
///     fields { of the API, each of which is a value of the row }
///     targets { the same, asked for only when targets are made }
///     from { further fields of the API: how each is read }
///     make { values of the row = |object, load| ...; }
/// }
/// ```
///
/// where `targets` and `from ... make` may be left out.
macro_rules! kinds {
    ($(
        $(#[$doc:meta])*
        $table:ident: $row:ident = $name:literal, $path:literal, $permission:literal, $spec:expr => {
            fields { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }
            $(targets { $($(#[$target_doc:meta])* $target:ident: $target_type:ty,)* })?
            $(from { $($asked:ident: $asked_type:ty,)* }
              make { $($(#[$made_doc:meta])* $made:ident: $made_type:ty = |$object:ident, $load:ident| $make:expr;)* })?
        }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
            pub struct $row {
                /// NetBox's number for it, never 0.
                pub id: u32,
                $($(#[$field_doc])* pub $field: $type,)*
                $($($(#[$target_doc])* pub $target: $target_type,)*)?
                $($($(#[$made_doc])* pub $made: $made_type,)*)?
            }

            impl crate::table::Row for $row {
                fn id(&self) -> u32 {
                    self.id
                }
            }

            impl crate::codec::Code for $row {
                fn put(&self, out: &mut Vec<u8>) {
                    self.id.put(out);
                    $(self.$field.put(out);)*
                    $($(self.$target.put(out);)*)?
                    $($(self.$made.put(out);)*)?
                }

                fn take(input: &mut &[u8]) -> Option<Self> {
                    // Fields are read in the order in which they are written here.
                    Some(Self {
                        id: crate::codec::Code::take(input)?,
                        $($field: crate::codec::Code::take(input)?,)*
                        $($($target: crate::codec::Code::take(input)?,)*)?
                        $($($made: crate::codec::Code::take(input)?,)*)?
                    })
                }
            }

            impl crate::declare::ObjectKind for $row {
                type Wire = wire::$row;
                const NAME: &'static str = $name;
                const PATH: &'static str = $path;
                const PERMISSION: &'static str = $permission;
                const SPEC: crate::declare::Spec = $spec;

                fn fields(purpose: crate::config::Purpose) -> Vec<&'static str> {
                    let mut fields = vec!["id", $(stringify!($field),)* $($(stringify!($asked),)*)?];
                    if purpose == crate::config::Purpose::Targets {
                        fields.extend::<&[&str]>(&[$($(stringify!($target),)*)?]);
                    }
                    fields.iter_mut().for_each(|field| *field = field.trim_start_matches("r#"));
                    fields
                }

                fn id_of(wire: &wire::$row) -> u32 {
                    wire.id
                }

                fn load(wire: wire::$row, load: &mut crate::declare::Load<'_>) -> Option<Self> {
                    $($(let $made: $made_type = {
                        let ($object, $load) = (&wire, &mut *load);
                        $make
                    };)*)?
                    Some(Self {
                        id: wire.id,
                        $($field: crate::declare::Field::load(wire.$field, load)?,)*
                        $($($target: crate::declare::Field::load(wire.$target, load)?,)*)?
                        $($($made,)*)?
                    })
                }

                fn carry(self, from: &crate::Snapshot, to: &mut crate::Builder) -> Self {
                    let Self { id, $($field,)* $($($target,)*)? $($($made,)*)? } = self;
                    Self {
                        id,
                        $($field: crate::declare::Value::carry($field, from, to),)*
                        $($($target: crate::declare::Value::carry($target, from, to),)*)?
                        $($($made: crate::declare::Value::carry($made, from, to),)*)?
                    }
                }

                fn rows(rows: &mut crate::builder::Rows) -> &mut Vec<Self> {
                    &mut rows.$table
                }

                fn table(tables: &crate::snapshot::Tables) -> &crate::table::Table<Self> {
                    &tables.$table
                }
            }
        )*

        /// Objects as NetBox writes them. What NetBox adds is ignored, what it leaves out is empty: only the id has to be there.
        mod wire {
            use super::*;
            $(
                #[derive(Debug, serde::Deserialize)]
                pub(crate) struct $row {
                    pub(crate) id: u32,
                    $(#[serde(default)] pub(crate) $field: <$type as crate::declare::Field>::Wire,)*
                    $($(#[serde(default)] pub(crate) $target: <$target_type as crate::declare::Field>::Wire,)*)?
                    $($(#[serde(default)] pub(crate) $asked: $asked_type,)*)?
                }
            )*
        }

        /// Does something with every kind: `$do!(table: Row)` for each entry.
        macro_rules! each_kind {
            ($do:ident) => { $do! { $($table: $row,)* } };
        }
        pub(crate) use each_kind;
    };
}

pub(crate) use kinds;
