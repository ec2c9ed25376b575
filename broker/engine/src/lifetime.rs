//! How long a queue stays.
//!
//! Owns the order of the parts of its life; what ends them is in `changes`.

/// The part of its life that a queue is in.
///
/// ```text
///   LISTED <---> LEAVING ---+
///    |  |           |       |
///    |  +-> DELETING <+     |
///    |        |   ^         |
///    |        |   +----+    |
///    |        v        |    |
///    |       GONE <----(----+
///    +--> TEMPORARY ---+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// queues.conf allows it.
    Listed,
    /// queues.conf allows it no more: it leaves when it is empty and unused.
    Leaving,
    /// A client's, whatever queues.conf says: it stays until it is deleted.
    Temporary,
    /// Somebody deleted it: it is emptied, then it leaves.
    Deleting,
    /// Only its place is left, for another queue.
    Gone,
}

impl Lifetime {
    /// Whether `next` may follow.
    pub(crate) fn can_become(self, next: Lifetime) -> bool {
        matches!(
            (self, next),
            (Lifetime::Listed, Lifetime::Leaving | Lifetime::Temporary | Lifetime::Deleting)
                | (Lifetime::Temporary, Lifetime::Deleting)
                | (Lifetime::Leaving, Lifetime::Listed | Lifetime::Deleting | Lifetime::Gone)
                | (Lifetime::Deleting, Lifetime::Gone)
        )
    }

    /// Whether the queue leaves once it is empty and unused.
    pub(crate) fn ends(self) -> bool {
        matches!(self, Lifetime::Leaving | Lifetime::Deleting)
    }
}

#[cfg(test)]
mod tests {
    use super::Lifetime::{self, Deleting, Gone, Leaving, Listed, Temporary};

    #[test]
    fn exactly_the_drawn_edges_exist() {
        let drawn = [
            (Listed, Leaving),
            (Listed, Temporary),
            (Listed, Deleting),
            (Temporary, Deleting),
            (Leaving, Listed),
            (Leaving, Deleting),
            (Leaving, Gone),
            (Deleting, Gone),
        ];
        let all: [Lifetime; 5] = [Listed, Leaving, Temporary, Deleting, Gone];
        for from in all {
            for to in all {
                assert_eq!(from.can_become(to), drawn.contains(&(from, to)), "{from:?} -> {to:?}");
            }
        }
    }
}
