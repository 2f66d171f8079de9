//! Column codecs: how one column of a run becomes bytes and back.
//!
//! A codec works on a whole column; which one is used is decided once per column. The lists below name those that exist. A new codec of
//! values is one file with a [`Codec`] (`choice.rs` says what that is), one line in the list, one row and one part in `codecs.md`, and one
//! golden chunk. Tests walk the list: ids and names, rows, golden chunks, examples that come back, faulty and damaged columns. A codec of
//! timestamps or qualities has two lines more, in `timestamps.rs` or `quality.rs`, where it is chosen and called.

pub(crate) mod bits;
pub(crate) mod blocks;
pub(crate) mod choice;
pub(crate) mod constant;
pub(crate) mod decimal;
pub(crate) mod delta_of_delta;
pub(crate) mod dictionary;
pub(crate) mod entropy;
pub(crate) mod exceptions;
pub(crate) mod frames;
pub(crate) mod gorilla;
pub(crate) mod grid;
pub(crate) mod integer_scale;
pub(crate) mod integers;
pub(crate) mod lane;
pub(crate) mod linear;
pub(crate) mod narrow;
pub(crate) mod packed;
pub(crate) mod pcodec;
pub(crate) mod presence;
pub(crate) mod quality;
pub(crate) mod raw;
pub(crate) mod run_length;
pub(crate) mod text;
pub(crate) mod timestamps;
pub(crate) mod values;
pub(crate) mod verify;
pub(crate) mod whole;
pub(crate) mod zstandard;

use self::choice::{Choice, Codec};
use crate::error::FieldFault;
use crate::{ValueType, Values};

macro_rules! codec_list {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $id:literal, $text:literal;)+ }) => {
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

            /// The codec with this id.
            #[must_use]
            pub const fn from_id(id: u8) -> Option<Self> {
                match id { $($id => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

/// As `codec_list`, for codecs of values, each of which is the [`Codec`] that its line names.
macro_rules! value_codec_list {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $id:literal, $text:literal, $file:ident::$codec:ident;)+ }) => {
        codec_list! { $(#[$doc])* $name { $($(#[$variant_doc])* $variant = $id, $text;)+ } }

        impl $name {
            /// Whether columns of this type may have the codec.
            pub(crate) fn fits(self, value_type: ValueType) -> bool {
                match self { $(Self::$variant => $file::$codec::fits(value_type),)+ }
            }

            /// Appends `count` values to a column of a type that fits.
            pub(crate) fn decode(self, bytes: &[u8], count: usize, out: &mut Values) -> Result<(), FieldFault> {
                match self { $(Self::$variant => $file::$codec::decode(bytes, count, out),)+ }
            }

            /// Asks all codecs for their columns, in the order of the list.
            pub(crate) fn ask_all(choice: &mut Choice<'_>) {
                $(choice.ask($id, $file::$codec::offer_early);)+
                $(choice.ask($id, $file::$codec::offer);)+
                choice.reopen();
                $(choice.ask($id, $file::$codec::offer_late);)+
            }

            /// Values that the codec is chosen for at this effort.
            #[cfg(test)]
            pub(crate) fn example(self, count: u32, noise: &mut dyn FnMut() -> f64) -> (crate::Effort, Values) {
                match self { $(Self::$variant => $file::$codec::example(count, noise),)+ }
            }
        }
    };
}

codec_list! {
    /// Codecs of the timestamp column.
    TimestampCodec {
        /// Every timestamp follows its predecessor by the same step.
        ConstantStep = 1, "constant_step";
        /// Differences of differences, scaled by a power of ten and bit-packed.
        DeltaOfDelta = 2, "delta_of_delta";
        /// Distances from a grid of equal steps, as integers.
        Grid = 3, "grid";
    }
}

codec_list! {
    /// Codecs of the presence column, which tells nulls from values.
    PresenceCodec {
        /// Every value is present; the column is empty.
        AllPresent = 0, "all_present";
        /// One bit per sample, true for a value.
        Bitmap = 1, "bitmap";
    }
}

value_codec_list! {
    /// Codecs of the value column, in the order in which they are tried: of columns of one size the first one is taken.
    ValueCodec {
        /// One value for all samples.
        Constant = 2, "constant", constant::Constant;
        /// Pairs of run length and value.
        RunLength = 4, "run_length", run_length::RunLength;
        /// Floats as whole numbers divided by a power of ten.
        Decimal = 7, "decimal", decimal::Decimal;
        /// Floats as whole numbers times a scale plus an offset.
        IntegerScale = 8, "integer_scale", integer_scale::IntegerScale;
        /// Distinct values, and for each value its place among them.
        Dictionary = 6, "dictionary", dictionary::Dictionary;
        /// f64 that are f32, with a codec of that type.
        Narrow = 9, "narrow", narrow::Narrow;
        /// Places of the values in the order of their type, as integers.
        Packed = 5, "packed", packed::Packed;
        /// The wrapped format of pco.
        Pco = 10, "pco", pcodec::Pco;
        /// Gorilla: XOR with the value before.
        Gorilla = 3, "gorilla", gorilla::Gorilla;
        /// Texts as they are, compressed by Zstandard.
        Zstd = 11, "zstd", zstandard::Zstd;
        /// Values as they are.
        Raw = 1, "raw", raw::Raw;
    }
}

codec_list! {
    /// Codecs of the quality column.
    QualityCodec {
        /// One status code for all samples.
        Constant = 1, "constant";
        /// Pairs of run length and status code.
        RunLength = 2, "run_length";
        /// Distinct status codes, and for each sample its place among them.
        Dictionary = 3, "dictionary";
    }
}
