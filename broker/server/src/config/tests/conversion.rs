//! tibemsd.conf to tibemsd.json: what is loaded from either is the same.

use super::*;

/// Everything that a configuration says, without the names of files and the lines in them.
fn meaning(configuration: Configuration) -> String {
    let passwords: Vec<String> = configuration.users.iter().map(|user| user.password.clone()).collect();
    let text = format!("{:#?}", Configuration { file: PathBuf::new(), paths: Paths::default(), ..configuration });
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("line: "));
    lines.map(|line| format!("{line}\n")).collect::<String>() + &passwords.join("\n")
}

/// A family in which everything is used.
fn family() -> Folder {
    Folder::new(
        "server=PAIR\npassword=\"a, b\"\nlisten=tcp://7222\nlisten=tcp://127.0.0.1:7223\nft_active=tcp://b:7224\n\
         ft_heartbeat=0.25\nft_activation=1\nmax_connections=007\nmsg_swapping=off\nmax_msg_memory=64MB\nusers=people.conf\n\
         startup_abort_list=SSL,CONFIG_FILES\nclient_urls=amqp://a:1,amqp://b:2\nlogfile=log/x\nlogfile=\n\
         ssl_server_trusted=one.pem\nssl_server_trusted=two.pem\nssl_crl_update_interval=60\nmonitor_listen=http://:1\n",
    )
    .with("people.conf", "app:secret:\"An app\"\nPAIR:\"a, b\":the pair\n")
    .with("groups.conf", "$admin:\"Administrators\"\n  app\ntraders:Desk A\n  app\n  PAIR\n")
    .with("acl.conf", "QUEUE=a.> GROUP=traders PERM=send,receive\nADMIN USER=app PERM=view-all,shutdown\n")
    .with("queues.conf", "a.> store=mine,maxmsgs=5,maxbytes=1KB,expiration=5min,flowControl,exclusive,secure\n>\n")
    .with("topics.conf", "t.> secure,prefetch=9\n")
    .with("stores.conf", "[mine]\n type=file\n file=mine.db\n mode=sync\n")
    .with("bridges.conf", "[topic:t.>]\n queue=q selector=\"a = 'x,y'\"\n topic=u\n[queue:q]\n queue=r\n")
    .with("durables.conf", "t.a d1 clientid=c,nolocal,selector=\"a = 'x,y'\"\nt.b d2\n")
    .with("factories.conf", "[F]\n type=generic\n url=tcp://a:1,tcp://b:2\n reconnect_attempt_count=9\n ssl_trusted=x\n")
    .with("routes.conf", "[OTHER]\n url=tcp://c:1\n zone_type=1hop\n outgoing_topic=t.> selector=\"x\"\n")
    .with("transports.conf", "[RV]\n type=tibrvcm\n export_headers=true\n")
    .with("tibrvcm.conf", "RV listener a.b\n")
    .with("channels.conf", "[C]\n address=239.1.2.3:10\n priority=-2\n")
}

fn json(folder: &Folder) -> PathBuf {
    folder.path("tibemsd.json")
}

#[test]
fn a_converted_family_means_the_same() {
    let folder = family();
    let (conf, remarks) = folder.load(false).unwrap();
    let to = json(&folder);
    let conversion = Conversion { from: &folder.path("tibemsd.conf"), secondary: None, to: &to, overwrite: false };
    let converted = convert(&conversion).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!(converted.file, to);
    assert_eq!(converted.remarks.len(), remarks.len() + 1, "one more on the unknown listens of the other server");
    let (from_json, _) = load(&to, &[], false).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!(meaning(from_json), meaning(conf));
}

#[test]
fn a_converted_pair_means_the_same_on_both_sides() {
    let other = "server=PAIR\nlisten=tcp://b:7224\nlisten=tcp://9\nft_active=tcp://a:7222\n";
    let folder = Folder::new("server=PAIR\nlisten=tcp://7222\nft_active=tcp://b:7224\n").with("other.conf", other);
    let to = json(&folder);
    let second = folder.path("other.conf");
    let conversion =
        Conversion { from: &folder.path("tibemsd.conf"), secondary: Some(&second), to: &to, overwrite: false };
    assert_eq!(convert(&conversion).unwrap().remarks, []);
    for (role, file) in [(Role::Primary, "tibemsd.conf"), (Role::Secondary, "other.conf")] {
        let (conf, _) = load(&folder.path(file), &[], true).unwrap();
        let (from_json, remarks) = load_as(role, &to, &[], true).unwrap();
        assert_eq!(remarks, []);
        assert_eq!(meaning(Configuration { role, ..conf }), meaning(from_json), "{file}");
    }
}

#[test]
fn what_one_file_cannot_say_of_two_servers_is_told() {
    let folder =
        Folder::new("server=A\nft_active=tcp://b:1\n").with("other.conf", "server=B\nft_active=tcp://a:7222\n");
    let (to, second) = (json(&folder), folder.path("other.conf"));
    let conversion =
        Conversion { from: &folder.path("tibemsd.conf"), secondary: Some(&second), to: &to, overwrite: false };
    let [remark] = &convert(&conversion).unwrap().remarks[..] else { panic!() };
    assert_eq!((&remark.parameter[..], remark.line, &remark.file), ("server", 1, &second));
}

#[test]
fn paths_still_lead_to_their_places_from_another_folder() {
    let folder = Folder::new("logfile=here.log\n");
    std::fs::create_dir(folder.path("shared")).unwrap();
    let to = folder.path("shared/tibemsd.json");
    let conversion = Conversion { from: &folder.path("tibemsd.conf"), secondary: None, to: &to, overwrite: false };
    convert(&conversion).unwrap();
    let (configuration, _) = load(&to, &[], true).unwrap();
    assert_eq!(configuration.store_folder, folder.path("datastore"));
    assert_eq!(configuration.logfile, Some(folder.path("here.log")));
}

#[test]
fn nothing_is_overwritten_or_half_written() {
    let folder = Folder::new("").with("tibemsd.json", "old");
    let to = json(&folder);
    let from = folder.path("tibemsd.conf");
    let conversion = Conversion { from: &from, secondary: None, to: &to, overwrite: false };
    assert_eq!(convert(&conversion).unwrap_err()[0].message, "exists");
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "old");
    convert(&Conversion { overwrite: true, ..conversion }).unwrap();
    load(&to, &[], true).unwrap();
    let folder = folder.with("tibemsd.conf", "ft_heartbeat=x\n");
    let before = std::fs::read(&to).unwrap();
    assert_eq!(convert(&Conversion { overwrite: true, ..conversion }).unwrap_err()[0].line, 1);
    assert_eq!(std::fs::read(&to).unwrap(), before);
    let nowhere = folder.path("missing/tibemsd.json");
    let folder = folder.with("tibemsd.conf", "");
    assert!(convert(&Conversion { to: &nowhere, ..conversion }).is_err());
    let left: Vec<_> = std::fs::read_dir(folder.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "no temporary file stays: {left:?}");
}

#[test]
fn a_converted_file_is_no_more_public_than_users_conf() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("").with("users.conf", "app:secret:\n");
    let mode = |path: &PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    std::fs::set_permissions(folder.path("users.conf"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let to = json(&folder);
    convert(&Conversion { from: &folder.path("tibemsd.conf"), secondary: None, to: &to, overwrite: false }).unwrap();
    assert_eq!(mode(&to) & 0o037, 0, "{:o}", mode(&to));
}

#[test]
fn names_tell_which_form_a_file_has() {
    let folder = Folder::new("server=PAIR\n").with("old.json", "{\"tibemsd\": {}}");
    let refused = |from: &str, to: &str, expected: &str| {
        let (from, to) = (folder.path(from), folder.path(to));
        let errors = convert(&Conversion { from: &from, secondary: None, to: &to, overwrite: false }).unwrap_err();
        assert!(errors.len() == 1 && errors[0].remedy.contains(expected), "{errors:#?}");
        assert!(!to.exists());
    };
    refused("old.json", "new.json", "not converted back");
    refused("tibemsd.conf", "new.conf", "ends with .json");
}
