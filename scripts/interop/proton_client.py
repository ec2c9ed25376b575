"""The cases of the interoperability script, spoken by Apache Qpid Proton.

Usage: proton_client.py --url amqp://host:port[,amqp://host:port] --user NAME --password WORD [--ca FILE] [--count N] CASE...

Each case prints one line, "ok CASE (detail)" or "FAILED CASE: reason"; the exit code is 1 if any failed.
The cases and their names are the same as in rhea_client.mjs.
"""

import argparse
import hashlib
import sys
import time

from proton import Message, SSLDomain
from proton.handlers import MessagingHandler
from proton.reactor import Container

SECONDS_MAX = 60  # of one case; a hang is a failure, not a wait


class Failure(Exception):
    """What went wrong, for people."""


class Case(MessagingHandler):
    """One connection, one time limit. A case overrides the callbacks that it needs and calls `finish`."""

    def __init__(self, options):
        super().__init__(prefetch=0, auto_accept=False, auto_settle=True)
        self.options = options
        self.failure = None
        self.detail = ""
        self.finished = False
        self.connect_arguments = {}

    def run(self):
        self.container = Container(self)
        self.container.run()
        if self.failure:
            raise Failure(self.failure)
        if not self.finished:
            raise Failure("the connection ended before the case did")
        return self.detail

    def on_start(self, event):
        self.started = time.monotonic()
        self.timer = event.container.schedule(SECONDS_MAX, self)
        self.connection = event.container.connect(urls=self.options.url.split(","), **self.arguments())
        self.begin(event)

    def arguments(self):
        """How every connection of the case is made."""
        return {
            "user": self.options.user,
            "password": self.options.password,
            "allowed_mechs": "PLAIN",
            "allow_insecure_mechs": True,
            **self.secured(),
            **self.connect_arguments,
        }

    def secured(self):
        """What amqps:// needs: the authority to trust, and the name in the certificate to be the URL's."""
        if not self.options.ca:
            return {}
        domain = SSLDomain(SSLDomain.MODE_CLIENT)
        domain.set_trusted_ca_db(self.options.ca)
        domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
        return {"ssl_domain": domain}

    def begin(self, event):
        raise NotImplementedError

    def on_timer_task(self, event):
        self.fail(f"not done after {SECONDS_MAX} s ({self.progress()})")

    def progress(self):
        return "no progress known"

    def finish(self, detail=""):
        if not self.finished:
            self.finished = True
            self.detail = f"{detail}, {time.monotonic() - self.started:.1f} s".lstrip(", ")
            self.stop()

    def fail(self, reason):
        if not self.finished and not self.failure:
            self.failure = reason
            self.stop()

    def stop(self):
        self.timer.cancel()
        self.connection.close()
        self.container.stop()

    def on_transport_error(self, event):
        self.fail(f"transport: {event.transport.condition}")

    def on_connection_error(self, event):
        self.fail(f"connection: {event.connection.remote_condition}")

    def on_link_error(self, event):
        self.fail(f"link: {event.link.remote_condition}")


def body_of(index, size):
    """A body that only this index has, so that a mix-up cannot pass."""
    seed = hashlib.sha256(str(index).encode()).digest()
    return (seed * (size // len(seed) + 1))[:size]


def durable(index, size):
    return Message(id=f"m-{index}", durable=True, properties={"index": index}, body=body_of(index, size))


class Send(Case):
    """Sends `count` durable messages, each confirmed."""

    def __init__(self, options, address, count, size=128):
        super().__init__(options)
        self.address, self.count, self.size = address, count, size
        self.sent, self.confirmed, self.rejected = 0, 0, 0
        self.condition = None

    def begin(self, event):
        self.sender = event.container.create_sender(self.connection, self.address)

    def progress(self):
        return f"{self.sent} sent, {self.confirmed} confirmed, {self.rejected} rejected"

    def on_sendable(self, event):
        while event.sender.credit and self.sent < self.count:
            self.sent += 1
            event.sender.send(durable(self.sent, self.size), tag=str(self.sent))

    def on_accepted(self, event):
        self.confirmed += 1
        self.settle_up(event)

    def on_rejected(self, event):
        self.rejected += 1
        self.condition = event.delivery.remote.condition
        self.settle_up(event)

    def on_released(self, event):
        self.fail("a message was released")

    def on_modified(self, event):
        self.fail("a message was modified")

    def settle_up(self, event):
        if self.confirmed + self.rejected == self.count:
            self.finish(self.progress())


class Receive(Case):
    """Receives `count` messages in order, each once, and accepts them.

    `first` is the index of the first one. `marked` says whether each must be flagged as delivered before.
    """

    def __init__(self, options, address, count, size=128, first=1, marked=False):
        super().__init__(options)
        self.address, self.count, self.size, self.first, self.marked = address, count, size, first, marked
        self.received = 0

    def begin(self, event):
        self.receiver = event.container.create_receiver(self.connection, self.address)

    def progress(self):
        return f"{self.received} of {self.count} received"

    def on_link_opened(self, event):
        self.receiver.flow(min(self.count, 500))

    def on_message(self, event):
        reason = self.objection(event.message)
        if reason:
            return self.fail(reason)
        self.received += 1
        self.accept(event.delivery)
        if self.received == self.count:
            return self.leave(event)
        wanted = min(self.count - self.received, 500)
        if self.receiver.credit < wanted / 2:
            self.receiver.flow(wanted - self.receiver.credit)

    def objection(self, message):
        expected = self.first + self.received
        index = message.properties["index"]
        redelivered = message.delivery_count > 0 or not message.first_acquirer
        if index != expected:
            return f"message {index} where {expected} was due"
        if message.id != f"m-{index}" or not message.durable:
            return f"message {index}: id {message.id!r}, durable {message.durable}"
        if bytes(message.body) != body_of(index, self.size):
            return f"message {index} has another body"
        if redelivered != self.marked:
            return f"message {index}: marked as redelivered: {redelivered}, expected: {self.marked}"
        return None

    def leave(self, event):
        """Detaches and waits for the answer, so that the acceptances arrived."""
        self.receiver.close()

    def on_link_closed(self, event):
        self.finish(self.progress())


class Drain(Case):
    """Drains a queue of `count` messages with more credit than that; the broker must use up the rest."""

    def __init__(self, options, address, count):
        super().__init__(options)
        self.address, self.count, self.received = address, count, 0

    def begin(self, event):
        self.receiver = event.container.create_receiver(self.connection, self.address)

    def progress(self):
        return f"{self.received} of {self.count} received, credit {self.receiver.credit}"

    def on_link_opened(self, event):
        self.receiver.drain(50)

    def on_message(self, event):
        self.received += 1
        self.accept(event.delivery)

    def on_link_flow(self, event):
        if event.link.is_receiver and event.link.credit == 0:
            if self.received != self.count:
                self.fail(f"drained after {self.received} of {self.count} messages")
            self.receiver.close()

    def on_link_closed(self, event):
        self.finish(self.progress())


class Abandon(Case):
    """Takes `count` messages, settles none, detaches; then the same queue must hand out all of them again, marked."""

    def __init__(self, options, address, count):
        super().__init__(options)
        self.address, self.count, self.received = address, count, 0

    def begin(self, event):
        self.receiver = event.container.create_receiver(self.connection, self.address)

    def progress(self):
        return f"{self.received} of {self.count} taken"

    def on_link_opened(self, event):
        self.receiver.flow(self.count)

    def on_message(self, event):
        self.received += 1
        if self.received == self.count:
            self.receiver.close()

    def on_link_closed(self, event):
        self.finish(self.progress())


class Refused(Case):
    """Expects that the sender to `address` is refused with `condition`."""

    def __init__(self, options, address, condition):
        super().__init__(options)
        self.address, self.condition = address, condition

    def begin(self, event):
        self.sender = event.container.create_sender(self.connection, self.address)

    def on_sendable(self, event):
        self.fail("credit was given on a link that should be refused")

    def on_link_error(self, event):
        name = event.link.remote_condition.name
        if name != self.condition:
            self.fail(f"refused with {name}, expected {self.condition}")
        elif event.link.remote_target.address:
            self.fail("refused, but the attach had a target: a null one says that no link was made")
        else:
            self.finish(name)


class BadPassword(Case):
    """Expects that SASL refuses a wrong password."""

    def __init__(self, options):
        wrong = argparse.Namespace(**vars(options))
        wrong.password = options.password + "-wrong"
        super().__init__(wrong)
        self.connect_arguments = {"reconnect": False}

    def begin(self, event):
        pass

    def on_connection_opened(self, event):
        self.fail("a wrong password was let in")

    def on_transport_error(self, event):
        name = event.transport.condition.name
        if name == "amqp:unauthorized-access":
            self.finish(name)
        else:
            self.fail(f"refused with {event.transport.condition}, expected amqp:unauthorized-access")


class Idle(Case):
    """Says nothing for three idle time-outs; the connection must live, and still carry a message."""

    HEARTBEAT_S = 1.0

    def __init__(self, options, address):
        super().__init__(options)
        self.address = address
        self.connect_arguments = {"heartbeat": self.HEARTBEAT_S, "reconnect": False}
        self.rested = False

    def begin(self, event):
        self.sender = event.container.create_sender(self.connection, self.address)

    def on_link_opened(self, event):
        event.container.schedule(3 * self.HEARTBEAT_S, Wake(self))

    def wake(self):
        self.rested = True
        self.sender.send(durable(1, 128))

    def on_accepted(self, event):
        self.finish("alive")

    def on_disconnected(self, event):
        if not self.finished:
            self.fail("the connection was lost while it was idle")


class Wake(MessagingHandler):
    """Calls `wake` of a case after a rest."""

    def __init__(self, case):
        super().__init__()
        self.case = case

    def on_timer_task(self, event):
        self.case.wake()


class Reach(Send):
    """Given the standby's URL first, reaches the active and gets messages confirmed there.

    Proton's own list of URLs does not serve here: after any `open` of a peer it starts again at the first one, and
    after `amqp:connection:forced` it stops reading, so that it does not see the end of the socket either (0.40). An
    application follows the name of the active in the refusal, as below, or takes the next URL itself.
    """

    def begin(self, event):
        super().begin(event)
        self.refusals = 0

    def on_connection_remote_close(self, event):
        condition = event.connection.remote_condition
        if self.finished or not condition or condition.name != "amqp:connection:forced":
            return
        self.refusals += 1
        active = f"amqp://{condition.info['network-host']}:{int(condition.info['port'])}"
        if not event.connection.remote_properties.get("amqp:connection-establishment-failed"):
            return self.fail("the refusing open does not say amqp:connection-establishment-failed")
        if active not in self.options.url.split(","):
            return self.fail(f"the refusal names {active}, which is not in the list")
        event.connection.close()
        self.connection = event.container.connect(active, **self.arguments())
        self.sender = event.container.create_sender(self.connection, self.address)

    def progress(self):
        return f"{super().progress()}, {self.refusals} refusals on the way"


def bulk(options):
    """`count` durable messages with confirmations, then all of them back."""
    address = "sync.proton.bulk"
    sent = Send(options, address, options.count).run()
    return sent + "; " + Receive(options, address, options.count).run()


def send_only(options):
    return Send(options, "sync.proton.kept", options.count).run()


def receive_recovered(options):
    return Receive(options, "sync.proton.kept", options.count, marked=True).run()


def large(options):
    """1 MiB bodies, many frames each."""
    Send(options, "sync.proton.large", 20, size=1 << 20).run()
    return Receive(options, "sync.proton.large", 20, size=1 << 20).run()


def full(options):
    """A queue with maxmsgs=10 refuses the eleventh, keeps the ten, and takes more once they are gone."""
    sending = Send(options, "limited.proton", 25)
    sending.run()
    if (sending.confirmed, sending.rejected) != (10, 15):
        raise Failure(f"{sending.progress()}, expected 10 confirmed and 15 rejected")
    if sending.condition is None or sending.condition.name != "amqp:resource-limit-exceeded":
        raise Failure(f"rejected with {sending.condition}, expected amqp:resource-limit-exceeded")
    Receive(options, "limited.proton", 10).run()
    again = Send(options, "limited.proton", 1)
    again.run()
    if again.confirmed != 1:
        raise Failure("an emptied queue still refuses")
    return sending.progress()


def unknown(options):
    """A name that no line of queues.conf covers."""
    return Refused(options, "nowhere.to.be.found", "amqp:not-found").run()


def drain(options):
    Send(options, "sync.proton.drain", 3).run()
    three = Drain(options, "sync.proton.drain", 3).run()
    Drain(options, "sync.proton.drain", 0).run()
    return three + "; an empty queue too"


def detach(options):
    Send(options, "sync.proton.detach", 10).run()
    Abandon(options, "sync.proton.detach", 10).run()
    return Receive(options, "sync.proton.detach", 10, marked=True).run()


def idle(options):
    return Idle(options, "sync.proton.idle").run()


def reach(options):
    reaching = Reach(options, "sync.proton.reach", 100)
    detail = reaching.run()
    if reaching.refusals == 0:
        raise Failure("the first URL answered: it is not the standby's")
    return detail


CASES = {
    "bulk": bulk,
    "large": large,
    "full": full,
    "unknown": unknown,
    "bad-password": lambda options: BadPassword(options).run(),
    "drain": drain,
    "detach": detach,
    "idle": idle,
    "send": send_only,
    "receive-recovered": receive_recovered,
    "reach": reach,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--ca")
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("cases", nargs="+", choices=CASES, metavar="CASE")
    options = parser.parse_args()
    failed = 0
    for name in options.cases:
        try:
            print(f"ok     proton {name} ({CASES[name](options)})", flush=True)
        except Failure as failure:
            failed += 1
            print(f"FAILED proton {name}: {failure}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
