//! Rows as octets and back. Numbers are little-endian, texts and lists begin with their length (u32), an enum with its
//! number; a struct is its fields in the order given here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::builder::{Builder, Rows};
use crate::declare::Value;
use crate::kinds::each_kind;
use crate::model::{AddressRef, Assigned, Cidr, CustomFields, Ids, Scope, Span};
use crate::snapshot::{Lists, Origin, Snapshot};
use crate::text::{Text, Texts};

/// A value that can be written and read. Reading checks every length against what is left.
pub(crate) trait Code: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(input: &mut &[u8]) -> Option<Self>;
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Code for $number {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(input: &mut &[u8]) -> Option<Self> {
                let (octets, rest) = input.split_first_chunk()?;
                *input = rest;
                Some(Self::from_le_bytes(*octets))
            }
        })*
    };
}

numbers!(u8, u32, u64);

impl Code for bool {
    fn put(&self, out: &mut Vec<u8>) {
        u8::from(*self).put(out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        u8::take(input).map(|octet| octet != 0)
    }
}

impl Code for String {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        let len = u32::take(input)? as usize;
        let (octets, rest) = input.split_at_checked(len)?;
        *input = rest;
        String::from_utf8(octets.to_vec()).ok()
    }
}

impl<T: Code> Code for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_slice(self, out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        let len = u32::take(input)? as usize;
        // Every element has an octet at least, so a length that lies cannot ask for more memory than there are octets.
        let mut list = Self::with_capacity(len.min(input.len() / size_of::<T>().max(1)));
        for _ in 0..len {
            list.push(T::take(input)?);
        }
        Some(list)
    }
}

fn put_slice<T: Code>(list: &[T], out: &mut Vec<u8>) {
    (list.len() as u32).put(out);
    list.iter().for_each(|element| element.put(out));
}

impl<A: Code, B: Code> Code for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        Some((A::take(input)?, B::take(input)?))
    }
}

impl Code for Option<IpAddr> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(IpAddr::V4(address)) => {
                out.push(4);
                out.extend_from_slice(&address.octets());
            }
            Some(IpAddr::V6(address)) => {
                out.push(6);
                out.extend_from_slice(&address.octets());
            }
        }
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        match u8::take(input)? {
            0 => Some(None),
            4 => take_octets(input).map(|octets: [u8; 4]| Some(Ipv4Addr::from(octets).into())),
            6 => take_octets(input).map(|octets: [u8; 16]| Some(Ipv6Addr::from(octets).into())),
            _ => None,
        }
    }
}

fn take_octets<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (octets, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*octets)
}

impl Code for IpAddr {
    fn put(&self, out: &mut Vec<u8>) {
        Some(*self).put(out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        <Option<Self> as Code>::take(input)?
    }
}

impl Code for Assigned {
    fn put(&self, out: &mut Vec<u8>) {
        let coded = match *self {
            Self::Nothing => (0_u8, 0),
            Self::Interface(id) => (1, id),
            Self::VmInterface(id) => (2, id),
            Self::Other => (3, 0),
        };
        coded.put(out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        match <(u8, u32)>::take(input)? {
            (0, _) => Some(Self::Nothing),
            (1, id) => Some(Self::Interface(id)),
            (2, id) => Some(Self::VmInterface(id)),
            (3, _) => Some(Self::Other),
            _ => None,
        }
    }
}

impl Code for Scope {
    fn put(&self, out: &mut Vec<u8>) {
        let coded = match *self {
            Self::Nothing => (0_u8, 0),
            Self::Site(id) => (1, id),
            Self::Region(id) => (2, id),
            Self::SiteGroup(id) => (3, id),
            Self::Location(id) => (4, id),
        };
        coded.put(out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        match <(u8, u32)>::take(input)? {
            (0, _) => Some(Self::Nothing),
            (1, id) => Some(Self::Site(id)),
            (2, id) => Some(Self::Region(id)),
            (3, id) => Some(Self::SiteGroup(id)),
            (4, id) => Some(Self::Location(id)),
            _ => None,
        }
    }
}

macro_rules! structs {
    ($($name:ident { $($field:ident),* $(,)? })*) => {
        $(impl Code for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }

            fn take(input: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: Code::take(input)?),* })
            }
        })*
    };
}

structs! {
    Span { start, len }
    Cidr { ip, bits }
    AddressRef { id, shown }
    Texts { buffer, ends }
    Lists { custom_fields, ids }
    Origin { version, taken_at_ms, since, full_at_ms }
}

macro_rules! wrappers {
    ($($name:ident),*) => {
        $(impl Code for $name {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }

            fn take(input: &mut &[u8]) -> Option<Self> {
                Code::take(input).map(Self)
            }
        })*
    };
}

wrappers!(Text, Ids, CustomFields);

macro_rules! plain_values {
    ($($name:ty),*) => { $(impl Value for $name {})* };
}

plain_values!(u32, u64, Cidr, AddressRef, Assigned, Scope);

impl Value for Text {
    fn carry(self, from: &Snapshot, to: &mut Builder) -> Self {
        to.text(from.text(self))
    }
}

impl Value for Ids {
    fn carry(self, from: &Snapshot, to: &mut Builder) -> Self {
        to.ids(from.ids(self).iter().copied())
    }
}

impl Value for CustomFields {
    fn carry(self, from: &Snapshot, to: &mut Builder) -> Self {
        to.custom_fields(from.custom_fields(self))
    }
}

macro_rules! tables {
    ($($table:ident: $row:ident,)*) => {
        /// A snapshot as octets, without what follows from its tables.
        pub(crate) fn put_all(snapshot: &Snapshot) -> Vec<u8> {
            let mut out = Vec::new();
            snapshot.origin.put(&mut out);
            snapshot.texts.put(&mut out);
            snapshot.lists.put(&mut out);
            $(put_slice(snapshot.tables.$table.rows(), &mut out);)*
            out
        }

        /// A snapshot from all of the octets.
        pub(crate) fn take_all(mut input: &[u8]) -> Option<Snapshot> {
            let input = &mut input;
            let origin = Origin::take(input)?;
            let (texts, lists) = (Texts::take(input)?, Lists::take(input)?);
            let rows = Rows { $($table: Code::take(input)?,)* };
            input.is_empty().then(|| Builder { rows, ..Builder::with_strings(texts, lists) }.finish(origin))
        }
    };
}

each_kind!(tables);
