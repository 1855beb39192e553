/** Options of the process and of what it tells. */
import { FOURTH, global, TEXT_CHARACTERS_MAX, THIRD, UINT16_MAX } from "./option.ts";
import {
  integer,
  LOG_DESTINATION,
  LOG_FACILITY,
  LOG_TYPE,
  oneOf,
  REDIRECT,
  SWITCH,
  text,
} from "./values.ts";

export const PROCESS_OPTIONS = {
  include_dir: global(
    text("directory", TEXT_CHARACTERS_MAX),
    null,
    "Every file `*.conf` of the directory is read as if its lines stood here.",
    { repeats: true, defaultText: "none", since: FOURTH, reloadable: true },
  ),
  user: global(
    text("user name", 255),
    null,
    "The user that the broker becomes after the start, where it is started by root.",
    { defaultText: "mosquitto, if there is one", since: FOURTH },
  ),
  pid_file: global(
    text("path", TEXT_CHARACTERS_MAX),
    null,
    "A file that holds the process's number while it runs.",
    { defaultText: "none", since: FOURTH },
  ),
  server_redirect_on_stop: global(
    REDIRECT,
    null,
    "Holdfast's own: where clients of MQTT 5.0 are sent when the broker stops.",
    { defaultText: "none", since: THIRD, reloadable: true },
  ),
  sys_interval: global(
    integer(0, UINT16_MAX),
    10,
    "Time between updates of the topics below `$SYS`; 0: none.",
    { unit: "seconds", reloadable: true },
  ),
  connection_messages: global(SWITCH, true, "Whether connects and disconnects are logged.", {
    reloadable: true,
  }),
  enable_control_api: global(
    SWITCH,
    false,
    "Whether `$CONTROL/broker/v1` answers listListeners and listPlugins.",
    { reloadable: true, since: "0.4.0" },
  ),
  log_dest: global(
    LOG_DESTINATION,
    null,
    "Where the log goes: stdout, stderr, syslog, topic, file PATH, or none; several lines add up.",
    { repeats: true, defaultText: "stderr; syslog with `-d`", reloadable: true },
  ),
  log_type: global(LOG_TYPE, null, "What is logged; several lines add up.", {
    repeats: true,
    defaultText: "error, warning, notice, information",
    reloadable: true,
  }),
  log_timestamp: global(SWITCH, true, "Whether a line of the log begins with its time.", {
    reloadable: true,
  }),
  log_timestamp_format: global(
    text("format", TEXT_CHARACTERS_MAX),
    null,
    "The form of that time, as strftime(3) reads it, such as `%Y-%m-%dT%H:%M:%S`.",
    { defaultText: "Unix seconds", reloadable: true },
  ),
  log_format: global(
    oneOf(["mosquitto", "text", "json"]),
    "mosquitto",
    "Holdfast's own: lines as mosquitto writes them (also named `text`), or a JSON object each.",
    { reloadable: true },
  ),
  log_facility: global(
    LOG_FACILITY,
    null,
    "The facility of `log_dest syslog`: 0 to 7 for local0 to local7.",
    { defaultText: "daemon", since: FOURTH, reloadable: true },
  ),
} as const;
