"""Scenarios with Eclipse Paho's C library (Debian: libpaho-mqtt1.3, which paho.mqtt.c-examples brings).

python3 c-scenario.py PORT 4|5

The programs among its examples know no persistent Session, so the library itself is called. Each
scenario that went well prints `ok NAME`; the first that did not ends the program with code 1.
"""

import ctypes as c
import sys
import time

PORT, VERSION = int(sys.argv[1]), int(sys.argv[2])
PREFIX = f"paho-c/{VERSION}"
MILLISECONDS_MAX = 10_000
NO_PERSISTENCE = 1
SESSION_EXPIRY_INTERVAL, CONTENT_TYPE, USER_PROPERTY, RECEIVE_MAXIMUM = 17, 3, 38, 33
TAKEN_OVER = 0x8E
library = c.CDLL("libpaho-mqtt3c.so.1")


class Text(c.Structure):
    _fields_ = [("length", c.c_int), ("data", c.c_char_p)]


class Pair(c.Structure):
    _fields_ = [("data", Text), ("value", Text)]


class Value(c.Union):
    _fields_ = [("two", c.c_ushort), ("four", c.c_uint), ("text", Pair)]


class Property(c.Structure):
    _fields_ = [("identifier", c.c_int), ("value", Value)]


class Properties(c.Structure):
    _fields_ = [
        ("count", c.c_int),
        ("count_max", c.c_int),
        ("length", c.c_int),
        ("array", c.POINTER(Property)),
    ]


class Response(c.Structure):
    _fields_ = [
        ("version", c.c_int),
        ("reason_code", c.c_int),
        ("reason_code_count", c.c_int),
        ("reason_codes", c.POINTER(c.c_int)),
        ("properties", c.POINTER(Properties)),
    ]


class Message(c.Structure):
    _fields_ = [
        ("id", c.c_char * 4),
        ("version", c.c_int),
        ("length", c.c_int),
        ("payload", c.POINTER(c.c_char)),
        ("qos", c.c_int),
        ("retained", c.c_int),
        ("dup", c.c_int),
        ("packet_identifier", c.c_int),
        ("properties", Properties),
    ]


class Returned(c.Structure):
    _fields_ = [("uri", c.c_char_p), ("version", c.c_int), ("session_present", c.c_int)]


class ConnectOptions(c.Structure):
    _fields_ = [
        ("id", c.c_char * 4),
        ("struct_version", c.c_int),
        ("keep_alive", c.c_int),
        ("clean_session", c.c_int),
        ("reliable", c.c_int),
        ("will", c.c_void_p),
        ("username", c.c_char_p),
        ("password", c.c_char_p),
        ("connect_timeout", c.c_int),
        ("retry_interval", c.c_int),
        ("ssl", c.c_void_p),
        ("uri_count", c.c_int),
        ("uris", c.c_void_p),
        ("version", c.c_int),
        ("returned", Returned),
        ("password_length", c.c_int),
        ("password_data", c.c_void_p),
        ("inflight_max", c.c_int),
        ("clean_start", c.c_int),
    ]


class CreateOptions(c.Structure):
    _fields_ = [("id", c.c_char * 4), ("struct_version", c.c_int), ("version", c.c_int)]


for name in ("connect5", "subscribe5", "unsubscribe5", "publish5"):
    getattr(library, f"MQTTClient_{name}").restype = Response


def properties(*found):
    """A list from pairs of identifier and value."""
    made = Properties()
    for identifier, value in found:
        one = Property(identifier)
        if identifier == SESSION_EXPIRY_INTERVAL:
            one.value.four = value
        elif identifier == RECEIVE_MAXIMUM:
            one.value.two = value
        else:
            texts = value if isinstance(value, tuple) else (value,)
            fields = [Text(len(text), text) for text in texts]
            one.value.text = Pair(*fields)
        assert library.MQTTProperties_add(c.byref(made), c.byref(one)) == 0
    return made


class Client:
    """A client whose state outlives its connections, as long as it is there itself."""

    def __init__(self, client_id):
        self.handle = c.c_void_p()
        options = CreateOptions(b"MQCO", 0, VERSION)
        code = library.MQTTClient_createWithOptions(
            c.byref(self.handle),
            f"tcp://127.0.0.1:{PORT}".encode(),
            client_id.encode(),
            NO_PERSISTENCE,
            None,
            c.byref(options),
        )
        assert code == 0, f"create {code}"

    def connect(self, clean=True, expiry=0, receive_maximum=0, session_present=False):
        options = ConnectOptions(b"MQTC", 6, 60, int(clean), 0)
        options.connect_timeout = 10
        options.version = VERSION
        options.inflight_max = 100
        if VERSION < 5:
            code = library.MQTTClient_connect(self.handle, c.byref(options))
        else:
            options.clean_session, options.clean_start = 0, int(clean)
            found = [(SESSION_EXPIRY_INTERVAL, expiry)]
            if receive_maximum > 0:
                found.append((RECEIVE_MAXIMUM, receive_maximum))
            made = properties(*found)
            response = library.MQTTClient_connect5(
                self.handle, c.byref(options), c.byref(made), None
            )
            code = response.reason_code
        assert code == 0, f"connect {code}"
        # In version 5 this library passes no Session Present on.
        assert VERSION == 5 or options.returned.session_present == int(session_present)

    def subscribe(self, topic, qos):
        if VERSION < 5:
            code = library.MQTTClient_subscribe(self.handle, topic.encode(), qos)
        else:
            code = library.MQTTClient_subscribe5(
                self.handle, topic.encode(), qos, None, None
            ).reason_code
        assert code in (0, qos), f"subscribe {code}"

    def publish(self, topic, payload, qos, retained=False, found=()):
        token = c.c_int()
        common = (self.handle, topic.encode(), len(payload), payload, qos, int(retained))
        if VERSION < 5:
            code = library.MQTTClient_publish(*common, c.byref(token))
        else:
            made = properties(*found)
            code = library.MQTTClient_publish5(
                *common, c.byref(made), c.byref(token)
            ).reason_code
        assert code == 0, f"publish {code}"
        if qos > 0:
            code = library.MQTTClient_waitForCompletion(self.handle, token, MILLISECONDS_MAX)
            assert code == 0, f"completion {code}"

    def receive(self):
        """Payload, QoS, retained, properties."""
        topic, length = c.c_char_p(), c.c_int()
        message = c.POINTER(Message)()
        end = time.monotonic() + MILLISECONDS_MAX / 1000
        while not message and time.monotonic() < end:
            library.MQTTClient_receive(
                self.handle, c.byref(topic), c.byref(length), c.byref(message), 1000
            )
        assert message, "no message"
        one = message.contents
        texts = [
            (
                one.properties.array[index].identifier,
                c.string_at(
                    one.properties.array[index].value.text.data.data,
                    one.properties.array[index].value.text.data.length,
                ),
            )
            for index in range(one.properties.count)
            if one.properties.array[index].identifier in (CONTENT_TYPE, USER_PROPERTY)
        ]
        return one.payload[: one.length], one.qos, one.retained, texts

    def leave(self):
        if VERSION < 5:
            library.MQTTClient_disconnect(self.handle, MILLISECONDS_MAX)
        else:
            library.MQTTClient_disconnect5(self.handle, MILLISECONDS_MAX, 0, None)


def each_qos():
    client = Client("each")
    client.connect()
    client.subscribe(f"{PREFIX}/each", 2)
    for qos in (0, 1, 2):
        client.publish(f"{PREFIX}/each", b"%d" % qos, qos)
        payload, came_with, _, _ = client.receive()
        assert (payload, came_with) == (b"%d" % qos, qos)
    client.leave()


def retained():
    client = Client("retained")
    client.connect()
    client.publish(f"{PREFIX}/kept", b"kept", 1, retained=True)
    client.subscribe(f"{PREFIX}/kept", 1)
    payload, _, is_retained, _ = client.receive()
    assert (payload, is_retained) == (b"kept", 1)
    client.leave()


def offline_queue():
    keeper = Client(f"{PREFIX}/offline")
    keeper.connect(clean=False, expiry=60)
    keeper.subscribe(f"{PREFIX}/offline", 2)
    keeper.leave()
    publisher = Client("offline")
    publisher.connect()
    for index in range(40):
        publisher.publish(f"{PREFIX}/offline", b"%d" % index, 1 + index % 2)
    publisher.leave()
    keeper.connect(clean=False, expiry=60, session_present=True)
    came = [keeper.receive() for _ in range(40)]
    for qos in (1, 2):
        numbers = [int(payload) for payload, came_with, _, _ in came if came_with == qos]
        assert numbers == list(range(qos - 1, 40, 2)), numbers
    keeper.leave()


def resume():
    """Another connection takes the Session over and gives it back: each message comes once."""
    keeper = Client(f"{PREFIX}/resume")
    keeper.connect(clean=False, expiry=60, receive_maximum=4 if VERSION == 5 else 0)
    keeper.subscribe(f"{PREFIX}/resume", 2)
    publisher = Client("resume")
    publisher.connect()
    for index in range(30):
        publisher.publish(f"{PREFIX}/resume", b"%d" % index, 2)
    numbers = [int(keeper.receive()[0]) for _ in range(10)]
    keeper.leave()
    for index in range(30, 40):
        publisher.publish(f"{PREFIX}/resume", b"%d" % index, 2)
    keeper.connect(clean=False, expiry=60, session_present=True)
    numbers += [int(keeper.receive()[0]) for _ in range(30)]
    assert numbers == list(range(40)), numbers
    keeper.leave()
    publisher.leave()


def message_properties():
    client = Client("properties")
    client.connect()
    client.subscribe(f"{PREFIX}/properties", 1)
    sent = [
        (CONTENT_TYPE, b"text/plain"),
        (USER_PROPERTY, (b"a", b"1")),
        (USER_PROPERTY, (b"b", b"2")),
    ]
    client.publish(f"{PREFIX}/properties", b"x", 1, found=sent)
    texts = client.receive()[3]
    assert (CONTENT_TYPE, b"text/plain") in texts, texts
    assert [text for which, text in texts if which == USER_PROPERTY] == [b"a", b"b"], texts
    client.leave()


def session_expiry():
    """The subscription of a Session tells whether the Session is there."""
    keeper, publisher = Client(f"{PREFIX}/expiry"), Client("expiry")
    publisher.connect()
    keeper.connect(clean=False, expiry=60)
    keeper.subscribe(f"{PREFIX}/expiry", 1)
    keeper.leave()
    publisher.publish(f"{PREFIX}/expiry", b"kept", 1)
    keeper.connect(clean=False, expiry=1)
    assert keeper.receive()[0] == b"kept"
    keeper.leave()
    time.sleep(2.5)  # Its subject is time: the interval of a second is over.
    keeper.connect(clean=False)
    publisher.publish(f"{PREFIX}/expiry", b"lost", 1)
    keeper.subscribe(f"{PREFIX}/expiry", 1)
    publisher.publish(f"{PREFIX}/expiry", b"new", 1)
    assert keeper.receive()[0] == b"new"
    keeper.leave()
    publisher.leave()


def takeover():
    reasons = []
    told = c.CFUNCTYPE(None, c.c_void_p, c.POINTER(Properties), c.c_int)(
        lambda _context, _properties, reason: reasons.append(reason)
    )
    first, second = (Client(f"{PREFIX}/takeover") for _ in range(2))
    arrived = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_char_p, c.c_int, c.c_void_p)(lambda *_: 1)
    assert library.MQTTClient_setCallbacks(first.handle, None, None, arrived, None) == 0
    assert library.MQTTClient_setDisconnected(first.handle, None, told) == 0
    first.connect(clean=False, expiry=60)
    second.connect(clean=False, expiry=60)
    end = time.monotonic() + MILLISECONDS_MAX / 1000
    while not reasons and time.monotonic() < end:
        time.sleep(0.05)
    assert reasons == [TAKEN_OVER], reasons
    second.leave()


SCENARIOS = [each_qos, retained, offline_queue, resume]
if VERSION == 5:
    SCENARIOS += [message_properties, session_expiry, takeover]

for scenario in SCENARIOS:
    scenario()
    print(f"ok {scenario.__name__}", flush=True)
