//! Why a connection of HTTP/2 was ended.

use std::error::Error;
use std::fmt;

use h2::Reason;

/// What a client did wrong. The words of RFC 9113, 7, where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Fault {
    /// It sent more frames that carry nothing than anyone needs.
    ControlFlood,
    /// It took back most of what it asked.
    ResetFlood,
    /// It made the library lose its patience: streams reset before they began, header blocks in too many pieces.
    EnhanceYourCalm,
    /// It broke the rules of the protocol.
    ProtocolError,
    /// It sent more than there was room for.
    FlowControlError,
    /// A frame had a length that it must not have.
    FrameSizeError,
    /// Its headers could not be read.
    CompressionError,
    /// Something else.
    Other,
}

impl Fault {
    /// Every one, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::ControlFlood,
        Self::ResetFlood,
        Self::EnhanceYourCalm,
        Self::ProtocolError,
        Self::FlowControlError,
        Self::FrameSizeError,
        Self::CompressionError,
        Self::Other,
    ];

    /// The word in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ControlFlood => "control_flood",
            Self::ResetFlood => "reset_flood",
            Self::EnhanceYourCalm => "enhance_your_calm",
            Self::ProtocolError => "protocol_error",
            Self::FlowControlError => "flow_control_error",
            Self::FrameSizeError => "frame_size_error",
            Self::CompressionError => "compression_error",
            Self::Other => "other",
        }
    }

    /// The client's fault in the end of a connection; `None` if it just went, or gave up itself.
    #[must_use]
    pub fn of(error: &hyper::Error) -> Option<Self> {
        let error = error.source()?.downcast_ref::<h2::Error>().filter(|error| !error.is_remote())?;
        Some(error.reason().map_or(Self::Other, Self::of_reason))
    }

    fn of_reason(reason: Reason) -> Self {
        match reason {
            Reason::ENHANCE_YOUR_CALM => Self::EnhanceYourCalm,
            Reason::PROTOCOL_ERROR => Self::ProtocolError,
            Reason::FLOW_CONTROL_ERROR => Self::FlowControlError,
            Reason::FRAME_SIZE_ERROR => Self::FrameSizeError,
            Reason::COMPRESSION_ERROR => Self::CompressionError,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Error for Fault {}
