/** Options of how fast clients may come, and of what those wait for that fail. */
import { FOURTH, global, listener } from "./option.ts";
import { integer } from "./values.ts";

/** More connections in a second than a machine accepts. */
const RATE_MAX = 1_000_000;

export const ADMISSION_OPTIONS = {
  connect_rate: listener(
    integer(0, RATE_MAX),
    0,
    "Holdfast's own: CONNECTs a second that the listener takes; who is past it gets 0x9F; 0: all.",
    { unit: "per second", since: FOURTH, reloadable: true },
  ),
  connect_rate_per_address: listener(
    integer(0, RATE_MAX),
    0,
    "Holdfast's own: the same for each address, of IPv6 for each /64; mind fleets behind one.",
    { unit: "per second", since: FOURTH, reloadable: true },
  ),
  max_publish_rate: global(
    integer(0, RATE_MAX),
    0,
    "Holdfast's own: messages a second that a client may publish; past it 0x96; 0: any.",
    { unit: "per second", since: FOURTH, reloadable: true },
  ),
  max_publish_burst: global(
    integer(0, RATE_MAX),
    0,
    "Holdfast's own: most of them that may come at once; 0: as many as in a second.",
    { unit: "messages", since: FOURTH, reloadable: true },
  ),
  failed_login_delay: global(
    integer(0, 25),
    2,
    "Holdfast's own: longest that the answer to a failed login waits, once one address has many.",
    { unit: "seconds", since: FOURTH, reloadable: true },
  ),
  overload_delay: global(
    integer(0, 60_000),
    1_000,
    "Holdfast's own: delay of the event loop from which on new Sessions get 0x89; 0: never.",
    { unit: "milliseconds", since: FOURTH, reloadable: true },
  ),
} as const;
