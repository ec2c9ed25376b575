//! `monitor_listen` and `health_check_listen`, as meant: where the monitor answers.
//!
//! Owns what they must not clash with.

use super::findings::Findings;
use super::model::Listen;
use super::server_file::is_this_host;
use super::value::{self, Address, ValueError};
use super::written::{Setting, Settings};

/// A value and what it means.
struct Taken {
    name: &'static str,
    setting: Setting,
    listen: Listen,
}

/// All addresses of the monitor.
pub(super) fn listens(settings: &Settings, findings: &mut Findings) -> Vec<Listen> {
    let mut taken = read(settings, "listen", value::address);
    // Of a tibemsd.json each server is given its own as monitor_listen.
    if settings.is_set("secondary_monitor_listen") {
        let (name, remedy) = ("secondary_monitor_listen", "write monitor_listen in the file of the other server");
        findings.error(settings.spot(name), name, "is for the secondary server of a tibemsd.json", remedy);
    }
    let names = ["monitor_listen", "health_check_listen"].into_iter().filter(|name| settings.is_set(name));
    for mut monitor in names.flat_map(|name| read(settings, name, value::monitor_address)) {
        let (name, spot) = (monitor.name, &monitor.setting.spot);
        if monitor.listen.tls {
            let remedy = "write http:// and an address of this host or of a protected network";
            findings.error(spot, name, "https:// is not supported yet", remedy);
        }
        if let Some(before) = taken.iter().find(|before| clash(&monitor.listen, &before.listen)) {
            let Taken { name: other, setting, .. } = before;
            let file = setting.spot.file.file_name().unwrap_or_default().display();
            let (text, line) = (&setting.text, setting.spot.line);
            let message = format!("{} has the port of {other} = {text} ({file}:{line})", monitor.setting.text);
            findings.error(spot, name, message, "give the monitor a port of its own");
        }
        monitor.listen.tls = false;
        taken.push(monitor);
    }
    taken.into_iter().filter(|taken| taken.name != "listen").map(|taken| taken.listen).collect()
}

fn read(settings: &Settings, name: &'static str, parse: fn(&str) -> Result<Address, ValueError>) -> Vec<Taken> {
    let settings = settings.texts(name).into_iter();
    settings
        .map(|setting| {
            let Address { host, port, tls } = parse(&setting.text).expect("checked when it was set");
            Taken { name, setting, listen: Listen { host, port, tls } }
        })
        .collect()
}

/// Whether no process can listen on both.
fn clash(one: &Listen, other: &Listen) -> bool {
    let is_any = |host: &str| ["", "0.0.0.0", "::"].contains(&host);
    let same_host = one.host == other.host || is_any(&one.host) || is_any(&other.host);
    let both_here = is_this_host(&one.host) && is_this_host(&other.host);
    one.port != 0 && one.port == other.port && (same_host || both_here)
}
