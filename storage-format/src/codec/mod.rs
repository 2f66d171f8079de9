//! Column codecs: how one column of a run becomes bytes and back.
//!
//! A codec works on a whole column; which one is used is decided once per column. Each list below
//! names the codecs that exist for a kind of column; a new codec is one file, one line here and one
//! row in `codecs.md`, and it needs a golden chunk. `tests/it/registry.rs` checks all of that.

pub(crate) mod bits;
pub(crate) mod constant;
pub(crate) mod decimal;
pub(crate) mod delta_of_delta;
pub(crate) mod dictionary;
pub(crate) mod entropy;
pub(crate) mod exceptions;
pub(crate) mod frames;
pub(crate) mod gorilla;
pub(crate) mod grid;
pub(crate) mod integer_delta;
pub(crate) mod integer_scale;
pub(crate) mod integers;
pub(crate) mod lane;
pub(crate) mod linear;
pub(crate) mod narrow;
pub(crate) mod packed;
pub(crate) mod pcodec;
pub(crate) mod presence;
pub(crate) mod quality;
pub(crate) mod run_length;
pub(crate) mod text;
pub(crate) mod timestamps;
pub(crate) mod values;
pub(crate) mod verify;
pub(crate) mod whole;

macro_rules! codec_list {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $id:literal, $text:literal, since $since:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant = $id,)+ }

        impl $name {
            /// Every codec of this kind of column.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name used in `codecs.md`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The chunk version that brought the codec; chunks of earlier versions do not have it.
            #[must_use]
            pub const fn since(self) -> u8 {
                match self { $(Self::$variant => $since,)+ }
            }

            /// The codec with this id.
            #[must_use]
            pub const fn from_id(id: u8) -> Option<Self> {
                match id { $($id => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

codec_list! {
    /// Codecs of the timestamp column.
    TimestampCodec {
        /// Every timestamp follows its predecessor by the same step.
        ConstantStep = 1, "constant_step", since 1;
        /// Differences of differences, scaled by a power of ten and bit-packed.
        DeltaOfDelta = 2, "delta_of_delta", since 1;
        /// Distances from a grid of equal steps, as integers.
        Grid = 3, "grid", since 2;
    }
}

codec_list! {
    /// Codecs of the presence column, which tells nulls from values.
    PresenceCodec {
        /// Every value is present; the column is empty.
        AllPresent = 0, "all_present", since 1;
        /// One bit per sample, true for a value.
        Bitmap = 1, "bitmap", since 1;
    }
}

codec_list! {
    /// Codecs of the value column.
    ValueCodec {
        /// Values as they are.
        Raw = 1, "raw", since 1;
        /// One value for all samples.
        Constant = 2, "constant", since 1;
        /// Gorilla: XOR with the value before.
        Gorilla = 3, "gorilla", since 1;
        /// Pairs of run length and value.
        RunLength = 4, "run_length", since 1;
        /// Differences of integers, bit-packed.
        IntegerDelta = 5, "integer_delta", since 1;
        /// Places of the values in the order of their type, as integers.
        Packed = 6, "packed", since 2;
        /// Distinct values, and for each value its place among them.
        Dictionary = 7, "dictionary", since 2;
        /// Floats as whole numbers divided by a power of ten.
        Decimal = 8, "decimal", since 2;
        /// Floats as whole numbers times a scale plus an offset.
        IntegerScale = 9, "integer_scale", since 2;
        /// f64 that are f32, with a codec of that type.
        Narrow = 10, "narrow", since 2;
        /// The wrapped format of pco.
        Pco = 11, "pco", since 2;
        /// Texts as they are, compressed by Zstandard.
        Zstd = 12, "zstd", since 2;
    }
}

codec_list! {
    /// Codecs of the quality column.
    QualityCodec {
        /// One status code for all samples.
        Constant = 1, "constant", since 1;
        /// Pairs of run length and status code.
        RunLength = 2, "run_length", since 1;
        /// Distinct status codes, and for each sample its place among them.
        Dictionary = 3, "dictionary", since 2;
    }
}
