//! Column codecs: how one column of a run becomes bytes and back.
//!
//! A codec works on a whole column; which one is used is decided once per column. Each list below
//! names the codecs that exist for a kind of column; a new codec is one file, one line here and one
//! row in `codecs.md`, and it needs a golden chunk. `tests/it/registry.rs` checks all of that.

pub(crate) mod bits;
pub(crate) mod constant;
pub(crate) mod delta_of_delta;
pub(crate) mod gorilla;
pub(crate) mod integer_delta;
pub(crate) mod lane;
pub(crate) mod packed;
pub(crate) mod presence;
pub(crate) mod quality;
pub(crate) mod run_length;
pub(crate) mod text;
pub(crate) mod timestamps;
pub(crate) mod values;

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

codec_list! {
    /// Codecs of the timestamp column.
    TimestampCodec {
        /// Every timestamp follows its predecessor by the same step.
        ConstantStep = 1, "constant_step";
        /// Differences of differences, scaled by a power of ten and bit-packed.
        DeltaOfDelta = 2, "delta_of_delta";
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

codec_list! {
    /// Codecs of the value column.
    ValueCodec {
        /// Values as they are.
        Raw = 1, "raw";
        /// One value for all samples.
        Constant = 2, "constant";
        /// Gorilla: XOR with the value before.
        Gorilla = 3, "gorilla";
        /// Pairs of run length and value.
        RunLength = 4, "run_length";
        /// Differences of integers, bit-packed.
        IntegerDelta = 5, "integer_delta";
    }
}

codec_list! {
    /// Codecs of the quality column.
    QualityCodec {
        /// One status code for all samples.
        Constant = 1, "constant";
        /// Pairs of run length and status code.
        RunLength = 2, "run_length";
    }
}
