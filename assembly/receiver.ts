/**
 * How a receiver wants a message: what its subscriptions that match say together.       §3.3.4
 */
import { ENTRY_BITS, ENTRY_IDENTIFIERS } from "./topic-match";
import {
  ENTRY_IDENTIFIED,
  ENTRY_NO_LOCAL,
  ENTRY_NO_LOCAL_ALL,
  ENTRY_QOS_MASK,
  ENTRY_RETAIN_AS_PUBLISHED,
  ENTRY_SEVERAL,
} from "./topic-tree";

/** Subscription Identifiers that one PUBLISH carries at most. */
const IDENTIFIERS_MAX: u32 = 1024;
const OPTION_NO_LOCAL_BIT: u32 = 4;
const OPTION_RETAIN_AS_PUBLISHED_BIT: u32 = 8;

/** Subscription Identifiers of the receiver at hand: {u32 count, u32 …}. */
const gathered: usize = memory.data(4 + 4 * 1024, 4);

// What receiverOptions() found.
export let receiverQos: u32 = 0;
export let receiverRetain: bool = false;
export let receiverSeveral: bool = false;
export let receiverIdentifiers: u32 = 0;
/** How many subscriptions were looked at for it. */
export let receiverLookedAt: u32 = 0;

/**
 * Merges a receiver's several subscriptions; those with No Local do not count for the publisher.
 */
function mergeSeveral(list: usize, entry: usize, own: bool): bool {
  const raw = list + load<u32>(entry, ENTRY_IDENTIFIERS);
  const total = load<u32>(raw);
  receiverLookedAt = total;
  let identifiers: u32 = 0;
  let any = false;
  receiverQos = 0;
  receiverRetain = false;
  for (let i: u32 = 0; i < total; i++) {
    const options = load<u32>(raw + 4 + (i << 3));
    const identifier = load<u32>(raw + 8 + (i << 3));
    if (own && options & OPTION_NO_LOCAL_BIT) continue; // [MQTT-3.8.3-3]
    any = true;
    receiverQos = max(receiverQos, options & ENTRY_QOS_MASK); // [MQTT-3.3.4-2]
    if (options & OPTION_RETAIN_AS_PUBLISHED_BIT) receiverRetain = true;
    if (identifier !== 0 && identifiers < IDENTIFIERS_MAX) {
      store<u32>(gathered + 4 + (identifiers << 2), identifier); // [MQTT-3.3.4-3]
      identifiers++;
    }
  }
  store<u32>(gathered, identifiers);
  receiverSeveral = identifiers !== 0;
  receiverIdentifiers = identifiers !== 0 ? <u32>gathered : 0;
  return any;
}

/** How this receiver wants the message. @returns false where it does not. Hot. */
export function receiverOptions(list: usize, entry: usize, own: bool): bool {
  const bits = load<u32>(entry, ENTRY_BITS);
  receiverLookedAt = 1;
  if (own && bits & ENTRY_NO_LOCAL) {
    if (bits & ENTRY_NO_LOCAL_ALL || !(bits & ENTRY_SEVERAL)) return false;
    return mergeSeveral(list, entry, true);
  }
  if (bits & ENTRY_SEVERAL && bits & ENTRY_IDENTIFIED) return mergeSeveral(list, entry, false);
  receiverQos = bits & ENTRY_QOS_MASK;
  receiverRetain = (bits & ENTRY_RETAIN_AS_PUBLISHED) !== 0;
  receiverSeveral = false;
  receiverIdentifiers = bits & ENTRY_SEVERAL ? 0 : load<u32>(entry, ENTRY_IDENTIFIERS);
  return true;
}
