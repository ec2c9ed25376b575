//! One body of tests, run on both backends: what holds for the simulated reactor must hold for the kernel's.
//!
//! Owns the list of tests. The simulated arm runs each with several seeds; a failing seed is in the panic's message.

mod disk_files;
mod harness;
mod network;
mod threads;
mod time;

/// Each body becomes four tests: `uring::name`, `sim::name`, and the kernel's once more with buffered files and once
/// with queues and buffers so small that each of them is exhausted all the time.
macro_rules! on_both_backends {
    ($($module:ident :: $name:ident),* $(,)?) => {
        mod uring {
            $(#[test] fn $name() { crate::$module::$name(&mut crate::harness::Harness::uring(Default::default())); })*
        }
        mod buffered {
            $(#[test] fn $name() {
                let config = reactor::Config { direct_io: false, ..Default::default() };
                crate::$module::$name(&mut crate::harness::Harness::uring(config));
            })*
        }
        mod cramped {
            $(#[test] fn $name() {
                let config =
                    reactor::Config { entries: 2, recv_buffers: 2, recv_buffer_size: 4096, ..Default::default() };
                crate::$module::$name(&mut crate::harness::Harness::uring(config));
            })*
        }
        mod sim {
            $(#[test] fn $name() {
                for seed in 0..8 {
                    crate::$module::$name(&mut crate::harness::Harness::sim(seed));
                }
            })*
        }
    };
}

on_both_backends! {
    network::listening_gives_the_real_port_and_takes_it,
    network::an_echo_returns_every_byte_in_order,
    network::many_chunks_arrive_whole_and_are_sent_once,
    network::a_send_of_nothing_is_sent,
    network::a_finished_side_reads_on,
    network::finish_waits_for_the_send_in_flight,
    network::close_ends_the_peer_and_silences_the_socket,
    network::ids_are_not_reused,
    network::nobody_listening_is_refused,
    network::a_closed_listener_accepts_no_more,
    network::sending_to_a_peer_that_is_gone_fails_once,
    network::a_paused_socket_holds_the_sender_back,
    network::pausing_and_resuming_loses_nothing,
    network::two_sends_at_once_panic,
    network::what_is_done_to_a_closed_socket_has_no_effect,
    time::timers_fire_in_order_and_not_early,
    time::the_earliest_deadline_of_a_token_wins,
    time::a_timer_in_the_past_fires_at_once,
    threads::a_wake_up_is_reported_once,
    threads::another_thread_ends_the_wait,
    threads::workers_give_all_results,
    threads::workers_refuse_what_is_too_much,
    threads::workers_end_with_what_waits_undone,
    disk_files::what_was_written_is_read_back,
    disk_files::reads_end_at_the_end_of_the_file,
    disk_files::a_new_length_reads_as_zeros,
    disk_files::what_is_allocated_reads_as_zeros_and_keeps_what_there_was,
    disk_files::names_are_created_once,
    disk_files::links_are_made_once_and_unlinked,
    disk_files::directories_are_made_with_their_parents_and_listed,
    disk_files::what_is_not_there_is_not_found,
    disk_files::a_lock_has_one_holder,
    disk_files::misaligned_requests_are_refused,
    disk_files::files_that_are_not_open_are_refused,
    disk_files::many_writes_at_once_all_land,
    disk_files::the_sync_delay_holds_back_flushes_only,
}
