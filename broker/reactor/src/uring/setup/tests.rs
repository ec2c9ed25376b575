//! Refusals: what people are told, and that a real one is recognised.

use super::*;
use std::mem::offset_of;

fn host(disabled: u32) -> Host {
    Host { release: "5.10.0-test".into(), disabled, memlock_bytes: 65_536 }
}

#[test]
fn each_refusal_names_what_is_missing_and_a_remedy() {
    let check = |errno, stage, disabled, words: &[&str]| {
        let message = explain(io::Error::from_raw_os_error(errno), stage, &host(disabled)).to_string();
        for word in words {
            assert!(message.contains(word), "{message:?} lacks {word:?}");
        }
    };
    check(libc::ENOSYS, "io_uring_setup", 0, &["ENOSYS", "5.10.0-test", "6.1", "seccomp"]);
    check(libc::EPERM, "io_uring_setup", 2, &["io_uring_disabled is 2", "sysctl -w"]);
    check(libc::EPERM, "io_uring_setup", 1, &["io_uring_disabled is 1", "io_uring_group"]);
    check(libc::EPERM, "io_uring_setup", 0, &["EPERM", "seccomp", "profile"]);
    check(libc::EINVAL, "io_uring_setup", 0, &["DEFER_TASKRUN", "5.10.0-test", "6.1"]);
    check(libc::EINVAL, "IORING_REGISTER_PBUF_RING", 0, &["IORING_REGISTER_PBUF_RING", "6.1"]);
    check(libc::ENOMEM, "io_uring_setup", 0, &["65536", "ulimit -l"]);
    check(libc::EMFILE, "io_uring_setup", 0, &["io_uring_setup", "os error 24"]);
}

#[test]
fn sizes_out_of_range_are_refused_by_name() {
    let check = |config: Config, parameter: &str| {
        let message = set_up(&config).err().expect("must be refused").to_string();
        assert!(message.contains(parameter), "{message}");
    };
    let good = Config::default();
    check(Config { entries: 0, ..good.clone() }, "entries is 0");
    check(Config { entries: 40_000, ..good.clone() }, "entries is 40000");
    check(Config { recv_buffers: 3, ..good.clone() }, "recv_buffers is 3");
    check(Config { recv_buffer_size: 1, ..good.clone() }, "recv_buffer_size is 1");
}

#[test]
fn a_missing_operation_is_named() {
    let error = check_operations(|code| code != opcode::LinkAt::CODE).expect_err("must be refused");
    assert!(error.to_string().contains("IORING_OP_LINKAT"), "{error}");
    assert!(check_operations(|_| true).is_ok());
}

/// Lets the calling thread, and no other, get `errno` from io_uring_setup, as the profile of a container does.
fn forbid_io_uring(errno: i32) {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset_of!(libc::seccomp_data, nr) as u32),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: both calls concern only this thread; the program outlives the call, which copies it.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64)
            + libc::prctl(libc::PR_SET_SECCOMP, u64::from(libc::SECCOMP_MODE_FILTER), &raw const program)
    };
    assert_eq!(refused, 0, "{}", io::Error::last_os_error());
}

#[test]
fn a_container_that_refuses_io_uring_gets_told_so() {
    for (errno, words) in [(libc::EPERM, "EPERM"), (libc::ENOSYS, "ENOSYS")] {
        let message = std::thread::spawn(move || {
            forbid_io_uring(errno);
            crate::Reactor::uring(Config::default()).expect_err("must be refused").to_string()
        });
        let message = message.join().expect("the thread must not panic");
        assert!(message.contains(words) && message.contains("seccomp"), "{message}");
    }
}
