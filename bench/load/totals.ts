/** What a run counts, shared by its publishers and subscribers. */
import { LatencyRecorder } from "./latency.ts";

export class Totals {
  /** PUBLISH packets sent. */
  published = 0;
  /** PUBACK or PUBCOMP received; at QoS 0 it stays 0. */
  completed = 0;
  /** Messages that came to a subscriber for the first time. */
  delivered = 0;
  /** QoS 2 deliveries whose PUBREL has not come. */
  unreleased = 0;
  /** Messages of wrong topic, size, QoS or run. */
  foreign = 0;
  lastDeliveryMicros = 0;
  readonly latency = new LatencyRecorder();
}
