//! Counts of anomalous samples by the statistics of chunks, for detectors that can tell by them: most chunks are then not decoded.

/// What is known of the counted samples of a chunk without decoding it. The sums are finite.
#[derive(Clone, Copy, Debug)]
pub struct KnownSamples {
    pub count: u64,
    pub sum: f64,
    /// Sum of squared deviations from their mean.
    pub m2: f64,
    /// The least and the largest; `None` when no sample counts.
    pub extremes: Option<(f64, f64)>,
}

/// A detector that counts in one tag. The samples of the range are shown to it twice, in parts: to learn, then to count. A part is a chunk
/// whose samples are known by their statistics, or the values of counted samples.
pub trait CountByStatistics: Send {
    fn learn(&mut self, chunk: &KnownSamples);

    fn learn_values(&mut self, values: &[f64]);

    /// Called between learning and counting; false when nothing can be anomalous.
    fn learned(&mut self) -> bool;

    /// Anomalous samples of a chunk; `None` when its values have to be looked at.
    fn count(&self, chunk: &KnownSamples) -> Option<u64>;

    fn count_values(&self, values: &[f64]) -> u64;
}
