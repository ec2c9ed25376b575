//! The configuration files of a pair: one tibemsd.conf for each node, and the files that both share, as an operator would write them.

use super::NodeId;
use crate::error::{AtPath, Doing, Result};
use crate::plan::PairPlan;
use crate::scenario::PairSpec;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// Who is reached where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Where each node listens: for everybody, or for clients and then for its peer.
    pub listen: [Vec<SocketAddr>; 2],
    /// Where each node looks for its peer: the peer itself, or a proxy in front of it.
    pub peer: [SocketAddr; 2],
    /// Where clients and the administration look for each node.
    pub clients: [SocketAddr; 2],
}

impl Addresses {
    /// Two free ports of 127.0.0.1, with nothing between, and what keeps them from being given to anybody else. Once that is dropped,
    /// another process could take one before the node listens; the node then refuses to start and says so.
    pub fn free() -> Result<(Self, [TcpListener; 2])> {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("look for a free port");
        let address = |socket: &TcpListener| socket.local_addr().doing("read a free port");
        let sockets = [bind()?, bind()?];
        let [a, b] = [address(&sockets[0])?, address(&sockets[1])?];
        Ok((Self { listen: [vec![a], vec![b]], peer: [b, a], clients: [a, b] }, sockets))
    }

    /// The URL that clients and the administration use for a node.
    pub fn url(&self, node: NodeId) -> String {
        format!("amqp://{}", self.clients[node.index()])
    }
}

const QUEUES: &str = "# The store of a queue decides what a failover may cost.
sync.>   store=$sys.failsafe
async.>  store=$sys.nonfailsafe
>
";
const USERS: &str = "admin::\"Administrator\"\n";

/// Further parameters of one node, as lines of its tibemsd.conf: names and values.
pub type Settings = Vec<(String, String)>;

/// What a pair under test is besides its plan.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// What a scenario wants of it; its settings are not looked at, see below.
    pub spec: PairSpec,
    /// Decides what is random in what lies between.
    pub seed: u64,
    /// Node A alone, without a peer.
    pub lone: bool,
    /// Further parameters of both nodes.
    pub settings: Settings,
}

/// Writes the files of both nodes below `folder`, whose stores lie where `stores` says, and returns the path of each node's tibemsd.conf.
pub fn write_configuration(
    folder: &Path,
    stores: &[PathBuf; 2],
    plan: &PairPlan,
    addresses: &Addresses,
    setup: &Setup,
) -> Result<[PathBuf; 2]> {
    for name in ["shared", "A", "B"] {
        let path = folder.join(name);
        std::fs::create_dir_all(&path).at(&path)?;
    }
    write(&folder.join("shared/queues.conf"), QUEUES)?;
    write(&folder.join("shared/users.conf"), USERS)?;
    let mut paths = [PathBuf::new(), PathBuf::new()];
    for node in NodeId::BOTH {
        let path = folder.join(node.name()).join("tibemsd.conf");
        let store = &stores[node.index()];
        std::fs::create_dir_all(store).at(store)?;
        let text = server_configuration(folder, store, plan, (addresses, node, setup.lone)) + &lines(&setup.settings);
        write(&path, &text)?;
        paths[node.index()] = path;
    }
    Ok(paths)
}

/// Writes the lines of `settings` in place of those that begin with the same names.
pub(super) fn change_configuration(path: &Path, settings: &Settings) -> Result<()> {
    let text = std::fs::read_to_string(path).at(path)?;
    let is_replaced = |line: &&str| {
        let name = line.split('=').next().unwrap_or("").trim();
        settings.iter().any(|(replaced, _)| replaced == name)
    };
    let kept: String = text.lines().filter(|line| !is_replaced(line)).map(|line| format!("{line}\n")).collect();
    write(path, &(kept + &lines(settings)))
}

/// Whether the file has the lines of `settings`.
pub(super) fn has_settings(path: &Path, settings: &Settings) -> Result<bool> {
    let text = std::fs::read_to_string(path).at(path)?;
    Ok(lines(settings).lines().all(|wanted| text.lines().any(|line| line == wanted)))
}

fn lines(settings: &Settings) -> String {
    settings.iter().map(|(name, value)| format!("{name:<21} = {value}\n")).collect()
}

/// `client_urls` names what lies in front of the listeners for clients, which is not what lies in front of them for the peer.
fn server_configuration(
    folder: &Path,
    store: &Path,
    plan: &PairPlan,
    (addresses, node, lone): (&Addresses, NodeId, bool),
) -> String {
    let (folder, store) = (folder.display(), store.display());
    let name = node.name();
    let [a, b] = addresses.clients;
    let fault_tolerance = if lone {
        String::new()
    } else {
        format!(
            "ft_active             = tcp://{peer}
ft_heartbeat          = {heartbeat}ms
ft_activation         = {activation}ms
client_urls           = tcp://{a},tcp://{b}
",
            peer = addresses.peer[node.index()],
            heartbeat = plan.ft_heartbeat_ms,
            activation = plan.ft_activation_ms,
        )
    };
    let listen = addresses.listen[node.index()].iter();
    format!(
        "# One node under test.
server                = UNDERSTUDY
{listen}store                 = {store}
queues                = {folder}/shared/queues.conf
users                 = {folder}/shared/users.conf
logfile               = {folder}/{name}/server.log
{fault_tolerance}async_flush_interval  = {flush}ms
async_unflushed_max   = {unflushed}
segment_size          = {segment}
",
        listen = listen.map(|address| format!("listen                = tcp://{address}\n")).collect::<String>(),
        flush = plan.async_flush_interval_ms,
        unflushed = plan.async_unflushed_bytes_max,
        segment = plan.segment_bytes,
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).at(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stores(folder: &Path) -> [PathBuf; 2] {
        [folder.join("store"), folder.join("store")]
    }

    fn value(text: &str, name: &str) -> String {
        let line = text.lines().find(|line| line.split('=').next().is_some_and(|found| found.trim() == name));
        line.and_then(|line| line.split_once('=')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    }

    fn some_addresses() -> Addresses {
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Addresses {
            listen: [vec![at(7222)], vec![at(7224), at(7225)]],
            peer: [at(9001), at(9002)],
            clients: [at(9003), at(9004)],
        }
    }

    #[test]
    fn a_setting_is_replaced_and_a_lone_node_has_no_peer() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let addresses = some_addresses();
        let setting = |value: &str| vec![("standby_tailing".to_owned(), value.to_owned())];
        let setup = Setup { lone: true, settings: setting("enabled"), ..Setup::default() };
        let [path, _] =
            write_configuration(folder.path(), &stores(folder.path()), &PairPlan::default(), &addresses, &setup)
                .expect("it is ours");
        let read = || std::fs::read_to_string(&path).expect("it was written");
        assert_eq!((value(&read(), "standby_tailing"), value(&read(), "ft_active")), ("enabled".into(), String::new()));
        assert!(!has_settings(&path, &setting("disabled")).expect("the file is ours"));
        change_configuration(&path, &setting("disabled")).expect("the file is ours");
        assert!(has_settings(&path, &setting("disabled")).expect("the file is ours"));
        assert_eq!(
            (value(&read(), "standby_tailing"), value(&read(), "server")),
            ("disabled".into(), "UNDERSTUDY".into())
        );
        assert_eq!(read().matches("standby_tailing").count(), 1);
    }

    #[test]
    fn each_node_has_its_own_file_and_both_share_store_and_queues() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let addresses = some_addresses();
        let paths = write_configuration(
            folder.path(),
            &stores(folder.path()),
            &PairPlan::default(),
            &addresses,
            &Setup::default(),
        )
        .expect("the folder is ours");
        let [a, b] = paths.map(|path| std::fs::read_to_string(path).expect("it was written"));
        assert_eq!(value(&a, "listen"), "tcp://127.0.0.1:7222");
        assert!(b.contains(
            "\nlisten                = tcp://127.0.0.1:7224\nlisten                = tcp://127.0.0.1:7225\n"
        ));
        assert_eq!(value(&a, "ft_active"), "tcp://127.0.0.1:9001");
        assert_eq!(value(&b, "ft_active"), "tcp://127.0.0.1:9002");
        assert_eq!(value(&a, "ft_heartbeat"), "100ms");
        assert_eq!(value(&a, "ft_activation"), "500ms");
        assert_eq!(value(&a, "client_urls"), "tcp://127.0.0.1:9003,tcp://127.0.0.1:9004");
        for name in ["store", "queues", "users", "client_urls"] {
            assert!(!value(&a, name).is_empty(), "{name}");
            assert_eq!(value(&a, name), value(&b, name), "{name}");
        }
        assert_ne!(value(&a, "logfile"), value(&b, "logfile"));
        let queues = std::fs::read_to_string(folder.path().join("shared/queues.conf")).expect("it was written");
        assert!(queues.contains("sync.>   store=$sys.failsafe") && queues.contains("async.>  store=$sys.nonfailsafe"));
    }

    #[test]
    fn free_addresses_differ_and_face_each_other() {
        let (addresses, kept) = Addresses::free().expect("there are free ports");
        let [a, b] = addresses.clients;
        assert_ne!(a, b);
        assert!(TcpListener::bind(b).is_err(), "it is kept");
        drop(kept);
        assert_eq!((addresses.peer, addresses.listen.clone()), ([b, a], [vec![a], vec![b]]));
        assert_eq!(addresses.url(NodeId::B), format!("amqp://127.0.0.1:{}", b.port()));
    }
}
