//! What systemd or Kubernetes does for a lone broker: starts a node again some time after it has ended.

use super::foreign::{self, ForeignNode, SharedNode, lock};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How often it is looked whether a child of ours has ended: a supervisor that is the parent knows at once.
const LOOK_AT_CHILD: Duration = Duration::from_millis(5);
/// How often all processes of the machine are looked through for a node that has left its start command.
const LOOK_AT_ALL: Duration = Duration::from_millis(100);

/// A watch over one node, until it is dropped.
#[derive(Debug)]
pub(super) struct Supervisor(JoinHandle<()>);

impl Supervisor {
    /// Starts the node again `delay` after each end of it.
    ///
    /// The runtime has one thread, the main one: the kernel kills a node when the thread that started it ends.
    pub(super) fn watch(node: &SharedNode, delay: Duration) -> Self {
        let node = Arc::clone(node);
        Self(tokio::spawn(async move {
            loop {
                let pause = pause(&lock(&node));
                if let Some(pause) = pause {
                    sleep(pause).await;
                    continue;
                }
                sleep(delay).await;
                if let Err(error) = foreign::start(&node).await {
                    // It is tried again; a node that never comes up makes the trial unknown.
                    eprintln!("chaos: the supervisor cannot start a node: {error}");
                }
            }
        }))
    }
}

/// How long until the next look, while the node runs.
fn pause(node: &ForeignNode) -> Option<Duration> {
    node.is_running().then(|| if node.is_child() { LOOK_AT_CHILD } else { LOOK_AT_ALL })
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.0.abort();
    }
}
