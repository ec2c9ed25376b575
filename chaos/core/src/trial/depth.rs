//! Asks the active server how many messages a queue holds, as an administrator would. It judges nothing.

use crate::clock;
use crate::cluster::Pair;
use loadgen::options::Url;
use loadgen::verdict::DepthSeen;
use std::time::Duration;

/// The administration answers within this time, also under load.
const LIMIT: Duration = Duration::from_secs(5);
/// The login that the configuration of the pair gives to administrators.
const LOGIN: (&str, &str) = ("admin", "");

/// What was answered.
#[derive(Debug, Default)]
pub(super) struct Depths {
    pub(super) seen: Vec<DepthSeen>,
    /// What could not be asked, a sentence each.
    pub(super) not_judged: Vec<String>,
}

impl Depths {
    /// Asks about one queue.
    pub(super) async fn ask(&mut self, pair: &Pair, address: &str, after_drain: bool) {
        match ask(pair, address, after_drain).await {
            Ok(seen) => self.seen.push(seen),
            Err(reason) => self.not_judged.push(format!("depth of {address}: {reason}")),
        }
    }
}

/// What the active server says about `address`, or why it could not be asked.
async fn ask(pair: &Pair, address: &str, after_drain: bool) -> Result<DepthSeen, String> {
    let active = pair.active().ok_or("no server says that it is active")?;
    let url: Url = pair.url(active).parse().map_err(|error| format!("{error}"))?;
    let body = serde_json::json!({ "command": format!("show queue {address}") });
    let asked_ns = clock::now_ns();
    let reply =
        loadgen::admin::request(&url, LOGIN.0, LOGIN.1, &body, LIMIT).await.map_err(|error| error.to_string())?;
    let answered_ns = clock::now_ns();
    let messages = messages(&reply).ok_or_else(|| format!("{} answered {reply}", active.name()))?;
    Ok(DepthSeen { address: address.to_owned(), messages, asked_ns, answered_ns, after_drain })
}

/// The count in a reply: in the result itself, or in the one row of it.
fn messages(reply: &serde_json::Value) -> Option<u64> {
    let result = reply.get("result").unwrap_or(reply);
    result.get("messages").or_else(|| result.get(0)?.get("messages"))?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_and_nothing_else_is_taken_for_it() {
        let count = |text: &str| messages(&serde_json::from_str(text).expect("it is JSON"));
        assert_eq!(count("{\"ok\":true,\"name\":\"q\",\"messages\":7}"), Some(7));
        assert_eq!(count("{\"ok\":true,\"result\":[{\"messages\":7}]}"), Some(7));
        assert_eq!(count("{\"ok\":false,\"error\":\"there is no queue q\"}"), None);
    }
}
