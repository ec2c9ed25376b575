//! What is wrong with a tibemsd.conf, and how it is said.

use super::*;

#[test]
fn bad_values_stop_the_start() {
    check(
        "ft_heartbeat = soon\n",
        "tibemsd.conf:1: error: ft_heartbeat: 'soon' is not a time (write seconds as 3 or 0.25, or a unit: 250ms, 50us, \
         2min, 1h; range 1ms to 3600s)\n",
    );
    check(
        "\nlisten = http://x:1\n",
        "tibemsd.conf:2: error: listen: 'http://x:1' is not a URL of the form tcp://host:port or ssl://host:port \
         (correct the scheme, the host or the port)\n",
    );
    check(
        "authorization = maybe\n",
        "tibemsd.conf:1: error: authorization: 'maybe' is neither enabled nor disabled (write enable, enabled, true, \
         yes or on, or disable, disabled, false, no or off)\n",
    );
    check(
        "max_connections = -1\n",
        "tibemsd.conf:1: error: max_connections: '-1' is not a whole number (write digits only; range 0 to \
         4294967295)\n",
    );
    check(
        "segment_size = 1KB\n",
        "tibemsd.conf:1: error: segment_size: 1KB is outside the range 0, or 1MB to 1GB (choose a value inside the \
         range; range 0, or 1MB to 1GB)\n",
    );
    check(
        "startup_abort_list=SSL,EVERYTHING\n",
        "tibemsd.conf:1: error: startup_abort_list: 'EVERYTHING' is not one of SSL, TRANSPORTS, CONFIG_FILES, \
         CONFIG_ERRORS, DB_FILES (choose one of these words)\n",
    );
    check("listen\n", "tibemsd.conf:1: error: 'listen' has no '=' (write name = value)\n");
}

#[test]
fn unknown_names_are_doubts() {
    let text = "ft_actve = tcp://x:1\nnonsense_of_mine = 1\n";
    let warnings = "tibemsd.conf:1: warning: ft_actve: is not a known name (did you mean ft_active?)\n\
                    tibemsd.conf:2: warning: nonsense_of_mine: is not a known name (remove the line; \
                    docs/PARAMETERS.md lists the names)\n";
    check(text, warnings);
    let errors = warnings.replace("warning", "error");
    assert_eq!(Folder::new(text).remarks(true), errors);
    let listed = Folder::new(&format!("{text}startup_abort_list=CONFIG_ERRORS\n"));
    assert_eq!(listed.remarks(false), errors);
}

#[test]
fn transports_matter_where_they_are_insisted_on() {
    let severities = |list: &str| -> Vec<_> {
        let server = format!("tibrv_transports=on\nstartup_abort_list={list}\n");
        let folder = Folder::new(&server).with("transports.conf", "[RV]\ntype=tibrv\nexport_headers=perhaps\n");
        let (Ok((_, remarks)) | Err(remarks)) = folder.load(false);
        remarks.into_iter().map(|remark| (remark.parameter, remark.severity)).collect()
    };
    let header = |severity| ("export_headers".to_owned(), severity);
    // What is only not acted upon is told in one line for the file, without a name of its own.
    let summary = |file: usize| (0..file).map(|_| (String::new(), Severity::Warning));
    let expected: Vec<_> = std::iter::once(header(Severity::Warning)).chain(summary(2)).collect();
    assert_eq!(severities(""), expected);
    let switch = ("tibrv_transports".to_owned(), Severity::Error);
    let expected: Vec<_> = [switch, header(Severity::Error)].into_iter().chain(summary(1)).collect();
    assert_eq!(severities("TRANSPORTS"), expected);
}

#[test]
fn parameters_without_effect_say_so() {
    let folder = Folder::new("routing = enabled\nmulticast = off\nclient_trace = x\n");
    assert_eq!(
        folder.remarks(false),
        "tibemsd.conf: warning: accepted, not acted upon: routing, client_trace (broker --check tells the lines and why)\n"
    );
    assert_eq!(
        folder.remarks(true),
        "tibemsd.conf:1: note: routing: accepted, not acted upon: there are no routes (remove it, or leave it for EMS)\n\
         tibemsd.conf:3: note: client_trace: accepted, not acted upon: clients are not traced (remove it, or leave it for \
         EMS)\n"
    );
    let many =
        "flow_control=on\nstatistics=on\nrouting=on\nmulticast=on\nlog_trace=x\nclient_trace=x\nconsole_trace=x\n";
    check(
        many,
        "tibemsd.conf: warning: accepted, not acted upon: flow_control, statistics, routing, multicast, log_trace and 2 \
         more (broker --check tells the lines and why)\n",
    );
    check(
        "ssl_require_client_cert = yes\n",
        "tibemsd.conf:1: warning: ssl_require_client_cert: has no effect: listen has no ssl:// URL (write ssl:// there, or \
         remove the line)\n",
    );
    check(
        "fips140-2 = yes\n",
        "tibemsd.conf:1: error: fips140-2: 'yes' is not supported (this version has no validated cryptography; remove the \
         line)\n",
    );
}

#[test]
fn what_tls_needs_is_missed_at_once() {
    check(
        "listen = ssl://7243\nft_active = ssl://other:7243\n",
        "tibemsd.conf:1: error: ssl_server_identity: is not set: an ssl:// listen needs a certificate (set \
         ssl_server_identity)\n\
         tibemsd.conf:2: error: ft_ssl_trusted: is not set: ft_ssl_verify_host is enabled, and no authority is trusted (set \
         ft_ssl_trusted)\n",
    );
    check(
        "listen = ssl://7243\nssl_server_identity = nowhere.pem\n",
        "tibemsd.conf:2: error: ssl_server_identity: nowhere.pem: cannot be read: No such file or directory (os error 2) \
         (correct the path, or let the server's user read it)\n",
    );
    check(
        "ft_active = ssl://other:7243\nft_ssl_private_key = key.pem\n",
        "tibemsd.conf:2: error: ft_ssl_private_key: key.pem: has no certificate: ft_ssl_identity is not set (set \
         ft_ssl_identity, or remove ft_ssl_private_key)\n",
    );
    check(
        "ft_active = ssl://other:7243\nft_ssl_ciphers = RC4-MD5\nft_ssl_verify_host = off\n",
        &format!(
            "tibemsd.conf:2: error: ft_ssl_ciphers: 'RC4-MD5' is not a cipher of this server ({})\n",
            crate::tls::CipherError::Unknown(String::new()).remedy()
        ),
    );
}

#[test]
fn a_line_given_twice_is_a_doubt() {
    check(
        "server = a\nserver = b\n",
        "tibemsd.conf:2: warning: server: was set in line 1 already; this one counts (remove one of the two lines)\n",
    );
}

#[test]
fn the_pair_is_checked() {
    check(
        "ft_heartbeat = 5\nft_activation = 9\n",
        "tibemsd.conf:2: error: ft_activation: ft_activation (9) is less than twice ft_heartbeat (5) (raise \
         ft_activation, so that one late heartbeat is not taken for a dead server)\n",
    );
    check(
        "ft_heartbeat = 6\n",
        "tibemsd.conf:1: error: ft_heartbeat: ft_activation (10) is less than twice ft_heartbeat (6) (raise \
         ft_activation, so that one late heartbeat is not taken for a dead server)\n",
    );
    check(
        "listen = tcp://7222\nft_active = tcp://localhost:7222\n",
        "tibemsd.conf:2: error: ft_active: names this server itself (name the URL of the other server of the pair)\n",
    );
    let folder = Folder::new("authorization=enabled\nft_active=tcp://localhost:1\npassword=p\n")
        .with("users.conf", "EMS-SERVER:q:the pair\n");
    assert_eq!(
        folder.remarks(false),
        "users.conf: error: users: has no user 'EMS-SERVER' with the password of tibemsd.conf: the peer cannot log in \
         (add a line EMS-SERVER:password:the servers of the pair)\n"
    );
    check_pair_over_a_network();
}

fn check_pair_over_a_network() {
    let server = "authorization=enabled\nft_active=tcp://x:1\npassword=p\n";
    let with = |server: &str| Folder::new(server).with("users.conf", "EMS-SERVER:p:the pair\n").remarks(false);
    assert_eq!(
        with(server),
        "tibemsd.conf:2: warning: ft_active: passwords are not taken from a network connection without TLS: the servers \
         cannot log in to each other (write ssl://, or set allow_plain_without_tls = enabled)\n"
    );
    assert_eq!(with(&format!("{server}allow_plain_without_tls=yes\n")), "");
    assert_eq!(with(&server.replace("//x", "//127.0.0.9")), "");
}

#[test]
fn monitors_have_ports_of_their_own() {
    check(
        "listen = tcp://7222\nmonitor_listen = http://127.0.0.1:7222\n",
        "tibemsd.conf:2: error: monitor_listen: http://127.0.0.1:7222 has the port of listen = tcp://7222 \
         (tibemsd.conf:1) (give the monitor a port of its own)\n",
    );
    check(
        "monitor_listen = http://:7000\nhealth_check_listen = http://10.0.0.1:7000\n",
        "tibemsd.conf:2: error: health_check_listen: http://10.0.0.1:7000 has the port of monitor_listen = http://:7000 \
         (tibemsd.conf:1) (give the monitor a port of its own)\n",
    );
    check(
        "secondary_monitor_listen = http://:7001\n",
        "tibemsd.conf:1: error: secondary_monitor_listen: is for the secondary server of a tibemsd.json \
         (write monitor_listen in the file of the other server)\n",
    );
    check("listen = tcp://10.0.0.1:7222\nmonitor_listen = http://10.0.0.2:7222\n", "");
    check("listen = tcp://0\nmonitor_listen = http://:0\nhealth_check_listen=http://[::1]:7000/\n", "");
}

#[test]
fn monitors_speak_plain_http() {
    check(
        "monitor_listen = https://:7000\n",
        "tibemsd.conf:1: error: monitor_listen: https:// is not supported yet (write http:// and an address of this host \
         or of a protected network)\n",
    );
    check(
        "health_check_listen = http://7000\n",
        "tibemsd.conf:1: error: health_check_listen: 'http://7000' is not a URL of the form http://host:port (correct the \
         scheme, the host or the port)\n",
    );
}

#[test]
fn messages_fit_segments() {
    check(
        "max_client_msg_size = 40MB\n",
        "tibemsd.conf:1: error: max_client_msg_size: is more than fits in half a segment (33550336 bytes) (lower it, or \
         raise segment_size)\n",
    );
}

#[test]
fn mangled_passwords_are_refused() {
    check(
        "password = $man$abcdef\n",
        "tibemsd.conf:1: error: password: a mangled password ($man$...) can only be read by the server that made it \
         (write the password in the clear and protect the file)\n",
    );
}

#[test]
fn files_that_cannot_be_read() {
    let folder = Folder::new("users = nobody.conf\n");
    let warning = "nobody.conf: warning: users: cannot be read: No such file or directory (os error 2) (create the \
                   file, correct the path, or let the server's user read it)\n";
    assert_eq!(folder.remarks(false), warning);
    assert_eq!(folder.remarks(true), warning.replace("warning", "error"));
    let folder = folder.with("tibemsd.conf", "users=nobody.conf\nstartup_abort_list=CONFIG_FILES\n");
    assert_eq!(folder.remarks(false), warning.replace("warning", "error"));
    let errors = load(&folder.path("missing.conf"), &[], false).unwrap_err();
    assert_eq!(errors.len(), 1);
}

#[test]
fn a_missing_store_can_stop_the_start() {
    let folder = Folder::new("store = s\nstartup_abort_list = DB_FILES\n");
    assert_eq!(
        folder.remarks(false).replace(&folder.path("").display().to_string(), ""),
        "tibemsd.conf:1: error: store: there is no store: s/meta.db does not exist (mount the folder; for the very \
         first start add --set startup_abort_list=)\n"
    );
    std::fs::create_dir_all(folder.path("s/meta.db")).unwrap();
    folder.clean();
}

#[test]
fn authorization_needs_users() {
    let remarks = Folder::new("authorization = on\n").remarks(false);
    assert_eq!(
        remarks,
        "users.conf: error: users: cannot be read, and authorization is enabled (create it, or set authorization = \
         disabled)\n"
    );
}

#[test]
fn everything_is_reported_at_once() {
    let folder = Folder::new("ft_heartbeat=x\nlisten=y\nwrong=1\n")
        .with("queues.conf", "a..b\nq store=nowhere\n")
        .with("users.conf", "nocolon\n")
        .with("stores.conf", "key=1\n");
    let remarks = folder.remarks(false);
    for expected in [
        "tibemsd.conf:1:",
        "tibemsd.conf:2:",
        "tibemsd.conf:3:",
        "queues.conf:1:",
        "queues.conf:2:",
        "users.conf:1:",
        "stores.conf:1:",
    ] {
        assert!(remarks.contains(expected), "{expected} is missing in\n{remarks}");
    }
}

#[test]
fn binary_and_endless_lines_are_errors() {
    let folder = Folder::new("");
    std::fs::write(folder.path("tibemsd.conf"), b"server = a\nlisten = \xff\xfe\n").unwrap();
    assert_eq!(folder.remarks(false), "tibemsd.conf:2: error: is not UTF-8 text (save the file as UTF-8)\n");
    let folder = Folder::new(&format!("server = a\npassword = {}\n", "x".repeat(256_000)));
    assert_eq!(
        folder.remarks(false),
        "tibemsd.conf:2: error: the line is longer than 256000 bytes (shorten the line)\n"
    );
}
