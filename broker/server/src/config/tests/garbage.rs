//! Damaged files give remarks, never a panic.

use super::*;

const FILES: [(&str, &str); 6] = [
    (
        "tibemsd.conf",
        "server=PAIR\npassword=secret\nlisten=tcp://127.0.0.1:7222\nft_active=tcp://other:7224\nft_heartbeat=0.1\nft_activation=250ms\n\
         client_urls=amqp://a:1,amqp://b:2\nstore_minimum=8MB\nstartup_abort_list=SSL\nauthorization=on\n",
    ),
    (
        "queues.conf",
        "a.> store=$sys.failsafe,maxmsgs=5,prefetch=none\nb.*.c exclusive,expiration=5min,maxbytes=1GB\n>\n",
    ),
    ("users.conf", "admin::Administrator\nPAIR:secret:\"the pair\"\n"),
    ("groups.conf", "$admin:\"all: of them\"\n  admin\nothers:\n PAIR\n"),
    (
        "acl.conf",
        "QUEUE=a.> GROUP=others PERM=send,all\nADMIN USER=PAIR PERM=view-all\nTOPIC=\"t\" USER=admin PERM=durable\n",
    ),
    ("stores.conf", "[$sys.failsafe]\ntype=file\nmode=sync\n[mine]\nfile=mine.db\nfile_minimum=16MB\n"),
];

/// Letters that mean something somewhere, so that damage gets past the first check.
const TELLING: &[u8] = b"=,:;#[]\"$.*> \n\r\t\0/-0159eKMx\xff\xc3\xa9";

#[test]
fn damaged_files_never_panic() {
    let folder = Folder::new("");
    let mut random = fastrand::Rng::with_seed(20);
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..1500 {
        let damaged = random.usize(..FILES.len());
        for (index, (name, text)) in FILES.into_iter().enumerate() {
            let mut bytes = text.as_bytes().to_vec();
            let damage = if index == damaged { random.usize(1..4) } else { 0 };
            for _ in 0..damage {
                let at = random.usize(..bytes.len());
                match random.u8(..3) {
                    0 => bytes[at] = TELLING[random.usize(..TELLING.len())],
                    1 => bytes.insert(at, TELLING[random.usize(..TELLING.len())]),
                    _ => drop(bytes.drain(at..(at + random.usize(..9)).min(bytes.len()))),
                }
                bytes.push(b'\n');
            }
            std::fs::write(folder.path(name), &bytes).unwrap();
        }
        match folder.load(random.bool()) {
            Ok(_) => taken += 1,
            Err(remarks) => {
                assert!(remarks.iter().all(|remark| !remark.message.is_empty() && !remark.remedy.is_empty()));
                refused += 1;
            }
        }
    }
    assert!(refused > 100 && taken > 100, "the damage is worth the test: {refused} refused, {taken} taken");
}
