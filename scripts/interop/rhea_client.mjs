// The cases of the interoperability script, spoken by rhea (npm).
//
// Usage: rhea_client.mjs --url amqp://host:port[,amqp://host:port] --user NAME --password WORD [--ca FILE] [--count N] CASE...
//
// Each case prints one line, "ok CASE (detail)" or "FAILED CASE: reason"; the exit code is 1 if any failed.
// The cases and their names are the same as in proton_client.py. rhea itself is found through NODE_PATH.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect as netConnect } from "node:net";
import path from "node:path";
import { connect as tlsConnect } from "node:tls";
import { parseArgs } from "node:util";

const require = createRequire(path.join(process.env.NODE_PATH ?? process.cwd(), "interop.js"));
const rhea = require("rhea");

const SECONDS_MAX = 60; // of one case; a hang is a failure, not a wait

const { values: options, positionals: chosen } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: "string" },
    user: { type: "string" },
    password: { type: "string" },
    ca: { type: "string" },
    count: { type: "string", default: "20000" },
  },
});
const count = Number(options.count);
// What amqps:// needs: the authority to trust.
const trusted = options.ca ? { ca: [readFileSync(options.ca)] } : {};
const connect = options.ca ? tlsConnect : netConnect;

/** Runs one case: a connection of its own, a time limit, and `finish` or `fail` exactly once. */
function runCase(start, connectionOptions = {}) {
  return new Promise((resolve, reject) => {
    const started = process.hrtime.bigint();
    const container = rhea.create_container();
    const urls = options.url.split(",").map((url) => new URL(url));
    let attempt = 0;
    let over = false;
    const one = {
      progress: () => "no progress known",
      attempts: () => attempt,
      finish(detail = "") {
        const seconds = Number(process.hrtime.bigint() - started) / 1e9;
        end(() => resolve(`${detail ? detail + ", " : ""}${seconds.toFixed(1)} s`));
      },
      fail(reason) {
        end(() => reject(new Error(reason)));
      },
    };
    const limit = setTimeout(() => one.fail(`not done after ${SECONDS_MAX} s (${one.progress()})`), SECONDS_MAX * 1000);
    const connection = container.connect({
      username: options.user,
      password: options.password,
      reconnect: true,
      initial_reconnect_delay: 50,
      // The n-th attempt goes to the n-th URL, round and round.
      connection_details() {
        const url = urls[attempt % urls.length];
        attempt += 1;
        const where = { host: url.hostname, port: Number(url.port), servername: url.hostname, ...trusted };
        return { host: where.host, port: where.port, options: where, connect };
      },
      ...connectionOptions,
    });
    function end(report) {
      if (over) return;
      over = true;
      clearTimeout(limit);
      connection.options.reconnect = false;
      connection.close();
      report();
    }
    container.on("connection_error", ({ error }) => {
      // A standby says this; rhea then goes on to the next URL by itself.
      if (error.condition !== "amqp:connection:forced" || urls.length === 1) one.fail(`connection: ${error}`);
    });
    container.on("sender_error", (context) => one.fail(`sender: ${context.sender.error}`));
    container.on("receiver_error", (context) => one.fail(`receiver: ${context.receiver.error}`));
    container.on("protocol_error", (error) => one.fail(`protocol: ${error}`));
    container.on("error", (error) => one.fail(`error: ${error}`));
    start({ one, container, connection });
  });
}

/** A body that only this index has, so that a mix-up cannot pass. */
function bodyOf(index, size) {
  const seed = createHash("sha256").update(String(index)).digest();
  return Buffer.alloc(size, seed);
}

function durable(index, size) {
  return {
    message_id: `m-${index}`,
    durable: true,
    application_properties: { index },
    body: rhea.message.data_section(bodyOf(index, size)),
  };
}

/** Sends `total` durable messages, each confirmed. Gives what was confirmed and rejected. */
async function send(address, total, size = 128) {
  const result = { sent: 0, confirmed: 0, rejected: 0, condition: undefined };
  result.detail = await runCase(({ one, container, connection }) => {
    one.progress = () => `${result.sent} sent, ${result.confirmed} confirmed, ${result.rejected} rejected`;
    const settled = () => {
      if (result.confirmed + result.rejected === total) one.finish(one.progress());
    };
    container.on("sendable", ({ sender }) => {
      while (sender.sendable() && result.sent < total) {
        result.sent += 1;
        sender.send(durable(result.sent, size));
      }
    });
    container.on("accepted", () => {
      result.confirmed += 1;
      settled();
    });
    container.on("rejected", ({ delivery }) => {
      result.rejected += 1;
      result.condition = delivery.remote_state.error?.condition;
      settled();
    });
    container.on("released", () => one.fail("a message was released"));
    container.on("modified", () => one.fail("a message was modified"));
    connection.open_sender(address);
  });
  return result;
}

/** Receives `total` messages in order, each once, and accepts them; `marked`: each flagged as delivered before. */
function receive(address, total, { size = 128, marked = false } = {}) {
  return runCase(({ one, container, connection }) => {
    let received = 0;
    one.progress = () => `${received} of ${total} received`;
    const receiver = connection.open_receiver({ source: address, credit_window: 0, autoaccept: false });
    container.on("receiver_open", () => receiver.add_credit(Math.min(total, 500)));
    container.on("message", ({ message, delivery }) => {
      const reason = objection(message, received + 1, size, marked);
      if (reason) return one.fail(reason);
      received += 1;
      delivery.accept();
      // The answer to the detach says that the acceptances arrived.
      if (received === total) return receiver.close();
      const wanted = Math.min(total - received, 500);
      if (receiver.credit < wanted / 2) receiver.add_credit(wanted - receiver.credit);
    });
    container.on("receiver_close", () => one.finish(one.progress()));
  });
}

function objection(message, expected, size, marked) {
  const index = message.application_properties.index;
  const redelivered = (message.delivery_count ?? 0) > 0 || message.first_acquirer !== true;
  if (index !== expected) return `message ${index} where ${expected} was due`;
  if (message.message_id !== `m-${index}` || !message.durable) {
    return `message ${index}: id ${message.message_id}, durable ${message.durable}`;
  }
  const body = message.body.content ?? message.body;
  if (!bodyOf(index, size).equals(body)) return `message ${index} has another body`;
  if (redelivered !== marked) return `message ${index}: marked as redelivered: ${redelivered}, expected: ${marked}`;
  return undefined;
}

/** `count` durable messages with confirmations, then all of them back. */
async function bulk() {
  const sent = await send("sync.rhea.bulk", count);
  return `${sent.detail}; ${await receive("sync.rhea.bulk", count)}`;
}

/** 1 MiB bodies, many frames each. */
async function large() {
  await send("sync.rhea.large", 20, 1 << 20);
  return receive("sync.rhea.large", 20, { size: 1 << 20 });
}

/** A queue with maxmsgs=10 refuses the eleventh, keeps the ten, and takes more once they are gone. */
async function full() {
  const sending = await send("limited.rhea", 25);
  if (sending.confirmed !== 10 || sending.rejected !== 15) {
    throw new Error(`${sending.detail}, expected 10 confirmed and 15 rejected`);
  }
  if (sending.condition !== "amqp:resource-limit-exceeded") {
    throw new Error(`rejected with ${sending.condition}, expected amqp:resource-limit-exceeded`);
  }
  await receive("limited.rhea", 10);
  const again = await send("limited.rhea", 1);
  if (again.confirmed !== 1) throw new Error("an emptied queue still refuses");
  return sending.detail;
}

/** A name that no line of queues.conf covers. */
function unknown() {
  return runCase(({ one, container, connection }) => {
    container.on("sendable", () => one.fail("credit was given on a link that should be refused"));
    container.removeAllListeners("sender_error");
    container.on("sender_error", ({ sender }) => {
      if (sender.error.condition !== "amqp:not-found") one.fail(`refused with ${sender.error.condition}`);
      else one.finish(sender.error.condition);
    });
    connection.open_sender("nowhere.to.be.found");
  });
}

function badPassword() {
  return runCase(
    ({ one, container }) => {
      container.on("connection_open", () => one.fail("a wrong password was let in"));
      container.removeAllListeners("connection_error");
      container.on("connection_error", ({ error }) => {
        if (error.condition === "amqp:unauthorized-access") one.finish(error.condition);
        else one.fail(`refused with ${error}, expected amqp:unauthorized-access`);
      });
    },
    { password: `${options.password}-wrong`, reconnect: false },
  );
}

/** Drains a queue of `total` messages with more credit than that; the broker must use up the rest. */
function drainQueue(address, total) {
  return runCase(({ one, container, connection }) => {
    let received = 0;
    one.progress = () => `${received} of ${total} received`;
    const receiver = connection.open_receiver({ source: address, credit_window: 0, autoaccept: false });
    container.on("receiver_open", () => {
      receiver.add_credit(50);
      receiver.drain_credit();
    });
    container.on("message", ({ delivery }) => {
      received += 1;
      delivery.accept();
    });
    container.on("receiver_drained", () => {
      if (received !== total) one.fail(`drained after ${received} of ${total} messages`);
      else receiver.close();
    });
    container.on("receiver_close", () => one.finish(one.progress()));
  });
}

async function drain() {
  await send("sync.rhea.drain", 3);
  const three = await drainQueue("sync.rhea.drain", 3);
  await drainQueue("sync.rhea.drain", 0);
  return `${three}; an empty queue too`;
}

/** Takes messages, settles none, detaches; then the queue must hand out all of them again, marked. */
async function detach() {
  await send("sync.rhea.detach", 10);
  await runCase(({ one, container, connection }) => {
    let received = 0;
    const receiver = connection.open_receiver({
      source: "sync.rhea.detach",
      credit_window: 0,
      autoaccept: false,
      autosettle: false,
    });
    container.on("receiver_open", () => receiver.add_credit(10));
    container.on("message", () => {
      received += 1;
      if (received === 10) receiver.close();
    });
    container.on("receiver_close", () => one.finish());
  });
  return receive("sync.rhea.detach", 10, { marked: true });
}

/** Says nothing for three idle time-outs; the connection must live, and still carry a message. */
function idle() {
  return runCase(
    ({ one, container, connection }) => {
      const sender = connection.open_sender({ target: "sync.rhea.idle", autosettle: true });
      container.on("sender_open", () => setTimeout(() => sender.send(durable(1, 128)), 3000));
      container.on("accepted", () => one.finish("alive"));
      container.on("disconnected", () => one.fail("the connection was lost while it was idle"));
    },
    { idle_time_out: 1000, reconnect: false },
  );
}

/** Given the standby's URL first, reaches the active and gets messages confirmed there. */
function reach() {
  return runCase(({ one, container, connection }) => {
    let [sent, confirmed] = [0, 0];
    one.progress = () => `${confirmed} of 100 confirmed, ${one.attempts()} attempts`;
    container.on("sendable", ({ sender }) => {
      while (sender.sendable() && sent < 100) {
        sent += 1;
        sender.send(durable(sent, 128));
      }
    });
    container.on("accepted", () => {
      confirmed += 1;
      if (confirmed < 100) return;
      if (one.attempts() < 2) one.fail("the first URL answered: it is not the standby's");
      else one.finish(one.progress());
    });
    connection.open_sender("sync.rhea.reach");
  });
}

const CASES = {
  bulk,
  large,
  full,
  unknown,
  "bad-password": badPassword,
  drain,
  detach,
  idle,
  send: async () => (await send("sync.rhea.kept", count)).detail,
  "receive-recovered": () => receive("sync.rhea.kept", count, { marked: true }),
  reach,
};

let failed = 0;
for (const name of chosen) {
  if (!CASES[name]) {
    console.error(`no case ${name}; there are ${Object.keys(CASES).join(", ")}`);
    process.exit(254);
  }
  try {
    console.log(`ok     rhea ${name} (${await CASES[name]()})`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED rhea ${name}: ${error.message}`);
  }
}
process.exit(failed ? 1 : 0);
