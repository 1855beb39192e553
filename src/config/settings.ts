/**
 * What the broker is told to do: configuration file and command line, checked, in plain units.
 */
import type { LogSettings } from "../base/log.ts";
import type { ProtocolVersion } from "./values.ts";

/** The address of a listener that takes connections on every address of the machine. */
export const ANY_ADDRESS = "";

export interface ListenerSettings {
  readonly protocol: "mqtt" | "websockets";
  /** An IP address or host name; ANY_ADDRESS: all addresses, IPv6 and IPv4. */
  readonly address: string;
  /** 1 … 65535; 0: the system chooses a free port. */
  readonly port: number;
  /** Under which Sessions remember by which listener their client came: listener-keys.ts. */
  readonly key: number;
  /** The path of a Unix socket, which is listened on instead; null: TCP. */
  readonly socketPath: string | null;
  /** The network interface it is bound to; "": none. */
  readonly bindInterface: string;
  /** The versions of IP that it listens on, where `address` does not say. */
  readonly socketDomain: "any" | "ipv4" | "ipv6";
  /** The version of the PROXY protocol that connections begin with; 0: none. */
  readonly proxyProtocol: 0 | 1 | 2;
  /** Whether the proxy has to say that the client came with TLS. */
  readonly proxyRequiresTls: boolean;
  /** What stands before all topics of its clients; "": nothing. */
  readonly mountPoint: string;
  /** First characters of an assigned Client Identifier; at most 50. */
  readonly clientIdPrefix: string;
  /** Whether a CONNECT with an empty Client Identifier has one assigned, or is refused. */
  readonly emptyClientIdAllowed: boolean;
  readonly usernameAsClientId: boolean;
  /** Whether the Common Name of the certificate, or the identity of the key, is the user name. */
  readonly usesIdentityAsUserName: boolean;
  /** Whether the whole Subject of the certificate is; never both. */
  readonly usesSubjectAsUserName: boolean;
  /** The Protocol Levels that are served. */
  readonly protocolVersions: ReadonlySet<ProtocolVersion>;
  /** Origins that web pages may connect from; empty: any. */
  readonly webSocketOrigins: readonly string[];
  /** Longest request that may open a WebSocket; 0: as long as the transport takes. */
  readonly webSocketHeaderBytesMax: number;
  /** null: plain. */
  readonly tls: TlsSettings | null;
  /** The same object for all listeners, unless per_listener_settings says otherwise. */
  readonly access: AccessSettings;
  /** Whether a CONNECT without a user name is accepted; otherwise Reason Code 0x87. */
  readonly allowAnonymous: boolean;
  /** Network Connections held at once; Infinity: no limit of the listener's own. */
  readonly connectionsMax: number;
  /** CONNECTs that it takes in a second, of all addresses and of each; Infinity: no limit. */
  readonly connectRate: number;
  readonly connectRatePerAddress: number;
  /** Highest QoS that its clients may publish with. */
  readonly qosMax: 0 | 1 | 2;
  /** Where its clients are sent, instead of being served; null: they are served. */
  readonly redirect: RedirectSettings | null;
}

/** Paths are as written: relative ones count from the working directory. */
export interface TlsSettings {
  readonly certificateFile: string | null;
  readonly keyFile: string | null;
  readonly caFile: string | null;
  readonly caPath: string | null;
  readonly crlFile: string | null;
  readonly requireCertificate: boolean;
  readonly checksCertificateDates: boolean;
  /** The oldest version that is spoken; null: the one of Node.js. */
  readonly version: "tlsv1.3" | "tlsv1.2" | null;
  /** As OpenSSL lists them; "": those of Node.js. */
  readonly ciphers: string;
  /** Those of TLS 1.3, as OpenSSL lists them; "": those of Node.js. */
  readonly ciphersTls13: string;
  readonly dhParamFile: string | null;
  /** Lines `identity:key in hexadecimal`; null: no PSK. */
  readonly pskFile: string | null;
  readonly pskHint: string;
  /** ALPN protocols that are taken; empty: any, and none is chosen. */
  readonly alpn: readonly string[];
  /** `--tls-keylog`; null: keys are kept from everybody. */
  readonly keyLogFile: string | null;
}

/** Who may connect and what each may do: one object is one access domain. */
export interface AccessSettings {
  readonly allowAnonymous: boolean;
  readonly passwordFile: string | null;
  readonly aclFile: string | null;
  /** Whether that one is meant as mosquitto-go-auth reads it, not as mosquitto does. */
  readonly aclIsGoAuths: boolean;
  readonly scramFile: string | null;
  /** The JSON file of mosquitto's dynamic security plugin. */
  readonly dynamicSecurityFile: string | null;
  readonly dynamicSecurityInitialPasswordFile: string | null;
  /** Whether SUBSCRIBE itself is refused with 0x87 where reading is. */
  readonly aclDeniesSubscribe: boolean;
  /** Whether backends of mosquitto-go-auth decide. */
  readonly usesGoAuth: boolean;
  /** Whether these let nobody do anything who has a wildcard in its names. */
  readonly deniesWildcardNames: boolean;
  readonly jwt: JwtSettings | null;
  readonly http: HttpAccessSettings | null;
}

/** JSON Web Tokens as passwords. */
export interface JwtSettings {
  /** Whether a user name may be the token, as for mosquitto-go-auth. */
  readonly takenAsUserName: boolean;
  /** A shared secret, or a public key in PEM; null: there is `jwks`. */
  readonly keyFile: string | null;
  /** A file or an https URL; null: there is `keyFile`. */
  readonly jwks: string | null;
  /** Empty: RS256 and ES256, or HS256 with a secret. */
  readonly algorithms: readonly string[];
  readonly issuer: string | null;
  readonly audience: string | null;
  readonly userClaim: string;
  /** The claim that lists what the bearer may do; null: the authorizer decides. */
  readonly aclClaim: string | null;
  /** The claim that has to be the Client Identifier; null: none. */
  readonly clientIdClaim: string | null;
  /** By how much the clocks of who signs and who checks may differ. */
  readonly leewaySeconds: number;
  /** Whether the connection ends when the token does. */
  readonly disconnectsOnExpiry: boolean;
}

/** The `http` backend of mosquitto-go-auth. */
export interface HttpAccessSettings {
  /** `http://host:port` or `https://host:port`. */
  readonly origin: string;
  readonly userUri: string;
  /** "": nobody is a superuser. */
  readonly superuserUri: string;
  readonly aclUri: string;
  /** Whether nobody is a superuser who has a wildcard in its names. */
  readonly deniesWildcardNames: boolean;
  readonly verifiesPeer: boolean;
  readonly method: "GET" | "POST" | "PUT";
  readonly paramsMode: "json" | "form";
  readonly responseMode: "status" | "json" | "text";
  readonly timeoutSeconds: number;
  readonly userAgent: string;
  /** How long an answer about a user counts; 0: once. */
  readonly authCacheSeconds: number;
  /** How long an answer about a topic counts; 0: once. */
  readonly aclCacheSeconds: number;
  /** How much longer or shorter, by chance. */
  readonly cacheJitterSeconds: number;
}

/** Another server for clients. */
export interface RedirectSettings {
  /** Whether they are to go there from now on. */
  readonly isPermanent: boolean;
  /** `HOST[:PORT]`, several with a blank between them. */
  readonly serverReference: string;
}

/**
 * What an acknowledgement outlives: `fsync` a power cut, `process` the process, `memory` neither.
 */
export type Durability = "fsync" | "process" | "memory";

/**
 * What happens to a message for a Session whose queue is full: the oldest that was not sent goes,
 * it is dropped itself, or its publisher is refused with 0x97.
 */
export type QueueOverflow = "drop-oldest" | "drop-newest" | "reject";

/**
 * Who of a group of shared subscriptions gets a message, of those that have room: each in turn, the
 * one with the fewest in flight, or the one that got the last of the same publisher.
 */
export type SharedStrategy = "round-robin" | "least-inflight" | "sticky-by-publisher";

/** The bounds for the messages of some topics; what a rule leaves out is as the options say. */
export interface QueueRule {
  /** Whose Topic Name it matches; the first rule that does counts. Valid, without `$share`. */
  readonly topicFilter: string;
  /** Infinity: no limit. */
  readonly queuedMessagesMax: number;
  /** Infinity: no limit. */
  readonly queuedBytesMax: number;
  readonly queueOverflow: QueueOverflow;
  readonly queueQos0: boolean;
  /** Infinity: no limit. */
  readonly messageExpirySecondsMax: number;
  /** `keep=last`: of each topic only the newest message waits in a Session that is offline. */
  readonly keepsLast: boolean;
}

export interface Settings {
  /** At least one; no two share address and port. */
  readonly listeners: readonly ListenerSettings[];

  /** Network Connections of all listeners at once; Infinity: no limit. */
  readonly connectionsMax: number;
  /** Sessions at once, those that are offline included; Infinity: no limit. */
  readonly sessionsMax: number;
  /** What every Client Identifier has to begin with; null: anything. */
  readonly clientIdsBeginWith: string | null;
  /** Longest that the answer to a failed login waits, milliseconds; 0: none waits. */
  readonly refusalDelayMillisecondsMax: number;
  /** Delay of the event loop from which on new Sessions are refused; Infinity: never. */
  readonly overloadMilliseconds: number;
  /** Messages a second that a client may publish; 0: any number. */
  readonly publishRateMax: number;
  /** Most of them at once. */
  readonly publishBurstMax: number;
  /** Whether a retained message is delivered only while its publisher may write there. */
  readonly retainSourceChecked: boolean;

  /** Largest packet from a client, fixed header included: 20 … 268,435,455. */
  readonly packetBytesMax: number;
  /** Largest payload of a PUBLISH from a client: 1 … 268,435,455. */
  readonly payloadBytesMax: number;
  /**
   * Longest Keep Alive; 0: any, and off. Who asks for more, or for none, is told this one as
   * Server Keep Alive (5.0), or refused as Client Identifier not valid (3.1, 3.1.1).
   */
  readonly keepAliveSecondsMax: number;
  /** Server Keep Alive for MQTT 5.0 clients; 0: none is sent, the client's own counts. */
  readonly serverKeepAliveSeconds: number;
  /** Receive Maximum told to MQTT 5.0 clients, 1 … 65535. */
  readonly receiveMaximum: number;
  /** Topic Alias Maximum told to MQTT 5.0 clients, 0 … 65535. */
  readonly topicAliasMax: number;
  /** Topic Aliases that the broker sets on a connection at most, 0 … 65535. */
  readonly topicAliasOutMax: number;
  /** QoS 1 and 2 messages in flight to a client, 1 … 65535; its Receive Maximum bounds it too. */
  readonly inflightMessagesMax: number;
  /** Bytes a connection may have unsent before QoS 0 messages to it are dropped. */
  readonly outgoingBytesMax: number;
  /** Bytes of the engine's heap; 0: all that it can address. */
  readonly memoryBytesMax: number;
  /** Whether a payload that claims to be UTF-8 must be, in a PUBLISH and in a will. */
  readonly payloadUtf8Checked: boolean;
  /** Retain Available: whether a PUBLISH may carry RETAIN. */
  readonly retainAvailable: boolean;
  /** Minutes between two looks for expired retained messages; 0: only when they are asked for. */
  readonly retainedSweepMinutes: number;
  /** Longest life of a retained message as such; Infinity: no limit. */
  readonly retainedExpirySecondsMax: number;
  /** Whether a Topic Filter may have wildcards. */
  readonly wildcardsAvailable: boolean;
  /** Whether a SUBSCRIBE may carry a Subscription Identifier. */
  readonly subscriptionIdentifiersAvailable: boolean;
  /** Response Information for clients that ask, `%c` being theirs; null: there is none. */
  readonly responseInformation: string | null;
  /** Where clients of 5.0 are sent when the broker stops; null: nowhere. */
  readonly redirectOnStop: RedirectSettings | null;
  /** Shared Subscription Available: whether `$share/NAME/filter` is more than a refusal. */
  readonly sharedSubscriptionAvailable: boolean;
  readonly sharedStrategy: SharedStrategy;

  /** Longest Session Expiry Interval granted to MQTT 5.0 clients; SECONDS_NEVER: no limit. */
  readonly sessionExpirySecondsMax: number;
  /** Life of a Session of MQTT 3.1 and 3.1.1 without its connection; SECONDS_NEVER: no end. */
  readonly olderSessionExpirySeconds: number;

  /** Messages waiting in a Session; Infinity: no limit. */
  readonly queuedMessagesMax: number;
  /** Bytes of the messages waiting in a Session; Infinity: no limit. */
  readonly queuedBytesMax: number;
  readonly queueOverflow: QueueOverflow;
  /** Whether QoS 0 messages wait, too, in a Session that is offline. */
  readonly queueQos0: boolean;
  /** Longest life of a queued or retained message; Infinity: no limit. */
  readonly messageExpirySecondsMax: number;
  /** In the order of the file, at most QUEUE_RULES_MAX. */
  readonly queueRules: readonly QueueRule[];

  readonly durability: Durability;
  /**
   * The directory of everything kept on disk; relative to the working directory, or absolute.
   * With `durability` `memory` nothing is read or written there.
   */
  readonly dataDirectory: string;
  /** Bytes of everything kept on disk; null: by the space that is free at the start. */
  readonly storeBytesMax: number | null;

  /** Seconds between updates of `$SYS`; 0: there are none. */
  readonly sysIntervalSeconds: number;
  /** Whether connects and disconnects are logged. */
  readonly connectionMessages: boolean;
  /** Whether the broker tells of itself on $CONTROL/broker/v1. */
  readonly controlApi: boolean;
  readonly log: LogSettings;

  /** The user that a broker of root becomes; null: as the system has it, `mosquitto` or root. */
  readonly user: string | null;
  /** Holds the process's number while it runs; null: none. */
  readonly pidFile: string | null;
}

/** What the command line adds to the configuration file. */
export interface CommandLine {
  /** `-p`: ports of MQTT listeners on loopback, for want of listeners in the file. */
  readonly ports: readonly number[];
  /** `--ws-port`: one more WebSocket listener on loopback; null: none. */
  readonly webSocketPort: number | null;
  /** `-v`: all types are logged, whatever the file says. */
  readonly verbose: boolean;
  /** `-q`: nothing is logged, whatever the file and `-v` say. */
  readonly quiet: boolean;
  /** `-d`: the broker runs in the background, where nobody reads stderr. */
  readonly daemon: boolean;
  /** `--tls-keylog`: where the keys of TLS connections go; null: nowhere. */
  readonly tlsKeyLogFile: string | null;
  /** `--data`, in place of persistence_location; null: not given. */
  readonly dataDirectory: string | null;
  /** `--durability`, in place of durability and persistence; null: not given. */
  readonly durability: Durability | null;
}

/** A command line without flags. */
export const NO_FLAGS: CommandLine = {
  ports: [],
  webSocketPort: null,
  verbose: false,
  quiet: false,
  daemon: false,
  tlsKeyLogFile: null,
  dataDirectory: null,
  durability: null,
};
