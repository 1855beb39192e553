/**
 * Entries of what a Session is owed as the member of a group: they name the group, so that another
 * member can have the message where this one's Session ends (leave.ts).
 */
import { E_FLAGS, E_IDENTIFIERS, E_SHARED } from "./queue";

/** The group of the messages that newEntry() is asked for: its number, or 0. */
let groupAtHand: u32 = 0;
/** {u32 count, u32 number of the group, u32 Subscription Identifier}. */
const ofGroup: usize = memory.data(12, 4);

/** @param number  of the group whose message is given to a member, or 0 */
export function setGroupAtHand(number: u32): void {
  groupAtHand = number;
}

/** Whether what is sent now is a group's. Hot. */
export function isOfGroup(): bool {
  return groupAtHand !== 0;
}

/** What stands for the Subscription Identifiers in the entry of a group's message. */
export function listOfGroup(identifier: u32): u32 {
  store<u32>(ofGroup, identifier !== 0 ? 2 : 1);
  store<u32>(ofGroup, groupAtHand, 4);
  store<u32>(ofGroup, identifier, 8);
  return <u32>ofGroup;
}

/** Number of the group of an entry that is E_SHARED. */
export function groupOfEntry(entry: usize): u32 {
  return load<u32>(load<u32>(entry, E_IDENTIFIERS), 4);
}

/** The Subscription Identifiers of an entry as sendPublish() takes them, if it is not several. */
export function identifierOfEntry(entry: usize): u32 {
  const identifiers = load<u32>(entry, E_IDENTIFIERS);
  if ((load<u32>(entry, E_FLAGS) & E_SHARED) === 0) return identifiers;
  return load<u32>(identifiers) > 1 ? load<u32>(identifiers, 8) : 0;
}
