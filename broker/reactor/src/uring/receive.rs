//! The state of a socket's receiving side.
//!
//! Owns only which steps are legal; `socket` takes them.

/// Whether the kernel has a multishot receive of the socket, and if not, why.
///
/// ```text
///                   arm
///        +------+ ------> +-------+  no buffers   +---------+
///   ---> | Idle |         | Armed | ------------> | Starved |
///        +------+ <------ +-------+ <------------ +---------+
///          ^  ^  the shot   |   |  buffers are free  |   ^
///          |  |  ended      |   |                    |   |
///          |  +-------------|---|-- paused ----------+   |
///          |         paused |   | end of file, error     |
///          |                v   +------> +-------+       |
///          |        +----------+         | Ended |       |
///          +------- | Stopping | ------> +-------+       |
///   the shot ended  +----------+  end of file, error     |
///                        |                               |
///                        +-------------------------------+
///                           no buffers, but resumed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receive {
    /// Nothing armed: not connected yet, paused, or between two shots.
    Idle,
    /// The kernel delivers.
    Armed,
    /// A cancellation is on its way; what the kernel had delivered before still arrives.
    Stopping,
    /// The kernel ran out of buffers; armed again when some come back.
    Starved,
    /// End of file, or an error of receiving; never armed again.
    Ended,
}

impl Receive {
    /// Whether the diagram has this step.
    pub(super) fn can_become(self, next: Receive) -> bool {
        use Receive::*;
        matches!(
            (self, next),
            (Idle, Armed)
                | (Armed, Stopping | Starved | Idle | Ended)
                | (Stopping, Idle | Starved | Ended)
                | (Starved, Armed | Idle)
        )
    }

    /// Takes a step of the diagram.
    pub(super) fn become_state(&mut self, next: Receive) {
        assert!(self.can_become(next), "a receiving side cannot go from {self:?} to {next:?}");
        *self = next;
    }
}

#[cfg(test)]
mod tests {
    use super::Receive::{self, *};

    const ALL: [Receive; 5] = [Idle, Armed, Stopping, Starved, Ended];

    #[test]
    fn every_edge_of_the_diagram_and_no_other_can_be_walked() {
        let edges = [
            (Idle, Armed),
            (Armed, Idle),
            (Armed, Stopping),
            (Armed, Starved),
            (Armed, Ended),
            (Stopping, Idle),
            (Stopping, Starved),
            (Stopping, Ended),
            (Starved, Idle),
            (Starved, Armed),
        ];
        for from in ALL {
            for to in ALL {
                assert_eq!(from.can_become(to), edges.contains(&(from, to)), "{from:?} -> {to:?}");
            }
        }
        for (from, to) in edges {
            let mut state = from;
            state.become_state(to);
            assert_eq!(state, to);
        }
    }

    #[test]
    #[should_panic(expected = "cannot go from Ended to Armed")]
    fn an_ended_side_is_never_armed_again() {
        let mut state = Ended;
        state.become_state(Armed);
    }
}
