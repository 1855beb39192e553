/**
 * The engine and the control plane in this process as a target of the wire pages.
 */
import { EngineHarness } from "./engine-harness.ts";
import type { WireConnection, WireTarget } from "./wire-target.ts";

/** First levels with `$` under which the pages publish. */
const DOLLAR_LEVELS = ["$SYS", "$x"];

/** A broker in this process; every connection finds it empty. */
export function engineTarget(): WireTarget {
  const harness = new EngineHarness();
  return { name: "the engine in this process", open: () => openConnection(harness) };
}

async function openConnection(harness: EngineHarness): Promise<WireConnection> {
  const peer = harness.open();
  const { wire } = peer;
  return {
    send: async (bytes) => {
      harness.send(peer, bytes);
      await harness.turnOnce();
    },
    receive: async () => {
      await harness.settle();
      const received = wire.takeReceived();
      if (received.length > 0) return received;
      if (wire.isEnded) return null;
      throw new Error("the broker has nothing more to do");
    },
    close: () => harness.clear(DOLLAR_LEVELS),
  };
}
