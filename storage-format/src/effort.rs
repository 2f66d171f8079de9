//! How hard an encoder tries: said by whoever makes a chunk, asked by every codec.

/// How much time the encoder may take to make a chunk small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Effort {
    /// At the sealing of a head, on the way of the samples: the codecs that are cheap to try.
    #[default]
    Hot,
    /// In background compaction, for chunks of 8,192 samples or more: every codec, the smallest one wins.
    Cold,
}
