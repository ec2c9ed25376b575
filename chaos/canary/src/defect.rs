//! The names of the defects, and the layer that each is.

use crate::blind::Blind;
use crate::early::Early;
use crate::forgetful::Forgetful;
use crate::layer::Layer;
use crate::twice::Twice;
use reactor::Reactor;

/// What is wrong with a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Nothing.
    None,
    /// A write is reported as durable before it is issued.
    ConfirmBeforeSync,
    /// Whether somebody else owns the store is never asked, neither of the disk nor of the other server.
    SkipOwnershipCheck,
    /// Some acknowledgements are confirmed to the consumer and forgotten.
    ForgetAcknowledgement,
    /// Some messages are delivered twice, and the second delivery is not marked.
    DeliverTwice,
}

impl Defect {
    pub(crate) const ALL: [Self; 5] = [
        Self::None,
        Self::ConfirmBeforeSync,
        Self::SkipOwnershipCheck,
        Self::ForgetAcknowledgement,
        Self::DeliverTwice,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ConfirmBeforeSync => "confirm-before-sync",
            Self::SkipOwnershipCheck => "skip-ownership-check",
            Self::ForgetAcknowledgement => "forget-acknowledgement",
            Self::DeliverTwice => "deliver-twice",
        }
    }

    /// A reactor that has this defect.
    pub(crate) fn over(self, inner: Reactor) -> Reactor {
        match self {
            Self::None => inner,
            Self::ConfirmBeforeSync => Reactor::over(Layer::new(inner, Early::default())),
            Self::SkipOwnershipCheck => Reactor::over(Layer::new(inner, Blind::default())),
            Self::ForgetAcknowledgement => Reactor::over(Layer::new(inner, Forgetful::default())),
            Self::DeliverTwice => Reactor::over(Layer::new(inner, Twice::default())),
        }
    }
}
