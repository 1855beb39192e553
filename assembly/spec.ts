/**
 * MQTT's own tables, as numbers: packet types, flags, property identifiers, Reason Codes.
 *
 * Source: OASIS Standard MQTT 5.0 of 7 March 2019, §2.1.2, §2.2.2.2, §2.4; MQTT 3.1.1 §3.2.2.3.
 */

// Control Packet types, §2.1.2.
export const CONNECT: u32 = 1;
export const CONNACK: u32 = 2;
export const PUBLISH: u32 = 3;
export const PUBACK: u32 = 4;
export const PUBREC: u32 = 5;
export const PUBREL: u32 = 6;
export const PUBCOMP: u32 = 7;
export const SUBSCRIBE: u32 = 8;
export const SUBACK: u32 = 9;
export const UNSUBSCRIBE: u32 = 10;
export const UNSUBACK: u32 = 11;
export const PINGREQ: u32 = 12;
export const PINGRESP: u32 = 13;
export const DISCONNECT: u32 = 14;
export const AUTH: u32 = 15;

// PUBLISH flags, §3.3.1.
export const FLAG_RETAIN: u32 = 1;
export const FLAG_QOS_SHIFT: u32 = 1;
export const FLAG_DUP: u32 = 8;

// Connect Flags, §3.1.2.3.
export const CONNECT_RESERVED: u32 = 0x01;
export const CONNECT_CLEAN_START: u32 = 0x02;
export const CONNECT_WILL: u32 = 0x04;
export const CONNECT_WILL_QOS_SHIFT: u32 = 3;
export const CONNECT_WILL_RETAIN: u32 = 0x20;
export const CONNECT_PASSWORD: u32 = 0x40;
export const CONNECT_USER_NAME: u32 = 0x80;

// Subscription Options, §3.8.3.1.
export const OPTION_QOS: u32 = 0x03;
export const OPTION_NO_LOCAL: u32 = 0x04;
export const OPTION_RETAIN_AS_PUBLISHED: u32 = 0x08;
export const OPTION_RETAIN_HANDLING_SHIFT: u32 = 4;
export const OPTION_RESERVED: u32 = 0xc0;
/** Ours, where the standard has a reserved bit: retained messages are due yet (retained-due.ts). */
export const OPTION_RETAINED_DUE: u32 = 0x40;

// Protocol versions on the wire, §3.1.2.2.
export const VERSION_3_1: u32 = 3;
export const VERSION_3_1_1: u32 = 4;
export const VERSION_5: u32 = 5;
/** mosquitto's own, beside a version before 5: the client is another broker's bridge. */
export const LEVEL_BRIDGE: u32 = 0x80;

// Property identifiers, §2.2.2.2.
export const PAYLOAD_FORMAT_INDICATOR: u32 = 0x01;
export const MESSAGE_EXPIRY_INTERVAL: u32 = 0x02;
export const CONTENT_TYPE: u32 = 0x03;
export const RESPONSE_TOPIC: u32 = 0x08;
export const CORRELATION_DATA: u32 = 0x09;
export const SUBSCRIPTION_IDENTIFIER: u32 = 0x0b;
export const SESSION_EXPIRY_INTERVAL: u32 = 0x11;
export const ASSIGNED_CLIENT_IDENTIFIER: u32 = 0x12;
export const SERVER_KEEP_ALIVE: u32 = 0x13;
export const AUTHENTICATION_METHOD: u32 = 0x15;
export const AUTHENTICATION_DATA: u32 = 0x16;
export const REQUEST_PROBLEM_INFORMATION: u32 = 0x17;
export const WILL_DELAY_INTERVAL: u32 = 0x18;
export const REQUEST_RESPONSE_INFORMATION: u32 = 0x19;
export const RESPONSE_INFORMATION: u32 = 0x1a;
export const SERVER_REFERENCE: u32 = 0x1c;
export const REASON_STRING: u32 = 0x1f;
export const RECEIVE_MAXIMUM: u32 = 0x21;
export const TOPIC_ALIAS_MAXIMUM: u32 = 0x22;
export const TOPIC_ALIAS: u32 = 0x23;
export const MAXIMUM_QOS: u32 = 0x24;
export const RETAIN_AVAILABLE: u32 = 0x25;
export const USER_PROPERTY: u32 = 0x26;
export const MAXIMUM_PACKET_SIZE: u32 = 0x27;
export const WILDCARD_SUBSCRIPTION_AVAILABLE: u32 = 0x28;
export const SUBSCRIPTION_IDENTIFIER_AVAILABLE: u32 = 0x29;
export const SHARED_SUBSCRIPTION_AVAILABLE: u32 = 0x2a;
/** The highest property identifier there is. */
export const PROPERTY_MAX: u32 = 0x2a;

// Reason Codes, §2.4.
export const SUCCESS: i32 = 0x00;
export const DISCONNECT_WITH_WILL: i32 = 0x04;
export const NO_MATCHING_SUBSCRIBERS: i32 = 0x10;
export const NO_SUBSCRIPTION_EXISTED: i32 = 0x11;
export const CONTINUE_AUTHENTICATION: i32 = 0x18;
export const RE_AUTHENTICATE: i32 = 0x19;
export const UNSPECIFIED_ERROR: i32 = 0x80;
export const MALFORMED_PACKET: i32 = 0x81;
export const PROTOCOL_ERROR: i32 = 0x82;
export const IMPLEMENTATION_SPECIFIC_ERROR: i32 = 0x83;
export const UNSUPPORTED_PROTOCOL_VERSION: i32 = 0x84;
export const CLIENT_IDENTIFIER_NOT_VALID: i32 = 0x85;
export const BAD_USER_NAME_OR_PASSWORD: i32 = 0x86;
export const NOT_AUTHORIZED: i32 = 0x87;
export const SERVER_UNAVAILABLE: i32 = 0x88;
export const SERVER_BUSY: i32 = 0x89;
export const BANNED: i32 = 0x8a;
export const SERVER_SHUTTING_DOWN: i32 = 0x8b;
export const BAD_AUTHENTICATION_METHOD: i32 = 0x8c;
export const KEEP_ALIVE_TIMEOUT: i32 = 0x8d;
export const SESSION_TAKEN_OVER: i32 = 0x8e;
export const TOPIC_FILTER_INVALID: i32 = 0x8f;
export const TOPIC_NAME_INVALID: i32 = 0x90;
export const PACKET_IDENTIFIER_IN_USE: i32 = 0x91;
export const PACKET_IDENTIFIER_NOT_FOUND: i32 = 0x92;
export const RECEIVE_MAXIMUM_EXCEEDED: i32 = 0x93;
export const TOPIC_ALIAS_INVALID: i32 = 0x94;
export const PACKET_TOO_LARGE: i32 = 0x95;
export const MESSAGE_RATE_TOO_HIGH: i32 = 0x96;
export const QUOTA_EXCEEDED: i32 = 0x97;
export const ADMINISTRATIVE_ACTION: i32 = 0x98;
export const PAYLOAD_FORMAT_INVALID: i32 = 0x99;
export const RETAIN_NOT_SUPPORTED: i32 = 0x9a;
export const QOS_NOT_SUPPORTED: i32 = 0x9b;
export const USE_ANOTHER_SERVER: i32 = 0x9c;
export const SERVER_MOVED: i32 = 0x9d;
export const SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: i32 = 0x9e;
export const CONNECTION_RATE_EXCEEDED: i32 = 0x9f;
export const MAXIMUM_CONNECT_TIME: i32 = 0xa0;
export const SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED: i32 = 0xa1;
export const WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED: i32 = 0xa2;
