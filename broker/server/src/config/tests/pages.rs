//! The tables, and the page that is made of them.

use super::super::tables::{find, rows};
use super::*;

/// Every name in section 1 of the EMS documentation that we follow.
const EMS_NAMES: &str = "
    server password users groups topics queues acl_list factories routes bridges transports tibrvcm durables channels
    stores store listen health_check_listen monitor_listen secondary_monitor_listen authorization routing multicast
    tibrv_transports tibftl_transports module_path max_connections handshake_timeout network_thread_count processor_ids
    ft_active ft_heartbeat ft_activation ft_reconnect_timeout ft_ssl_identity ft_ssl_issuer ft_ssl_private_key
    ft_ssl_password ft_ssl_trusted ft_ssl_verify_host ft_ssl_verify_hostname ft_ssl_expected_hostname ft_ssl_ciphers
    ssl_server_identity ssl_server_key ssl_password ssl_server_issuer ssl_server_trusted ssl_server_ciphers ssl_dh_size
    ssl_require_client_cert ssl_require_route_cert_only ssl_use_cert_username ssl_cert_user_specname ssl_crl_path
    ssl_crl_update_interval ssl_auth_only fips140-2
    store_minimum store_minimum_sync store_minimum_async store_minimum_meta store_crc store_truncate
    always_exit_on_disk_error
    max_msg_memory msg_swapping destination_backlog_swapout reserve_memory max_client_msg_size max_stat_memory
    large_destination_memory large_destination_count startup_abort_list
    server_heartbeat_client client_timeout_server_connection client_heartbeat_server server_timeout_client_connection
    server_heartbeat_server server_timeout_server_connection
    npsend_check_mode flow_control flow_control_only_with_active_consumer compliant_queue_ack
    disconnect_non_acking_consumers track_message_ids track_correlation_ids statistics server_rate_interval rate_interval
    detailed_statistics statistics_cleanup_interval logfile logfile_max_size logfile_max_count log_trace console_trace
    client_trace";

const EXTENSIONS: &str =
    "client_urls debug_sync_delay segment_size async_flush_interval async_unflushed_max ft_takeover standby_tailing
    max_message_size store_defrag_rate allow_plain_without_tls";

#[test]
fn every_name_is_known() {
    for name in EMS_NAMES.split_whitespace().chain(EXTENSIONS.split_whitespace()) {
        assert!(find(SERVER, name).is_some(), "{name}");
    }
}

#[test]
fn rows_are_sound() {
    for table in [SERVER, QUEUE, STORE] {
        let mut names = std::collections::BTreeSet::new();
        for row in rows(table) {
            for name in std::iter::once(&row.name).chain(row.aliases) {
                assert!(names.insert(*name), "{name} stands twice");
            }
            if !row.default.is_empty() && row.range().is_none_or(|range| !range.starts_with("0, or")) {
                assert_eq!(row.check(row.default), Ok(()), "the default of {}", row.name);
            }
            assert!(!row.differs_from_default(row.default), "{}", row.name);
            assert!(row.help.ends_with('.'), "the help of {} is a sentence", row.name);
        }
    }
}

#[test]
fn parameters_page_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/PARAMETERS.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, parameters_help()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(page == parameters_help(), "docs/PARAMETERS.md is old: BLESS=1 cargo test -p broker parameters_page");
}
