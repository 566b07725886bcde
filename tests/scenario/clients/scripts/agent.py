"""Eclipse paho, 1.6 or 2, doing what its standard input says: an order a line as JSON, an answer a line.

tests/scenario/clients/agent.rs says which orders there are; agent.js understands the same.
"""
import hashlib
import json
import queue
import socket
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PAHO_2 = hasattr(mqtt, "CallbackAPIVersion")
PATIENCE_S = 60

NAMES = {
    "expiry": "MessageExpiryInterval",
    "response": "ResponseTopic",
    "correlation": "CorrelationData",
    "alias": "TopicAlias",
    "delay": "WillDelayInterval",
    "session_expiry": "SessionExpiryInterval",
    "alias_maximum": "TopicAliasMaximum",
    "receive_maximum": "ReceiveMaximum",
}


def properties(packet, order):
    found = Properties(packet)
    for key, name in NAMES.items():
        if order.get(key) is not None:
            value = order[key]
            setattr(found, name, value.encode() if key == "correlation" else value)
    return found


def code(reason):
    return getattr(reason, "value", reason)


def payload_of(order):
    payload = order.get("payload", "").encode()
    return payload.ljust(order.get("size", 0), b".")


def digest(payload):
    return hashlib.sha256(payload).hexdigest()


class Agent:
    def __init__(self, port):
        self.port = port
        self.client = None

    def connect(self, order):
        self.version = order["version"]
        protocol = mqtt.MQTTv5 if self.version == 5 else mqtt.MQTTv311
        words = {"client_id": order["id"], "protocol": protocol}
        if self.version != 5:
            words["clean_session"] = order.get("clean", True)
        if PAHO_2:
            words["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION2
            words["manual_ack"] = order.get("hold", False)
        way = order.get("way", {"scheme": "mqtt", "port": self.port})
        if way["scheme"].startswith("ws"):
            words["transport"] = "websockets"
        self.client = client = mqtt.Client(**words)
        if "ca" in way:
            client.tls_set(ca_certs=way["ca"])
        if "user" in way:
            client.username_pw_set(way["user"], way["password"])
        self.hold = order.get("hold", False)
        self.connected, self.answers = queue.Queue(), queue.Queue()
        self.messages, self.ended = queue.Queue(), queue.Queue()
        client.on_connect = self.on_connect
        client.on_disconnect = self.on_disconnect
        client.on_message = self.listener(self.messages)
        client.on_subscribe = lambda *heard: self.answers.put(heard[3])
        client.on_unsubscribe = lambda *heard: self.answers.put(None)
        more = {}
        if self.version == 5:
            more = {"clean_start": order.get("clean", True), "properties": properties(PacketTypes.CONNECT, order)}
        if will := order.get("will"):
            words = {"qos": will["qos"], "retain": will["retain"]}
            if self.version == 5:
                words["properties"] = properties(PacketTypes.WILLMESSAGE, will)
            client.will_set(will["topic"], will["payload"], **words)
        client.connect("127.0.0.1", way["port"], keepalive=order.get("keepalive", 60), **more)
        client.loop_start()
        flags, reason = self.connected.get(timeout=PATIENCE_S)
        present = flags.session_present if PAHO_2 else bool(flags["session present"])
        return {"code": code(reason), "present": present}

    def on_connect(self, _client, _data, flags, reason, *_):
        self.connected.put((flags, reason))

    def on_disconnect(self, client, _data, *heard):
        reason = heard[1] if PAHO_2 else heard[0]
        self.ended.put(code(reason))
        client.disconnect()  # such that it does not come back by itself

    def listener(self, messages):
        """For this connection only: what an earlier one still hears is not for the next."""
        def on_message(_client, _data, message):
            messages.put(message)
            if self.hold and not PAHO_2:
                threading.Event().wait()  # 1.6 acknowledges when this returns
        return on_message

    def subscribe(self, order):
        qos = order["qos"]
        self.client.subscribe(order["filter"], qos)
        return {"codes": [code(reason) for reason in self.answers.get(timeout=PATIENCE_S)]}

    def unsubscribe(self, order):
        self.client.unsubscribe(order["filter"])
        self.answers.get(timeout=PATIENCE_S)
        return {}

    def start(self, order):
        payload = payload_of(order)
        words = {"qos": order.get("qos", 0), "retain": order.get("retain", False)}
        if self.version == 5:
            words["properties"] = properties(PacketTypes.PUBLISH, order)
        return payload, self.client.publish(order["topic"], payload, **words)

    def publish(self, order):
        payload, sent = self.start(order)
        sent.wait_for_publish(PATIENCE_S)
        assert sent.is_published(), "no acknowledgement"
        return {"sha256": digest(payload)}

    def publish_many(self, order):
        many = []
        for n in range(order["count"]):
            topic = order["topic"].replace("{n}", str(n))
            many.append(self.start({**order, "topic": topic, "payload": f"{n} "})[1])
        for sent in many:
            sent.wait_for_publish(PATIENCE_S)
            assert sent.is_published(), "no acknowledgement"
        return {}

    def messages_(self, order):
        found = []
        try:
            while len(found) < order["count"]:
                found.append(self.messages.get(timeout=order["wait_ms"] / 1000))
        except queue.Empty:
            pass
        return {"messages": [self.shown(message) for message in found]}

    def shown(self, message):
        shown = {
            "topic": message.topic,
            "text": message.payload[:40].decode("latin-1"),
            "size": len(message.payload),
            "sha256": digest(message.payload),
            "qos": message.qos,
            "retain": bool(message.retain),
            "dup": bool(message.dup),
        }
        if self.version == 5:
            shown["expiry"] = getattr(message.properties, "MessageExpiryInterval", None)
            shown["response"] = getattr(message.properties, "ResponseTopic", None)
            correlation = getattr(message.properties, "CorrelationData", None)
            shown["correlation"] = correlation and correlation.decode()
        return shown

    def wait_end(self, _order):
        return {"code": self.ended.get(timeout=PATIENCE_S)}

    def disconnect(self, _order):
        self.client.disconnect()
        self.ended.get(timeout=PATIENCE_S)
        return {}

    def drop(self, _order):
        held = self.client.socket()
        if held is not None:
            self.client.on_disconnect = None
            self.client._thread_terminate = True
            held.shutdown(socket.SHUT_RDWR)
        return {}


def main():
    agent = Agent(int(sys.argv[1]))
    for line in sys.stdin:
        order = json.loads(line)
        todo = {"messages": agent.messages_}.get(order["do"]) or getattr(agent, order["do"])
        try:
            answer = todo(order)
        except BaseException as trouble:
            answer = {"trouble": repr(trouble)}
        print(json.dumps(answer), flush=True)


main()
