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
    HandshakeLate,
    HandshakeFailed,
    Plaintext,
    Tls,
    Certificate,
}

impl CutReason {
    pub const ALL: [CutReason; 11] = [
        CutReason::NoRequest,
        CutReason::GaveWay,
        CutReason::Idle,
        CutReason::Stalled,
        CutReason::Resets,
        CutReason::Frames,
        CutReason::HandshakeLate,
        CutReason::HandshakeFailed,
        CutReason::Plaintext,
        CutReason::Tls,
        CutReason::Certificate,
    ];

    pub fn name(self) -> &'static str {
        match self {
            CutReason::NoRequest => "no_request",
            CutReason::GaveWay => "gave_way",
            CutReason::Idle => "idle",
            CutReason::Stalled => "stalled",
            CutReason::Resets => "resets",
            CutReason::Frames => "frames",
            CutReason::HandshakeLate => "handshake_late",
            CutReason::HandshakeFailed => "handshake_failed",
            CutReason::Plaintext => "plaintext",
            CutReason::Tls => "tls",
            CutReason::Certificate => "certificate",
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
            CutReason::HandshakeLate => "its TLS handshake did not end in time",
            CutReason::HandshakeFailed => "its TLS handshake failed",
            CutReason::Plaintext => {
                "its client speaks no TLS, and this port nothing else; give it grpc+tls:// or https://, and the authority to trust"
            }
            CutReason::Tls => {
                "its client speaks TLS, and this port does not: there is no [tls] in the configuration; give it grpc:// or http://"
            }
            CutReason::Certificate => "the certificate that its client has shown is not taken any more",
        }
    }

    /// Whether no honest client does it.
    pub fn is_abuse(self) -> bool {
        matches!(self, CutReason::Resets | CutReason::Frames)
    }

    /// Whether an operator should know: no honest client does it, or one does that is set up wrongly.
    pub fn is_told(self) -> bool {
        match self {
            CutReason::NoRequest
            | CutReason::GaveWay
            | CutReason::Idle
            | CutReason::Stalled
            | CutReason::HandshakeLate
            // Told with what is wrong with it.
            | CutReason::Certificate => false,
            CutReason::Resets | CutReason::Frames | CutReason::HandshakeFailed | CutReason::Plaintext | CutReason::Tls => true,
        }
    }
}
