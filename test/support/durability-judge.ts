/**
 * What a durable Session was owed, held against what arrived.
 *
 * Time is the clients' common clock, so only what one event surely preceded another is judged: a
 * message first sent behind the SUBACK is owed, one accepted before the SUBSCRIBE is foreign.
 */
import type { Arrival, DurableClient, HeldSubscription, Publication } from "./durability-client.ts";
import { naiveMatch } from "./naive-match.ts";

/** What is judged of a client. */
export type Publisher = Pick<DurableClient, "settings" | "publications">;
export type Subscriber = Pick<DurableClient, "settings" | "subscriptions" | "arrivals">;

/** A publication and its place among those of its publisher. */
interface Placed {
  readonly publication: Publication;
  readonly publisher: string;
  readonly place: number;
}

const FAULTS_SHOWN_MAX = 30;

const matches = new Map<string, boolean>();

/** naiveMatch, which is asked the same things very often. */
function isMatch(filter: string, topic: string): boolean {
  const key = `${filter}\0${topic}`;
  const known = matches.get(key) ?? naiveMatch(filter, topic);
  matches.set(key, known);
  return known;
}

/** All publications by payload, which must be unique. */
export function placesOf(publishers: readonly Publisher[]): ReadonlyMap<string, Placed> {
  const places = new Map<string, Placed>();
  for (const { settings, publications } of publishers) {
    for (const [place, publication] of publications.entries()) {
      if (places.has(publication.payload)) throw new Error(`twice: ${publication.payload}`);
      places.set(publication.payload, { publication, publisher: settings.clientIdentifier, place });
    }
  }
  return places;
}

/** Messages with QoS 1 and 2 that this Session must get, or must have got. */
export function owedTo(
  subscriber: Subscriber,
  publishers: readonly Publisher[],
): readonly Publication[] {
  const subscriptions = [...subscriber.subscriptions.values()];
  return publishers
    .flatMap(({ publications }) => publications)
    .filter(
      (publication) =>
        publication.acceptedTick > 0 &&
        subscriptions.some(
          ({ filter, qos, grantedTick }) =>
            Math.min(qos, publication.qos) > 0 &&
            grantedTick > 0 &&
            publication.sentTick > grantedTick &&
            isMatch(filter, publication.topic),
        ),
    );
}

/**
 * Settles when everything that is owed by now has arrived.
 *
 * @throws Error that names what is missing when time is up
 */
export async function receiveAll(
  subscriber: DurableClient,
  publishers: readonly Publisher[],
  millisecondsMax: number,
): Promise<void> {
  const missing = new Set(missingOf(subscriber, publishers));
  const { arrivals } = subscriber;
  let seenCount = arrivals.length;
  const hasAll = (): boolean => {
    for (; seenCount < arrivals.length; seenCount += 1) {
      missing.delete(arrivals[seenCount]?.payload ?? "");
    }
    return missing.size === 0;
  };
  await subscriber.until("all that is owed", hasAll, millisecondsMax).catch((error: Error) => {
    const shown = [...missing].slice(0, FAULTS_SHOWN_MAX).map((payload) => payload.slice(0, 40));
    throw new Error(`${missing.size} lost: ${shown}\n${error.message}`);
  });
}

/** Payloads that are owed and have not arrived. */
export function missingOf(
  subscriber: Subscriber,
  publishers: readonly Publisher[],
): readonly string[] {
  const arrived = new Set(subscriber.arrivals.map(({ payload }) => payload));
  return owedTo(subscriber, publishers)
    .map(({ payload }) => payload)
    .filter((payload) => !arrived.has(payload));
}

/**
 * Everything wrong with what arrived: lost, foreign, out of order, twice at QoS 2.
 *
 * @returns a sentence each; empty if the broker kept its promises
 */
export function faultsOf(
  subscriber: Subscriber,
  publishers: readonly Publisher[],
): readonly string[] {
  const places = placesOf(publishers);
  const faults = missingOf(subscriber, publishers).map((payload) => `lost: ${payload}`);
  const seen = new Set<string>();
  const latest = new Map<string, number>();
  for (const arrival of subscriber.arrivals) {
    const placed = places.get(arrival.payload);
    if (placed === undefined || !isExpected(subscriber, arrival, placed.publication)) {
      faults.push(`foreign: ${JSON.stringify(arrival)}`);
      continue;
    }
    if (seen.has(arrival.payload)) {
      if (arrival.qos === 2) faults.push(`twice with QoS 2: ${arrival.payload}`);
      continue;
    }
    seen.add(arrival.payload);
    if (arrival.retain) continue; // Sent at the SUBSCRIBE, out of the order of live messages.
    const { publication, publisher, place } = placed;
    const line = `${publisher} ${publication.topic} ${publication.qos}`;
    const before = latest.get(line) ?? -1;
    if (place < before) faults.push(`out of order: ${arrival.payload} in ${line}`);
    latest.set(line, Math.max(before, place));
  }
  const { clientIdentifier } = subscriber.settings;
  return faults.slice(0, FAULTS_SHOWN_MAX).map((fault) => `${clientIdentifier}: ${fault}`);
}

function isExpected(subscriber: Subscriber, arrival: Arrival, publication: Publication): boolean {
  if (arrival.topic !== publication.topic) return false;
  const matching = [...subscriber.subscriptions.values()].filter(
    (subscription) =>
      isMatch(subscription.filter, arrival.topic) && mayGet(subscription, publication),
  );
  return matching.some(({ qos }) => Math.min(qos, publication.qos) === arrival.qos);
}

function mayGet(subscription: HeldSubscription, publication: Publication): boolean {
  if (publication.sentTick === 0) return false;
  if (publication.retain) return true;
  return publication.acceptedTick === 0 || publication.acceptedTick > subscription.sentTick;
}
