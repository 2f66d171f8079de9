//! Scan classes: tags that share period and phase.
