//! Why a connection is not taken, or not served on: as the metric names it, and as clients and the log are told.

/// Why a connection was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusalReason {
    Total,
    Address,
}

impl RefusalReason {
    pub const ALL: [RefusalReason; 2] = [RefusalReason::Total, RefusalReason::Address];

    pub fn name(self) -> &'static str {
        match self {
            RefusalReason::Total => "total",
            RefusalReason::Address => "address",
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            RefusalReason::Total => "too many connections (limits.connections_max); close some, or try again later",
            RefusalReason::Address => {
                "too many connections from this address (limits.connections_per_address_max); close some, or try again later"
            }
        }
    }
}

/// Why a connection is not served on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutReason {
    NoRequest,
    GaveWay,
    Idle,
    Stalled,
    Resets,
    Frames,
}

impl CutReason {
    pub const ALL: [CutReason; 6] =
        [CutReason::NoRequest, CutReason::GaveWay, CutReason::Idle, CutReason::Stalled, CutReason::Resets, CutReason::Frames];

    pub fn name(self) -> &'static str {
        match self {
            CutReason::NoRequest => "no_request",
            CutReason::GaveWay => "gave_way",
            CutReason::Idle => "idle",
            CutReason::Stalled => "stalled",
            CutReason::Resets => "resets",
            CutReason::Frames => "frames",
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            CutReason::NoRequest => "no request came in time",
            CutReason::GaveWay => "it had no request, and another one needed its place",
            CutReason::Idle => "it was idle for long",
            CutReason::Stalled => "its client takes nothing of what is written",
            CutReason::Resets => "its client takes back requests without end",
            CutReason::Frames => "its client sends frames of no use without end",
        }
    }

    /// Whether no honest client does it.
    pub fn is_abuse(self) -> bool {
        matches!(self, CutReason::Resets | CutReason::Frames)
    }
}
