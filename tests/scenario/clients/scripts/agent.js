// MQTT.js, doing what its standard input says: an order a line as JSON, an answer a line.
// tests/scenario/clients/agent.rs says which orders there are; agent.py understands the same.
"use strict";
const crypto = require("crypto");
const fs = require("fs");
const readline = require("readline");
const mqtt = require("mqtt");

const PATIENCE_MS = 60000;
const port = Number(process.argv[2]);
const digest = (payload) => crypto.createHash("sha256").update(payload).digest("hex");

// What comes when it comes: `take` waits for the next.
class Queue {
  constructor() { this.items = []; this.waiting = []; }
  put(item) { const next = this.waiting.shift(); if (next) next(item); else this.items.push(item); }
  take(wait) {
    if (this.items.length) return Promise.resolve(this.items.shift());
    return new Promise((found, none) => {
      const timer = setTimeout(() => { this.waiting = this.waiting.filter((w) => w !== next); none(new Error("nothing came")); }, wait);
      const next = (item) => { clearTimeout(timer); found(item); };
      this.waiting.push(next);
    });
  }
}

let client, version, messages, ended, reason;

function payloadOf(order) {
  const payload = Buffer.from(order.payload ?? "");
  return order.size > payload.length ? Buffer.concat([payload, Buffer.alloc(order.size - payload.length, ".")]) : payload;
}

function publishOptions(order) {
  const options = { qos: order.qos ?? 0, retain: order.retain ?? false };
  if (version === 5) {
    options.properties = {};
    if (order.expiry !== undefined) options.properties.messageExpiryInterval = order.expiry;
    if (order.response) options.properties.responseTopic = order.response;
    if (order.correlation) options.properties.correlationData = Buffer.from(order.correlation);
    if (order.alias) options.properties.topicAlias = order.alias;
  }
  return options;
}

function shown([topic, packet]) {
  const found = {
    topic, text: packet.payload.subarray(0, 40).toString("latin1"), size: packet.payload.length,
    sha256: digest(packet.payload), qos: packet.qos, retain: packet.retain, dup: packet.dup,
  };
  if (version === 5) {
    found.expiry = packet.properties?.messageExpiryInterval ?? null;
    found.response = packet.properties?.responseTopic ?? null;
    found.correlation = packet.properties?.correlationData?.toString() ?? null;
  }
  return found;
}

const orders = {
  async connect(order) {
    version = order.version;
    const options = {
      host: "127.0.0.1", port, clientId: order.id, protocolVersion: version, clean: order.clean ?? true,
      keepalive: order.keepalive ?? 60, reconnectPeriod: 0, resubscribe: false,
    };
    if (order.way) {
      const { scheme, port, ca, user, password } = order.way;
      Object.assign(options, { protocol: scheme, port, username: user, password });
      if (scheme.startsWith("ws")) options.path = "/mqtt";
      if (ca) options.ca = fs.readFileSync(ca);
      if (scheme === "wss") options.wsOptions = { ca: options.ca };
    }
    if (version === 5) {
      options.properties = {};
      if (order.session_expiry !== undefined) options.properties.sessionExpiryInterval = order.session_expiry;
      if (order.alias_maximum) options.properties.topicAliasMaximum = order.alias_maximum;
      if (order.receive_maximum) options.properties.receiveMaximum = order.receive_maximum;
      if (order.auto_alias) options.autoAssignTopicAlias = true;
    }
    if (order.will) {
      options.will = { topic: order.will.topic, payload: order.will.payload, qos: order.will.qos, retain: order.will.retain };
      if (version === 5 && order.will.delay) options.will.properties = { willDelayInterval: order.will.delay };
    }
    messages = new Queue();
    ended = new Queue();
    reason = 0;
    const [mine, over] = [messages, ended];
    client = mqtt.connect(options);
    client.on("error", (trouble) => { reason = trouble.code ?? -1; });
    client.on("disconnect", (packet) => { reason = packet.reasonCode; });
    client.on("close", () => over.put(reason));
    // A message that is not handled is not acknowledged.
    client.on("message", (topic, _payload, packet) => mine.put([topic, packet]));
    if (order.hold) client.handleMessage = () => {};
    const connected = new Queue();
    client.on("connect", (connack) => connected.put(connack));
    const connack = await connected.take(PATIENCE_MS);
    return { code: connack.reasonCode ?? connack.returnCode, present: connack.sessionPresent };
  },
  async subscribe(order) {
    const granted = await client.subscribeAsync(order.filter, { qos: order.qos }).catch((refused) => [{ qos: refused.code ?? 128 }]);
    return { codes: granted.map((one) => one.qos) };
  },
  async unsubscribe(order) {
    await client.unsubscribeAsync(order.filter);
    return {};
  },
  async publish(order) {
    const payload = payloadOf(order);
    await client.publishAsync(order.topic, payload, publishOptions(order));
    return { sha256: digest(payload) };
  },
  async publish_many(order) {
    const many = [];
    for (let n = 0; n < order.count; n++) {
      const payload = payloadOf({ ...order, payload: `${n} ` });
      many.push(client.publishAsync(order.topic.replace("{n}", n), payload, publishOptions(order)));
    }
    await Promise.all(many);
    return {};
  },
  async messages(order) {
    const found = [];
    try {
      while (found.length < order.count) found.push(await messages.take(order.wait_ms));
    } catch { /* as many as there are */ }
    return { messages: found.map(shown) };
  },
  async wait_end() {
    return { code: await ended.take(PATIENCE_MS) };
  },
  async disconnect() {
    await client.endAsync();
    return {};
  },
  async drop() {
    client.stream.destroy();
    return {};
  },
};

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    const answer = await orders[order.do](order).catch((trouble) => ({ trouble: String(trouble) }));
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
  process.exit(0);
})();
