/**
 * Every limit of the control plane that a peer can reach, with its unit and its reason. Those of
 * the data plane stand beside the code that keeps them, in assembly/.
 */
import assert from "node:assert";

/** From the accepted connection to the end of its CONNECT: a slow or silent peer holds a socket. */
export const CONNECT_SECONDS_MAX = 30;

/**
 * How often a listener tells at most of connections past max_connections: who is turned away comes
 * again at once.
 */
export const DENIALS_TOLD_SECONDS = 10;

/**
 * From the accepted connection to the end of what stands before MQTT, a proxy's header and a TLS
 * handshake: as CONNECT_SECONDS_MAX, which counts from there.
 */
export const GATE_SECONDS_MAX = 20;

/**
 * Sockets of a listener that wait for a proxy's header, for the client's first bytes, or for their
 * turn: some 3 KB each, with HELLO_BYTES_MAX from who means harm. Past it the one that has been
 * silent longest goes. Likewise those that have not asked for a WebSocket, of which with
 * uWebSockets.js the newest goes.
 */
export const GATE_WAITING_MAX = 4096;

/**
 * TLS handshakes of a listener under way: some 60 KB each. Past it the oldest goes: who answers at
 * once is through before a flood has pushed it there.
 */
export const HANDSHAKES_MAX = 1024;

/**
 * What a client may send before its handshake begins: nothing is to follow its first record, which
 * has at most 16,389 bytes.
 */
export const HELLO_BYTES_MAX = 17_408;

/**
 * How long TLS handshakes are begun in one turn, milliseconds: a signature of RSA takes about one,
 * which everybody else waits for.
 */
export const HANDSHAKE_MILLISECONDS_PER_TURN_MAX = 3;

/**
 * Longest header of a proxy, bytes: addresses have at most 216, what may follow is names and
 * numbers.
 */
export const PROXY_HEADER_BYTES_MAX = 4096;

/** How long a client may resume its TLS session without a whole handshake, seconds. */
export const TLS_TICKET_SECONDS_MAX = 7200;

/**
 * Bytes of all CONNECT packets that wait while their clients prove who they are: strangers make
 * them as long as they like. Some 300,000 of the usual size fit.
 */
export const AUTHENTICATING_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Refusals that wait at once before they are sent: past it they go out without delay, so that who
 * guesses cannot fill the broker with connections that wait.
 */
export const DELAYED_REFUSALS_MAX = 4_096;

/** Addresses whose CONNECTs are counted: past it the one that came longest ago is let go. */
export const CONNECT_ADDRESSES_MAX = 65_536;

/** So many looks in a row, half a second each, have to find the event loop late. */
export const OVERLOADED_SAMPLES_MIN = 2;

/** Network Connections at once: the engine has so many records (abi.ts, CONNECTIONS_MAX). */
export const CONNECTIONS_MAX = 262_143;

/**
 * New Network Connections that are read for the first time in one turn: a CONNECT with all that
 * belongs to it takes some 50 microseconds, which everybody else waits for.
 */
export const ADMITTED_PER_TURN_MAX = 8;

/** How long what a peer had sent before it closed is still acted on, milliseconds. */
export const GONE_MILLISECONDS_MAX = 10_000;

/** How long a closed connection may still take what was written to it, milliseconds. */
export const LINGER_MILLISECONDS_MAX = 2_000;

/** From the decision to stop to the moment all connections are cut, milliseconds. */
export const STOP_FLUSH_MILLISECONDS_MAX = 3_000;

/**
 * How long a message that was sent to a durable Session may be acknowledged before it is put on
 * record, milliseconds: a healthy flow then never touches the disk, even where a flood keeps tens
 * of thousands of messages on their way. A publisher waits so much longer, once, for a receiver
 * that has fallen silent.
 */
export const FRESH_MILLISECONDS_MAX = 100;

/** Topic Filters of one SUBSCRIBE or UNSUBSCRIBE: they are judged and acted on in one go. */
export const FILTERS_PER_PACKET_MAX = 8192;

/** How long a journal page waits for the rest of a QoS 2 message with very many receivers. */
export const PAGE_HELD_MILLISECONDS_MAX = 50;

/**
 * How often it is put on record how far Sessions are, and looked for what was not acknowledged in
 * time, milliseconds.
 */
export const SEAL_MILLISECONDS = 10;

/** From the last connection's end to the store's, milliseconds. */
export const STORE_STOP_MILLISECONDS_MAX = 2_000;

/** Time that clients have to come back after a restart before their wills are sent, seconds. */
export const WILL_RESTART_SECONDS_MIN = 2;

/**
 * Characters of log lines that wait for a destination that is slow; past them lines are dropped.
 */
export const LOG_UNWRITTEN_CHARACTERS_MAX = 4 * 1024 * 1024;

/** Longest text of a log line, characters: Topic Filters are up to 64 KiB long. */
export const LOG_LINE_CHARACTERS_MAX = 4_096;

/**
 * Longest line that is given to `logger`, bytes: what is past 1024, of which it may need some for
 * itself, becomes a message of its own, which a client could have worded.
 */
export const SYSLOG_LINE_BYTES_MAX = 900;

/**
 * Log lines that wait to be published with `log_dest topic`, and those of one turn: each is a
 * message to all who have subscribed to it.
 */
export const LOG_TOPIC_LINES_MAX = 1_000;
export const LOG_TOPIC_LINES_PER_TURN_MAX = 64;

/** Longest User Name or Client Identifier shown in a log line, characters. */
export const LOGGED_NAME_CHARACTERS_MAX = 256;

/** Sessions that end in one turn because their time has come: each gives back what it was owed. */
export const SESSIONS_EXPIRED_PER_TURN_MAX = 2_000;

/**
 * Bytes of all SUBSCRIBE packets that wait while somebody outside is asked about their Topic
 * Filters: past it the connection is closed.
 */
export const ASKED_BYTES_MAX = 64 * 1024 * 1024;

/** Publishers of retained messages that are judged for one connection in one turn. */
export const SOURCES_PER_TURN_MAX = 256;

/** How long Sessions are given new rules in one go, milliseconds, while others wait. */
export const RENEWED_MILLISECONDS_MAX = 2;

/**
 * What a WebSocket message may hold at least, bytes: many packets, however small each has to be.
 */
const WEBSOCKET_FRAME_BYTES = 1024 * 1024;

/**
 * What it may hold beyond the longest packet at most, bytes: a packet that is too long by less is
 * answered with DISCONNECT 0x95; a message that is too long ends its WebSocket.
 */
const WEBSOCKET_EXCESS_BYTES = 4 * 1024 * 1024;

/** Longest message of a WebSocket, bytes. */
export function webSocketFrameBytesMax(packetBytesMax: number): number {
  const frameBytes = Math.max(packetBytesMax, WEBSOCKET_FRAME_BYTES);
  return packetBytesMax + Math.min(frameBytes, WEBSOCKET_EXCESS_BYTES);
}

/**
 * What a WebSocket may send of a message before its CONNECT is there, bytes, on Node's server: a
 * CONNECT has at most 512 KiB (assembly/receive.ts), and what else came with its end counts.
 */
export const WEBSOCKET_CONNECT_BYTES_MAX = 640 * 1024;

/**
 * Bytes of messages that are not whole, of all WebSockets of a listener that have sent no CONNECT.
 * uWebSockets.js does not tell how many there are: it is the most that each may have.
 */
export const UNPROVEN_BYTES_MAX = 64 * 1024 * 1024;

/**
 * How long a WebSocket of uWebSockets.js may in any case be without a CONNECT, milliseconds: of a
 * fleet that comes back at once all may be for a moment.
 */
export const UNPROVEN_MILLISECONDS_MIN = 5_000;

/** Bytes that a WebSocket may have unsent before nothing more is handed to it. */
export const WEBSOCKET_UNSENT_BYTES_MAX = 1024 * 1024 * 1024;

/**
 * Longest Keep Alive factor: a client is given one and a half times its interval [MQTT-3.1.2-22].
 */
export const KEEP_ALIVE_FACTOR = 1.5;

/**
 * Connections that end in one turn because their users were changed: a fleet of them would hold up
 * everybody else for seconds.
 */
export const EXPELLED_PER_TURN_MAX = 256;

/** Bytes of one request to a control topic; its answer must be shorter than the other. */
export const CONTROL_REQUEST_BYTES_MAX = 1024 * 1024;
export const CONTROL_ANSWER_BYTES_MAX = 16 * 1024 * 1024;

/** Commands in one request, and how deep its JSON may be: mosquitto's own forms need five. */
export const CONTROL_COMMANDS_MAX = 1000;
export const CONTROL_DEPTH_MAX = 32;

/** Requests that wait while one before them is worked on: how many, and bytes of all of them. */
export const CONTROL_WAITING_MAX = 1000;
export const CONTROL_WAITING_BYTES_MAX = 8 * 1024 * 1024;

/**
 * What dynamic security knows, and how long its file may be, bytes: all of it is in memory, and
 * written anew with each change.
 */
export const DYNAMIC_SECURITY_CLIENTS_MAX = 200_000;
export const DYNAMIC_SECURITY_GROUPS_MAX = 20_000;
export const DYNAMIC_SECURITY_ROLES_MAX = 20_000;
export const DYNAMIC_SECURITY_ACLS_PER_ROLE_MAX = 10_000;
export const DYNAMIC_SECURITY_FILE_BYTES_MAX = 128 * 1024 * 1024;

assert(LINGER_MILLISECONDS_MAX < STOP_FLUSH_MILLISECONDS_MAX);
assert(CONTROL_REQUEST_BYTES_MAX <= CONTROL_WAITING_BYTES_MAX);
