//! How one field of a message stands on the wire: its bytes, its bounds and its shape in egoat-protocol(7). The table in
//! `wire::message` names a codec for each field; the code of every message follows from the codecs of its fields.

use crate::wire::codec::{FieldReader, FieldWriter, Malformed};
use crate::wire::features::Features;

/// Highest message number, in µs the year 4253: above any clock, and far below where adding one would overflow.
pub const MAX_NUMBER: u64 = (1 << 56) - 1;

/// A codec. Decoding is strict: each value has one encoding.
pub trait Field {
    /// The value in the program. Long values borrow from the buffer that the message was read into.
    type Value<'a>: Copy;
    /// Bytes of the longest encoding.
    const MAX_LEN: usize;

    /// Takes the value off the front of the body; `name` is the field's name in errors.
    fn decode<'a>(fields: &mut FieldReader<'a>, name: &'static str) -> Result<Self::Value<'a>, Malformed>;
    /// Appends the encoding.
    fn encode(value: Self::Value<'_>, out: &mut impl FieldWriter);
    /// Bytes of the encoding.
    fn length(_value: Self::Value<'_>) -> usize {
        Self::MAX_LEN
    }
    /// How egoat-protocol(7) writes a field of this name.
    fn shape(name: &str) -> String;
    /// A small value first, then ones at the bounds; for tests and the seeds of the fuzzer.
    fn samples() -> Vec<Self::Value<'static>>;
}

macro_rules! integers {
    ($($integer:ident $take:ident $put:ident;)*) => { $(
        impl Field for $integer {
            type Value<'a> = $integer;
            const MAX_LEN: usize = size_of::<$integer>();

            fn decode<'a>(fields: &mut FieldReader<'a>, name: &'static str) -> Result<$integer, Malformed> {
                fields.$take(name)
            }

            fn encode(value: $integer, out: &mut impl FieldWriter) {
                out.$put(value);
            }

            fn shape(name: &str) -> String {
                format!("{name} {}", stringify!($integer))
            }

            fn samples() -> Vec<$integer> {
                vec![9, 0, $integer::MAX]
            }
        }
    )* };
}

integers! {
    u8 u8 put_u8;
    u16 u16 put_u16;
    u32 u32 put_u32;
    u64 u64 put_u64;
}

/// A u64 of at most [`MAX_NUMBER`].
pub struct Number;

impl Field for Number {
    type Value<'a> = u64;
    const MAX_LEN: usize = <u64 as Field>::MAX_LEN;

    fn decode<'a>(fields: &mut FieldReader<'a>, name: &'static str) -> Result<u64, Malformed> {
        fields
            .u64(name)
            .and_then(|number| if number <= MAX_NUMBER { Ok(number) } else { Err(Malformed(name)) })
    }

    fn encode(value: u64, out: &mut impl FieldWriter) {
        out.put_u64(value);
    }

    fn shape(name: &str) -> String {
        <u64 as Field>::shape(name)
    }

    fn samples() -> Vec<u64> {
        vec![7, 0, MAX_NUMBER]
    }
}

/// A u64 that only a session with feature bit 8 has.
pub struct Said;

impl Field for Said {
    type Value<'a> = Option<u64>;
    const MAX_LEN: usize = <u64 as Field>::MAX_LEN;

    fn decode<'a>(fields: &mut FieldReader<'a>, name: &'static str) -> Result<Option<u64>, Malformed> {
        if fields.features().has(Features::SAID) { fields.u64(name).map(Some) } else { Ok(None) }
    }

    fn encode(value: Option<u64>, out: &mut impl FieldWriter) {
        if let Some(value) = value {
            out.put_u64(value);
        }
    }

    fn length(value: Option<u64>) -> usize {
        if value.is_some() { Self::MAX_LEN } else { 0 }
    }

    fn shape(name: &str) -> String {
        format!("{} (bit 8)", <u64 as Field>::shape(name))
    }

    fn samples() -> Vec<Option<u64>> {
        <u64 as Field>::samples().into_iter().map(Some).collect()
    }
}

impl<const N: usize> Field for [u8; N] {
    type Value<'a> = [u8; N];
    const MAX_LEN: usize = N;

    fn decode<'a>(fields: &mut FieldReader<'a>, name: &'static str) -> Result<[u8; N], Malformed> {
        fields.array(name)
    }

    fn encode(value: [u8; N], out: &mut impl FieldWriter) {
        out.put(&value);
    }

    fn shape(name: &str) -> String {
        format!("{name}[{N}]")
    }

    fn samples() -> Vec<[u8; N]> {
        vec![[3; N], [0; N]]
    }
}

/// UTF-8 of at most `MAX_LEN` bytes, after its length as a u8.
pub struct Short<const MAX_LEN: usize>;

impl<const MAX_LEN: usize> Field for Short<MAX_LEN> {
    type Value<'a> = &'a str;
    const MAX_LEN: usize = 1 + MAX_LEN;

    fn decode<'a>(fields: &mut FieldReader<'a>, name: &'static str) -> Result<&'a str, Malformed> {
        let length = fields.u8(name)?.into();
        if length > MAX_LEN { Err(Malformed(name)) } else { fields.text(length, name) }
    }

    fn encode(value: &str, out: &mut impl FieldWriter) {
        out.put_u8(value.len() as u8);
        out.put(value.as_bytes());
    }

    fn length(value: &str) -> usize {
        1 + value.len()
    }

    fn shape(name: &str) -> String {
        format!("n u8, {name}[n]")
    }

    fn samples() -> Vec<&'static str> {
        vec!["Zoë", ""]
    }
}

/// All bytes up to the end of the body, at most `MAX_LEN`; the last field of a message.
pub struct Rest<const MAX_LEN: usize>;

impl<const MAX_LEN: usize> Field for Rest<MAX_LEN> {
    type Value<'a> = &'a [u8];
    const MAX_LEN: usize = MAX_LEN;

    fn decode<'a>(fields: &mut FieldReader<'a>, name: &'static str) -> Result<&'a [u8], Malformed> {
        let rest = fields.rest();
        if rest.len() > MAX_LEN { Err(Malformed(name)) } else { Ok(rest) }
    }

    fn encode(value: &[u8], out: &mut impl FieldWriter) {
        out.put(value);
    }

    fn length(value: &[u8]) -> usize {
        value.len()
    }

    fn shape(name: &str) -> String {
        name.to_owned()
    }

    fn samples() -> Vec<&'static [u8]> {
        vec![b"data", b""]
    }
}

/// Makes an enum of a table `number Name "doc"`: the number is the variant's byte on the wire.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($number:literal $code:ident $says:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = $says] $code = $number,)*
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &[$name] = &[$($name::$code),*];

            /// The one with this number.
            pub fn from_byte(byte: u8) -> Option<$name> {
                match byte {
                    $($number => Some($name::$code),)*
                    _ => None,
                }
            }
        }

        impl $crate::wire::field::Field for $name {
            type Value<'a> = $name;
            const MAX_LEN: usize = 1;

            fn decode<'a>(fields: &mut FieldReader<'a>, name: &'static str) -> Result<$name, Malformed> {
                $name::from_byte(fields.u8(name)?).ok_or(Malformed(name))
            }

            fn encode(value: $name, out: &mut impl FieldWriter) {
                out.put_u8(value as u8);
            }

            fn shape(name: &str) -> String {
                <u8 as $crate::wire::field::Field>::shape(name)
            }

            fn samples() -> Vec<$name> {
                $name::ALL.to_vec()
            }
        }
    };
}
pub(super) use codes;
