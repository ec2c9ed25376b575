//! Reads a target file. A mistake is told with its line, its key and the remedy, before anything is started.

use super::{CommandLine, Target, TargetNode, Variables};
use crate::error::{AtPath, Error, Result};
use loadgen::options::Url;
use std::path::Path;

/// Variables that every command may use, beside `${port.NAME}` and the URLs.
pub(crate) const VARIABLES: [(&str, &str); 4] = [
    ("dir", "the trial's own folder, which is empty when it begins and goes when it ends"),
    ("target", "the folder of the target file"),
    ("node", "A or B: the node that the command is for; A in `prepare` and `clean`"),
    ("mark", "a text that is different for each node of each trial"),
];

/// A mistake: the line on which it is best mended, and the words.
type Mistake = (usize, String);

/// Reads and checks the file at `path`.
///
/// # Errors
/// Names the file, the line, the key and the remedy.
pub fn read(path: &Path) -> Result<Target> {
    let text = std::fs::read_to_string(path).at(path)?;
    let mut target = parse(&text).map_err(|(line, reason)| Error::Target { path: path.to_owned(), line, reason })?;
    let path = std::path::absolute(path).at(path)?;
    target.folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    Ok(target)
}

fn parse(text: &str) -> Result<Target, Mistake> {
    let target: Target = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        let told = text.lines().nth(line - 1).unwrap_or("").trim();
        (line, format!("`{told}`: {}; docs/TARGETS.md describes every key", error.message()))
    })?;
    let source = Source { text, target: &target };
    source.check_variables()?;
    source.check_whole()?;
    for (number, node) in target.nodes.iter().enumerate() {
        source.check_node(number, node)?;
    }
    Ok(target)
}

/// A file that is well-formed, while its sense is checked.
struct Source<'a> {
    text: &'a str,
    target: &'a Target,
}

impl Source<'_> {
    /// The line of a key: of the node with this number, or outside of all nodes; where the key is absent, that of the node or of the file.
    fn line(&self, node: Option<usize>, key: &str) -> usize {
        let is_key =
            |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
        let mut nodes_seen = 0;
        let mut place = 1;
        for (index, line) in self.text.lines().enumerate() {
            if line.trim_start().starts_with("[[node]]") {
                nodes_seen += 1;
                if node.is_some_and(|node| node + 1 == nodes_seen) {
                    place = index + 1;
                }
            }
            let is_inside = match node {
                None => nodes_seen == 0,
                Some(node) => node + 1 == nodes_seen,
            };
            if is_inside && is_key(line) {
                return index + 1;
            }
        }
        place
    }

    /// An unknown variable would reach the command as it stands, and the shell would make nothing of it.
    fn check_variables(&self) -> Result<(), Mistake> {
        let ports = self.target.ports.iter().map(|port| format!("port.{port}"));
        let known: Vec<String> = VARIABLES.iter().map(|(name, _)| (*name).to_owned()).chain(ports).collect();
        for (index, line) in self.text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
            for piece in line.split("${").skip(1) {
                let name = piece.split('}').next().unwrap_or("");
                if !known.iter().any(|one| one == name) {
                    let known = known.join("}, ${");
                    let shell = "a variable of the shell is written $NAME, and a port is named in `ports`";
                    return Err((index + 1, format!("${{{name}}} is no variable; there are ${{{known}}}; {shell}")));
                }
            }
        }
        Ok(())
    }

    fn check_whole(&self) -> Result<(), Mistake> {
        let target = self.target;
        let at = |key: &str, reason: &str| Err((self.line(None, key), format!("{key}: {reason}")));
        let is_name =
            |name: &String| !name.is_empty() && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_');
        if !target.ports.iter().all(is_name) {
            return at("ports", "a name consists of letters, digits and _");
        }
        if !(1..=2).contains(&target.nodes.len()) {
            let reason = format!(
                "there are {} nodes; write one [[node]], or two that stand in for each other",
                target.nodes.len()
            );
            return Err((self.line(None, "node"), reason));
        }
        if target.is_lone() && target.restart_after.is_none() {
            return at(
                "restart_after",
                "nobody stands in for a lone node, so somebody must start it again: say after how long, such as \"100ms\"",
            );
        }
        if target.queues.sync.is_none() && target.queues.r#async.is_none() {
            return at("queues", "no queue is named: write [queues.sync], [queues.async] or both");
        }
        for (key, command) in [("clean", &target.clean), ("prepare", &target.prepare)] {
            if command.as_ref().is_some_and(CommandLine::is_empty) {
                return at(key, "the command is empty; name a program, or leave the key out");
            }
        }
        Ok(())
    }

    fn check_node(&self, number: usize, node: &TargetNode) -> Result<(), Mistake> {
        let at = |key: &str, reason: String| Err((self.line(Some(number), key), format!("{key}: {reason}")));
        let ports = self.target.ports.iter().map(|port| (format!("port.{port}"), "5672".to_owned()));
        let url = Variables(ports.chain([("node".to_owned(), "A".to_owned())]).collect()).replace(&node.url);
        if let Err(error) = url.parse::<Url>() {
            return at("url", error.to_string());
        }
        let commands = commands(node);
        if let Some((key, _)) = commands.iter().find(|(_, command)| command.is_some_and(CommandLine::is_empty)) {
            return at(key, "the command is empty; name a program, or leave the key out".to_owned());
        }
        let has = |key: &str| commands.iter().any(|(name, command)| *name == key && command.is_some());
        for (key, proof) in [("kill", "kill_proof"), ("pause", "pause_proof"), ("resume", "resume_proof")] {
            match (has(key), has(proof)) {
                (true, false) => {
                    return at(
                        key,
                        format!(
                            "a fault needs a proof: add {proof}, a command that exits with 0 once {key} has had effect"
                        ),
                    );
                }
                (false, true) => {
                    return at(proof, format!("there is nothing to prove: add {key}, or leave {proof} out"));
                }
                _ => {}
            }
        }
        if has("pause") != has("resume") {
            return at("pause", "pause and resume come together".to_owned());
        }
        Ok(())
    }
}

/// The commands of a node with their keys.
fn commands(node: &TargetNode) -> [(&'static str, Option<&CommandLine>); 11] {
    [
        ("start", Some(&node.start)),
        ("stop", node.stop.as_ref()),
        ("pids", node.pids.as_ref()),
        ("role", node.role.as_ref()),
        ("ready", node.ready.as_ref()),
        ("kill", node.kill.as_ref()),
        ("kill_proof", node.kill_proof.as_ref()),
        ("pause", node.pause.as_ref()),
        ("pause_proof", node.pause_proof.as_ref()),
        ("resume", node.resume.as_ref()),
        ("resume_proof", node.resume_proof.as_ref()),
    ]
}

#[cfg(test)]
mod tests;
