/** Options of Sessions, of what waits in them, and of the disk. */
import { SECONDS_NEVER } from "../base/quantity.ts";
import { global, SECOND, SPAN_UNIT, TEXT_CHARACTERS_MAX, UINT32_MAX } from "./option.ts";
import { QUEUE_OVERFLOW, QUEUE_RULE, QUEUED_BYTES, QUEUED_MESSAGES } from "./queue-rule.ts";
import { DURATION, integer, oneOf, SWITCH, text } from "./values.ts";

export const SESSION_OPTIONS = {
  persistent_client_expiration: global(
    DURATION,
    SECONDS_NEVER,
    "How long a Session of MQTT 3.1 or 3.1.1 outlives its connection, and one of 5.0 at most.",
    { unit: SPAN_UNIT, defaultText: "never ends", reloadable: true },
  ),
  max_session_expiry_interval: global(
    DURATION,
    SECONDS_NEVER,
    "Holdfast's own: the longest Session Expiry Interval granted to an MQTT 5.0 client.",
    { unit: SPAN_UNIT, defaultText: "never ends", reloadable: true },
  ),
  max_queued_messages: global(
    QUEUED_MESSAGES,
    100_000,
    "Messages that a Session keeps waiting; 0: no limit.",
    { unit: "messages", reloadable: true },
  ),
  max_queued_bytes: global(
    QUEUED_BYTES,
    67_108_864,
    "Size of the messages that a Session keeps waiting; 0: no limit.",
    { unit: "bytes", reloadable: true },
  ),
  queue_overflow: global(
    QUEUE_OVERFLOW,
    "drop-oldest",
    "Holdfast's own: what goes when a queue is full; reject refuses the publisher's message.",
    { since: SECOND, reloadable: true },
  ),
  queue_qos0_messages: global(
    SWITCH,
    false,
    "Whether QoS 0 messages wait, too, in Sessions whose clients are away.",
    { since: SECOND, reloadable: true },
  ),
  max_message_expiry_interval: global(
    DURATION,
    null,
    "Holdfast's own: the longest life of a message that waits in a queue or is retained.",
    { unit: SPAN_UNIT, defaultText: "no limit", since: SECOND, reloadable: true },
  ),
  queue_rule: global(
    QUEUE_RULE,
    null,
    "Holdfast's own: other values of these for the messages of some topics; several lines add up.",
    { repeats: true, defaultText: "none", since: SECOND, reloadable: true },
  ),
  durability: global(
    oneOf(["fsync", "process", "memory"]),
    null,
    "Holdfast's own: what an acknowledgement outlives: a power cut, the process, or neither.",
    { defaultText: "fsync; memory if `persistence` is false", since: SECOND },
  ),
  persistence: global(
    SWITCH,
    true,
    "Whether Sessions and retained messages are kept on disk; false: `durability memory`.",
    { since: SECOND },
  ),
  persistence_location: global(
    text("path", TEXT_CHARACTERS_MAX),
    "holdfast-data",
    "The directory of everything kept on disk.",
    { since: SECOND },
  ),
  persistence_file: global(
    text("name", TEXT_CHARACTERS_MAX),
    null,
    "Accepted for the sake of older files: Holdfast's files have names of their own.",
    {
      defaultText: "none",
      since: SECOND,
      notice: "is not obeyed: holdfast has files of its own in persistence_location",
      reloadable: true,
    },
  ),
  autosave_interval: global(
    integer(0, UINT32_MAX),
    null,
    "Accepted for the sake of older files: nothing waits to be saved.",
    { defaultText: "none", since: SECOND, reloadable: true },
  ),
  autosave_on_changes: global(
    SWITCH,
    null,
    "Accepted for the sake of older files: nothing waits to be saved.",
    { defaultText: "none", since: SECOND, reloadable: true },
  ),
  max_store_bytes: global(
    integer(0, Number.MAX_SAFE_INTEGER),
    0,
    "Holdfast's own: most that is kept on disk; 0: 80 % of the space that is free at the start.",
    { unit: "bytes", since: SECOND },
  ),
} as const;
