//! What befalls a pair: one fault after the other, by chance.
//!
//! Owns the choice of faults, of their victims and of their length. `pair` owns the processes.

use crate::pair::{MS, Trial, trace};
use disk::sim::SimDisk;
use reactor::sim::HostId;

impl Trial {
    /// Time until the next fault: often so short that it meets what the last one began, else about as long as the pair
    /// needs to be at peace.
    pub(crate) fn respite(&mut self) -> u64 {
        if self.random.u8(..3) == 0 { self.random.u64(..3 * MS) } else { self.random.u64(..self.activation * 3 / 2) }
    }

    /// One fault, or the end of one.
    pub(crate) fn misfortune(&mut self) {
        let victim = self.victim();
        match self.random.u32(..100) {
            0..34 => self.kill(victim),
            34..50 => self.pause(victim),
            50..60 => self.cut_pair(),
            60..68 => self.cut_client(victim),
            68..76 => self.stop(victim),
            76..84 => {
                self.begin("power_loss");
                self.power_loss();
            }
            84..92 => {
                self.begin("storage_cache_loss");
                self.world.with_disk(SimDisk::lose_cache);
            }
            _ => {}
        }
    }

    /// The active server rather than the other.
    fn victim(&mut self) -> usize {
        match self.active_number() {
            Some(number) if self.random.u8(..3) > 0 => number,
            _ => self.random.usize(..2),
        }
    }

    fn begin(&mut self, fault: &'static str) {
        self.report.count_fault(fault);
        self.last_fault = fault;
        trace(self.is_traced, &self.world, || fault.to_owned());
    }

    fn begin_on(&mut self, number: usize, active: &'static str, standby: &'static str) {
        self.begin(if self.active_number() == Some(number) { active } else { standby });
    }

    fn kill(&mut self, number: usize) {
        self.begin_on(number, "kill_active", "kill_standby");
        self.bury(number);
    }

    /// SIGSTOP, for shorter or longer than the other server is patient; sometimes the other dies meanwhile.
    fn pause(&mut self, number: usize) {
        let Some(host) = self.servers[number] else { return };
        self.begin_on(number, "pause_active", "pause_standby");
        self.world.pause(host);
        let time = self.random.u64(..3 * self.activation);
        self.run_for(time);
        if self.random.u8(..4) == 0 {
            self.kill(1 - number);
            let time = self.respite();
            self.run_for(time);
        }
        self.world.resume(host);
    }

    fn cut_pair(&mut self) {
        let [Some(one), Some(other)] = self.servers else { return };
        self.begin("cut_pair");
        self.cut(one, other);
    }

    fn cut_client(&mut self, number: usize) {
        let Some(server) = self.servers[number] else { return };
        self.begin("cut_client");
        let client = self.clients[self.random.usize(..self.clients.len())];
        self.cut(client, server);
    }

    fn cut(&mut self, one: HostId, other: HostId) {
        self.world.partition(&[one], &[other]);
        let time = self.random.u64(..3 * self.activation);
        self.run_for(time);
        self.world.unite(&[one], &[other]);
    }

    /// SIGTERM; the server ends by itself.
    fn stop(&mut self, number: usize) {
        let Some(host) = self.servers[number] else { return };
        self.begin_on(number, "stop_active", "stop_standby");
        self.world.signal(host, libc::SIGTERM);
    }

    /// All servers lose power; the clients, elsewhere, live on.
    fn power_loss(&mut self) {
        self.bury(0);
        self.bury(1);
        self.world.with_disk(SimDisk::crash);
    }

    /// Power loss of a storage that forgets what it had called durable a while ago.
    pub(crate) fn forgetful_power_loss(&mut self) {
        let before = self.world.with_disk(|disk| disk.fork(self.seed));
        self.run_for(self.activation + 50 * MS);
        self.power_loss();
        self.world.with_disk(|disk| *disk = before);
        self.world.with_disk(SimDisk::crash);
    }
}
