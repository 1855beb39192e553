"""Scenarios with Eclipse Paho's Python client (Debian: python3-paho-mqtt).

python3 python-scenario.py PORT WEBSOCKET_PORT tcp|websockets 4|5

Each scenario that went well prints `ok NAME`; the first that did not ends the program with code 1.
"""

import os
import queue
import socket
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

SECONDS_MAX = 10
PORT, WEBSOCKET_PORT = int(sys.argv[1]), int(sys.argv[2])
TRANSPORT, VERSION = sys.argv[3], int(sys.argv[4])
PREFIX = f"paho/{TRANSPORT}/{VERSION}"


def properties(packet_type, **values):
    """Properties of a packet; none before version 5."""
    if VERSION < 5:
        return None
    found = Properties(packet_type)
    for name, value in values.items():
        setattr(found, name, value)
    return found


class Client:
    """A client with what it was told, in queues."""

    def __init__(self, client_id, clean=True, expiry=None, will=None):
        is_clean = {} if VERSION == 5 else {"clean_session": clean}
        self.paho = mqtt.Client(client_id, protocol=VERSION, transport=TRANSPORT, **is_clean)
        if TRANSPORT == "websockets":
            self.paho.ws_set_options(path="/mqtt")
        self.clean, self.expiry = clean, expiry
        self.connacks, self.messages = queue.Queue(), queue.Queue()
        self.subacks, self.unsubacks, self.ends = queue.Queue(), queue.Queue(), queue.Queue()
        self.paho.on_connect = lambda *found: self.connacks.put(found[2:])
        self.paho.on_message = lambda _client, _data, message: self.messages.put(message)
        self.paho.on_subscribe = lambda *found: self.subacks.put(found[3])
        # Version 5 tells the properties, then the codes.
        self.paho.on_unsubscribe = lambda *found: self.unsubacks.put(found[-1])
        self.paho.on_disconnect = lambda *found: self.ends.put(found[2])
        if will is not None:
            self.paho.will_set(will, "gone", qos=1)
        self.connect()
        self.paho.loop_start()
        flags, code = self.connacks.get(timeout=SECONDS_MAX)[:2]
        assert code == 0, f"CONNACK {code}"
        self.session_present = flags["session present"]

    def connect(self):
        more = {}
        if VERSION == 5:
            more["clean_start"] = self.clean
            more["properties"] = properties(
                PacketTypes.CONNECT, SessionExpiryInterval=self.expiry or 0
            )
        port = PORT if TRANSPORT == "tcp" else WEBSOCKET_PORT
        self.paho.connect("127.0.0.1", port, keepalive=60, **more)

    def subscribe(self, topic, qos, **more):
        self.paho.subscribe(topic, qos, **more)
        return self.subacks.get(timeout=SECONDS_MAX)

    def publish(self, topic, payload, qos, **more):
        self.paho.publish(topic, payload, qos, **more).wait_for_publish(SECONDS_MAX)

    def receive(self):
        return self.messages.get(timeout=SECONDS_MAX)

    def leave(self):
        self.paho.disconnect()
        self.paho.loop_stop()

    def break_off(self):
        """Breaks the TCP connection under the client, which does not know."""
        stream = self.paho.socket()
        getattr(stream, "_socket", stream).shutdown(socket.SHUT_RDWR)


def each_qos():
    client = Client("") if VERSION == 5 else Client("each")
    client.subscribe(f"{PREFIX}/each", 2)
    for qos in (0, 1, 2):
        client.publish(f"{PREFIX}/each", f"{qos}", qos)
        message = client.receive()
        assert (message.payload, message.qos) == (b"%d" % qos, qos)
    client.leave()


def retained():
    client = Client("retained")
    client.publish(f"{PREFIX}/kept", "kept", 1, retain=True)
    client.subscribe(f"{PREFIX}/kept", 1)
    message = client.receive()
    assert message.retain and message.payload == b"kept"
    client.publish(f"{PREFIX}/kept", "", 1, retain=True)
    client.leave()


def will():
    observer = Client("observer")
    observer.subscribe(f"{PREFIX}/will", 1)
    mortal = Client("mortal", will=f"{PREFIX}/will")
    mortal.paho.reconnect_delay_set(min_delay=30, max_delay=60)
    mortal.break_off()
    assert observer.receive().payload == b"gone"
    observer.leave()


def offline_queue():
    keeper = {"client_id": f"{PREFIX}/offline", "clean": False, "expiry": 60}
    first = Client(**keeper)
    assert not first.session_present
    first.subscribe(f"{PREFIX}/offline", 2)
    first.leave()
    publisher = Client("offline")
    for index in range(40):
        publisher.publish(f"{PREFIX}/offline", f"{index}", 1 + index % 2)
    publisher.leave()
    again = Client(**keeper)
    assert again.session_present
    messages = [again.receive() for _ in range(40)]
    for qos in (1, 2):
        came = [int(message.payload) for message in messages if message.qos == qos]
        assert came == list(range(qos - 1, 40, 2)), came
    again.leave()


def resume():
    """The connection breaks in the middle of QoS 2: each message comes once, in order."""
    keeper = Client(f"{PREFIX}/resume", clean=False, expiry=60)
    keeper.subscribe(f"{PREFIX}/resume", 2)
    publisher = Client("resume")
    for index in range(60):
        publisher.paho.publish(f"{PREFIX}/resume", f"{index}", 2)
    came = []
    while len(came) < 60:
        came.append(int(keeper.receive().payload))
        if len(came) in (10, 30):
            keeper.break_off()  # The loop connects again, to the same Session.
            flags = keeper.connacks.get(timeout=SECONDS_MAX)[0]
            assert flags["session present"]
    assert came == list(range(60)), came
    keeper.leave()
    publisher.leave()


def message_properties():
    client = Client("properties")
    client.paho.subscribe(
        f"{PREFIX}/properties",
        options=SubscribeOptions(qos=1),
        properties=properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=7),
    )
    client.subacks.get(timeout=SECONDS_MAX)
    sent = properties(
        PacketTypes.PUBLISH,
        ContentType="text/plain",
        ResponseTopic="answers",
        CorrelationData=b"\x00\xff",
        PayloadFormatIndicator=1,
        MessageExpiryInterval=600,
        UserProperty=[("a", "1"), ("a", "2"), ("b", "3")],
    )
    client.publish(f"{PREFIX}/properties", "x", 1, properties=sent)
    came = client.receive().properties
    assert came.ContentType == "text/plain" and came.ResponseTopic == "answers"
    assert came.CorrelationData == b"\x00\xff" and came.PayloadFormatIndicator == 1
    assert 590 <= came.MessageExpiryInterval <= 600
    assert came.UserProperty == [("a", "1"), ("a", "2"), ("b", "3")]
    assert came.SubscriptionIdentifier == [7]
    client.leave()


def session_expiry():
    keeper = {"client_id": f"{PREFIX}/expiry", "clean": False}
    Client(expiry=60, **keeper).leave()
    kept = Client(expiry=1, **keeper)
    assert kept.session_present
    kept.leave()
    time.sleep(2.5)  # Its subject is time: the interval of a second is over.
    assert not Client(expiry=0, **keeper).session_present


def reason_codes():
    client = Client("reasons")
    codes = client.subscribe(f"{PREFIX}/reasons", 2)
    assert [code.value for code in codes] == [2]
    client.paho.unsubscribe([f"{PREFIX}/reasons", f"{PREFIX}/never"])
    assert [code.value for code in client.unsubacks.get(timeout=SECONDS_MAX)] == [0, 0x11]
    client.leave()


def takeover():
    first = Client(f"{PREFIX}/takeover", clean=False, expiry=60)
    first.paho.reconnect_delay_set(min_delay=30, max_delay=60)
    second = Client(f"{PREFIX}/takeover", clean=False, expiry=60)
    first.ends.get(timeout=SECONDS_MAX)  # This client reads no code from a DISCONNECT of one byte.
    assert second.session_present
    second.leave()


SCENARIOS = [each_qos, retained, will, offline_queue, resume]
if VERSION == 5:
    SCENARIOS += [message_properties, session_expiry, reason_codes, takeover]

for scenario in SCENARIOS:
    scenario()
    print(f"ok {scenario.__name__}", flush=True)
os._exit(0)  # Clients that were left to connect again have threads that would keep the program.
