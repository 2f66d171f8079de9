//! The mean score of the time around each sample.
//!
//! What lasts is told from what is over at once: a score stays high only where the scores beside it are high too.

use std::collections::VecDeque;

/// Samples to each side of the one in the middle, at most; with more the window is narrower than asked.
const SIDE_SAMPLES_MAX: usize = 32_768;

/// A window that moves over samples in time order. `T` is what a caller wants back with the mean.
#[derive(Debug)]
pub struct Smoothing<T> {
    /// Reach of the window to each side, ns, inclusive.
    half: i64,
    window: VecDeque<(i64, f64, T)>,
    /// Position in the window of the sample whose turn is next.
    next: usize,
    sum: f64,
}

impl<T: Copy> Smoothing<T> {
    pub fn new(half: i64) -> Smoothing<T> {
        Smoothing { half, window: VecDeque::new(), next: 0, sum: 0.0 }
    }

    /// Takes the next sample, and hands out all those whose window is complete, with timestamp, mean score and `T`.
    pub fn push(&mut self, at: i64, score: f64, with: T, mut complete: impl FnMut(i64, f64, T)) {
        while let Some((turn, ..)) = self.window.get(self.next) {
            if at.saturating_sub(*turn) <= self.half && self.window.len() - self.next <= SIDE_SAMPLES_MAX {
                break;
            }
            self.hand_out(&mut complete);
        }
        self.window.push_back((at, score, with));
        self.sum += score;
    }

    /// Hands out the rest after the last sample.
    pub fn finish(&mut self, mut complete: impl FnMut(i64, f64, T)) {
        while self.next < self.window.len() {
            self.hand_out(&mut complete);
        }
    }

    fn hand_out(&mut self, complete: &mut impl FnMut(i64, f64, T)) {
        let Some((turn, _, with)) = self.window.get(self.next).copied() else { return };
        while let Some((first, score, _)) = self.window.front().copied() {
            if turn.saturating_sub(first) <= self.half && self.next <= SIDE_SAMPLES_MAX {
                break;
            }
            self.window.pop_front();
            self.next -= 1;
            // With one sample left the sum is known exactly, so that rounding does not pile up over quiet times.
            self.sum = if self.window.len() == 1 { self.window[0].1 } else { self.sum - score };
        }
        complete(turn, (self.sum / self.window.len() as f64).max(0.0), with);
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 500, ..ProptestConfig::default() })]
        #[test]
        fn every_mean_is_that_of_the_samples_around(
            steps in proptest::collection::vec((1_i64..6, 0.0..9.0_f64), 0..80),
            half in 0_i64..12,
        ) {
            let mut at = 0;
            let samples: Vec<_> = steps.iter().map(|(step, score)| { at += step; (at, *score) }).collect();
            let mut smoothing = Smoothing::new(half);
            let mut found = Vec::new();
            for (row, (at, score)) in samples.iter().enumerate() {
                smoothing.push(*at, *score, row, |at, mean, row| found.push((at, mean, row)));
            }
            smoothing.finish(|at, mean, row| found.push((at, mean, row)));
            prop_assert_eq!(found.len(), samples.len());
            for (row, (at, mean, with)) in found.into_iter().enumerate() {
                let around: Vec<f64> = samples.iter().filter(|(other, _)| (other - at).abs() <= half).map(|(_, score)| *score).collect();
                prop_assert_eq!((at, with), (samples[row].0, row));
                prop_assert!((mean - around.iter().sum::<f64>() / around.len() as f64).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn the_window_is_bounded() {
        let mut smoothing = Smoothing::new(i64::MAX);
        let mut handed_out = 0;
        for at in 0..200_000 {
            smoothing.push(at, 1.0, (), |_, _, ()| handed_out += 1);
            assert!(smoothing.window.len() <= 2 * SIDE_SAMPLES_MAX + 2);
        }
        assert!(handed_out > 100_000);
    }
}
