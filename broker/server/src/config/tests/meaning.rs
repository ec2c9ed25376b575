//! What a correct tibemsd.conf means.

use super::*;

#[test]
fn an_empty_file_means_the_defaults() {
    let folder = Folder::new("# nothing\n; nothing\n\nserver =\nlisten =\n");
    let configuration = folder.clean();
    assert_eq!(configuration.server, "EMS-SERVER");
    assert_eq!(configuration.listens, [Listen { host: String::new(), port: 7222, tls: false }]);
    assert_eq!(configuration.store_folder, folder.path("datastore"));
    assert_eq!((configuration.ft.is_none(), configuration.authorization), (true, false));
    assert_eq!((configuration.ft_heartbeat_ns, configuration.ft_activation_ns), (3_000_000_000, 10_000_000_000));
    assert_eq!((configuration.segment_bytes, configuration.message_bytes_max), (64 << 20, (32 << 20) - 4096));
    assert_eq!(configuration.async_flush_interval_ns, 10_000_000);
    assert_eq!(configuration.logfile, None);
    assert_eq!(configuration.users.len(), 1, "the administrator");
    assert_eq!(configuration.queues.len(), 1);
}

#[test]
fn the_shipped_stores_exist() {
    let configuration = Folder::new("store_minimum_sync=16MB\nstore_minimum=8MB\n").clean();
    let stores: Vec<_> = configuration
        .stores
        .iter()
        .map(|store| (&store.name[..], &store.file[..], store.mode, store.minimum_bytes))
        .collect();
    assert_eq!(
        stores,
        [
            ("$sys.nonfailsafe", "async-msgs.db", Mode::Async, 8 << 20),
            ("$sys.failsafe", "sync-msgs.db", Mode::Sync, 16 << 20),
        ]
    );
    assert_eq!((&configuration.meta.name[..], &configuration.meta.file[..]), ("$sys.meta", "meta.db"));
    assert_eq!(configuration.meta.minimum_bytes, 8 << 20);
    assert_eq!(usize::from(configuration.default_store), 0);
}

#[test]
fn a_pair() {
    let configuration = Folder::new(
        "server=PAIR\nlisten=tcp://127.0.0.1:7222\nlisten=tcp://[::1]:7223\nft_active=tcp://other:7224\n\
         ft_heartbeat=0.1\nft_activation=250ms\nft_takeover=link\n",
    )
    .clean();
    let ft = configuration.ft.unwrap();
    assert_eq!((&ft.peer_url[..], &ft.peer_host[..], ft.peer_port), ("tcp://other:7224", "other", 7224));
    assert_eq!((ft.heartbeat_ns, ft.activation_ns), (100_000_000, 250_000_000));
    assert!(ft.takeover_by_link);
    assert_eq!(configuration.listens.len(), 2);
    assert_eq!(configuration.failover_list, ["amqp://127.0.0.1:7222", "amqp://other:7224"]);
}

#[test]
fn clients_can_be_told_other_urls() {
    let configuration = Folder::new("client_urls = \"tcp://a:1, amqp://b:2\"\n").clean();
    assert_eq!(configuration.failover_list, ["amqp://a:1", "amqp://b:2"]);
}

#[test]
fn a_listen_on_all_addresses_is_told_by_name() {
    let configuration = Folder::new("listen=tcp://7222\nft_active=tcp://7224\n").clean();
    let [own, peer] = &configuration.failover_list[..] else { panic!("{:?}", configuration.failover_list) };
    assert!(own.ends_with(":7222") && !own.contains("//:"), "{own}");
    assert_eq!(peer, "amqp://localhost:7224");
}

#[test]
fn overrides_beat_the_file() {
    let folder = Folder::new("server=A\nlisten=tcp://1\nlisten=tcp://2\ndebug_sync_delay=1ms\n");
    let overrides = [("listen", "tcp://3"), ("debug_sync_delay", "5ms")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let (configuration, _) = load(&folder.path("tibemsd.conf"), &overrides, true).unwrap();
    assert_eq!(configuration.listens.iter().map(|listen| listen.port).collect::<Vec<_>>(), [3]);
    assert_eq!((configuration.server.as_str(), configuration.debug_sync_delay_ns), ("A", 5_000_000));
}

#[test]
fn paths_are_relative_to_the_file() {
    let folder = Folder::new("store = here\nlogfile = /var/log/there\n");
    let configuration = folder.clean();
    assert_eq!(configuration.store_folder, folder.path("here"));
    assert_eq!(configuration.logfile, Some(PathBuf::from("/var/log/there")));
}

#[test]
fn a_size_of_nothing_is_the_default() {
    let configuration = Folder::new("segment_size=0\nasync_unflushed_max=0\n").clean();
    assert_eq!((configuration.segment_bytes, configuration.async_unflushed_max), (64 << 20, 8 << 20));
}

#[test]
fn where_nothing_has_a_meaning_it_is_kept() {
    let configuration = Folder::new("max_msg_memory=0\nstore_defrag_rate=0\n").clean();
    assert_eq!((configuration.message_memory_max, configuration.defrag_bytes_per_s), (0, 0));
    let configuration = Folder::new("").clean();
    assert_eq!((configuration.message_memory_max, configuration.defrag_bytes_per_s), (512 << 20, 32 << 20));
}

#[test]
fn an_alias_is_the_parameter() {
    assert_eq!(Folder::new("max_message_size=1MB\n").clean().message_bytes_max, 1 << 20);
    assert_eq!(Folder::new("max_client_msg_size=2MB\n").clean().message_bytes_max, 2 << 20);
}

#[test]
fn the_shipped_example_is_a_pair() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pair");
    let [primary, secondary] = ["tibemsd-1.conf", "tibemsd-2.conf"].map(|name| {
        let (configuration, remarks) = load(&root.join(name), &[], true).unwrap_or_else(|errors| panic!("{errors:#?}"));
        assert_eq!(remarks, []);
        configuration
    });
    assert_eq!((primary.listens[0].port, secondary.listens[0].port), (7222, 7224));
    assert_eq!(primary.ft.as_ref().unwrap().peer_port, secondary.listens[0].port);
    assert_eq!(secondary.ft.as_ref().unwrap().peer_port, primary.listens[0].port);
    assert_eq!((&primary.server, &primary.password), (&secondary.server, &secondary.password));
    assert_eq!(primary.store_folder, secondary.store_folder);
    assert!(primary.users.iter().any(|user| user.name == primary.server && user.password == primary.password));
    let stores: Vec<_> = primary
        .queues
        .iter()
        .map(|queue| {
            (&queue.definition.pattern[..], queue.definition.store.map(|id| primary.stores[usize::from(id.0)].mode))
        })
        .collect();
    assert_eq!(stores, [("sync.>", Some(Mode::Sync)), ("async.>", Some(Mode::Async)), (">", None)]);
}

#[test]
fn the_shipped_json_is_the_shipped_pair() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for (role, name) in [(Role::Primary, "tibemsd-1.conf"), (Role::Secondary, "tibemsd-2.conf")] {
        let load = |path: &str| {
            let (configuration, remarks) = load_as(role, &examples.join(path), &[], true)
                .or_else(|_| load(&examples.join(path), &[], true))
                .unwrap_or_else(|errors| panic!("{errors:#?}"));
            assert_eq!(remarks, []);
            configuration
        };
        let (json, conf) = (load("json/tibemsd.json"), load(&format!("pair/{name}")));
        assert_eq!((json.role, &json.server, &json.password), (role, &conf.server, &conf.password));
        assert_eq!((&json.listens, &json.ft, &json.failover_list), (&conf.listens, &conf.ft, &conf.failover_list));
        assert_eq!((&json.users, &json.stores), (&conf.users, &conf.stores));
        let definitions = |configuration: &Configuration| -> Vec<_> {
            configuration.queues.iter().map(|queue| queue.definition.clone()).collect()
        };
        assert_eq!(definitions(&json), definitions(&conf));
        assert!(json.store_folder.ends_with("json/store"));
    }
}
