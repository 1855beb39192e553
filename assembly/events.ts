/**
 * What the engine tells the host at a turn's end. The list of events is full only where tens of
 * thousands of connections and Sessions want something in one turn; what it did not take is looked
 * for in the next, among all of them, so that nobody waits for ever.
 */
import { CONNECTIONS_MAX } from "./abi";
import { C_FLAGS, C_OPEN, recordOf, takeRaised, takeRefused } from "./connection";
import { isGroup, tellShared } from "./groups";
import { drained } from "./lifecycle";
import { wanted } from "./load";
import { hasQueued } from "./queue";
import { sessionAfter } from "./session";
import { wantLoad } from "./window";

function raiseAgain(): void {
  for (let connection: u32 = 1; connection < CONNECTIONS_MAX; connection++) {
    const record = recordOf(connection);
    if (load<u32>(record, C_FLAGS) & C_OPEN) drained(record);
  }
  let session = sessionAfter(0);
  while (session !== 0) {
    if (wanted(session) >= 0) wantLoad(session);
    if (isGroup(session) && hasQueued(session)) tellShared(session);
    session = sessionAfter(session);
  }
}

/** @returns number of records in EVENTS, which are the host's until it calls again */
export function takeEvents(): u32 {
  if (takeRefused()) raiseAgain();
  return takeRaised();
}
