"""Eclipse paho against the daemon on the port given: a message there and back by each version and quality."""
import queue
import sys

import paho.mqtt.client as mqtt

for version in (mqtt.MQTTv311, mqtt.MQTTv5):
    for qos in (0, 1, 2):
        subscribed, arrived = queue.Queue(), queue.Queue()
        client = mqtt.Client(client_id=f"paho-{version}-{qos}", protocol=version)
        client.on_subscribe = lambda *_: subscribed.put(True)
        client.on_message = lambda _client, _data, message: arrived.put(message)
        client.connect("127.0.0.1", int(sys.argv[1]))
        client.loop_start()
        topic = f"paho/{version}/{qos}"
        client.subscribe(topic, qos)
        subscribed.get(timeout=5)
        sent = client.publish(topic, f"{version} {qos}", qos=qos)
        sent.wait_for_publish(timeout=5)
        message = arrived.get(timeout=5)
        assert (message.payload.decode(), message.qos) == (f"{version} {qos}", qos), message.qos
        client.disconnect()
        client.loop_stop()
        print(topic, "ok")
