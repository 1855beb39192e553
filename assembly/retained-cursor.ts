/**
 * A cursor over the retained topics that match a Topic Filter, in slices.          MQTT 5.0 §3.8.4
 *
 *   ┌─────────┬──────┬─────────────┬───────┬────────┬─────────────┬────────┬────────┐
 *   │ current │ walk │ subtreeRoot │ depth │ hidden │ filterBytes │ frames │ filter │  u32 each,
 *   └─────────┴──────┴─────────────┴───────┴────────┴─────────────┴────────┴────────┘  then bytes
 *
 *   frame: the root's, and one per `+` under way
 *   ┌──────┬──────────┬──────┐   next: the node to go on with
 *   │ next │ position │ kind │   position: of the level below it in the filter
 *   └──────┴──────────┴──────┘   kind: children, or cousins where an exact level follows the `+`
 *
 * An exact level is looked up. `+` opens a frame. `#` walks the subtree by its links. The tree may
 * change between slices: no node is freed while a cursor is open, and new ones are linked in front
 * of, or right behind, the first: each list is walked to its end, so each walk ends.
 */
import { alloc, free } from "./memory";
import {
  NODE_CHILD,
  NODE_LABEL,
  NODE_LABEL_BYTES,
  NODE_NEXT,
  NODE_NEXT_COUSIN,
  NODE_PARENT,
  NODE_VALUE,
  retainedChild,
  retainedCursors,
  retainedGrandchild,
  retainedRoot,
  retainedTopic,
} from "./retained-tree";
import { DOLLAR_SIGN, isHash, isPlus, levelEnd, NUMBER_SIGN } from "./topic";

const CURSOR_CURRENT: u32 = 0;
const CURSOR_WALK: u32 = 4;
const CURSOR_SUBTREE: u32 = 8;
const CURSOR_DEPTH: u32 = 12;
const CURSOR_HIDDEN: u32 = 16;
const CURSOR_FILTER_BYTES: u32 = 20;
const CURSOR_FRAMES: u32 = 24;
const CURSOR_FILTER: u32 = 28;

const FRAME_NEXT: u32 = 0;
const FRAME_POSITION: u32 = 4;
const FRAME_KIND: u32 = 8;
const FRAME_BYTES: u32 = 12;
const CHILDREN: u32 = 0;
const COUSINS: u32 = 1;

/** The filter `#`. */
const ALL: usize = memory.data(1);

/** cursorNext(): no topic is left. */
export const CURSOR_END: u32 = 0;
/** cursorNext(): the steps are used up, go on later. */
export const CURSOR_PAUSE: u32 = 1;

function plusCount(at: usize, end: usize): u32 {
  let found: u32 = 0;
  while (at <= end) {
    const stop = levelEnd(at, end);
    if (isPlus(at, stop)) found++;
    at = stop + 1;
  }
  return found;
}

/**
 * Opens a cursor over the topics that match a valid Topic Filter.
 *
 * @param filterAt  copied
 * @returns the cursor, to be closed; 0 where memory is short
 */
export function cursorOpen(filterAt: usize, filterBytes: u32): usize {
  const framesAt = (CURSOR_FILTER + filterBytes + 3) & ~3;
  const frames = 1 + plusCount(filterAt, filterAt + filterBytes);
  const cursor = alloc(framesAt + frames * FRAME_BYTES);
  if (cursor === 0) return 0;
  retainedCursors(1);
  const filter = cursor + CURSOR_FILTER;
  memory.fill(cursor, 0, CURSOR_FILTER);
  memory.copy(filter, filterAt, filterBytes);
  store<u32>(cursor, filterBytes, CURSOR_FILTER_BYTES);
  store<u32>(cursor, <u32>cursor + framesAt, CURSOR_FRAMES);
  // A filter that starts with a wildcard matches no topic that starts with `$` [MQTT-4.7.2-1].
  const stop = levelEnd(filter, filter + filterBytes);
  const wild = isPlus(filter, stop) || isHash(filter, stop, filter + filterBytes);
  store<u32>(cursor, wild ? 1 : 0, CURSOR_HIDDEN);
  pushFrame(cursor, retainedRoot(), filter, CHILDREN);
  return cursor;
}

/** Opens a cursor over all topics, those that begin with `$` included. @returns as cursorOpen() */
export function cursorOpenAll(): usize {
  store<u8>(ALL, NUMBER_SIGN);
  const cursor = cursorOpen(ALL, 1);
  if (cursor !== 0) store<u32>(cursor, 0, CURSOR_HIDDEN);
  return cursor;
}

/** Closes it; the cursor is dead after. */
export function cursorClose(cursor: usize): void {
  free(cursor);
  retainedCursors(-1);
}

/** Writes the Topic Name of the match that cursorNext() gave last. @returns its bytes */
export function cursorTopic(cursor: usize, destination: usize): u32 {
  return retainedTopic(load<u32>(cursor, CURSOR_CURRENT), destination);
}

function pushFrame(cursor: usize, next: usize, position: usize, kind: u32): void {
  const depth = load<u32>(cursor, CURSOR_DEPTH);
  const frame: usize = load<u32>(cursor, CURSOR_FRAMES) + depth * FRAME_BYTES;
  store<u32>(frame, <u32>next, FRAME_NEXT);
  store<u32>(frame, <u32>position, FRAME_POSITION);
  store<u32>(frame, kind, FRAME_KIND);
  store<u32>(cursor, depth + 1, CURSOR_DEPTH);
}

/**
 * Goes on below a node that matches the filter up to `position`: by exact levels down to a match, a
 * frame, a subtree or nowhere.
 *
 * @returns the node where the filter ends there, else 0
 */
function descend(cursor: usize, from: usize, position: usize): usize {
  const end = cursor + CURSOR_FILTER + load<u32>(cursor, CURSOR_FILTER_BYTES);
  let node = from;
  let at = position;
  while (at <= end) {
    const stop = levelEnd(at, end);
    if (isHash(at, stop, end)) {
      store<u32>(cursor, <u32>node, CURSOR_WALK);
      store<u32>(cursor, <u32>node, CURSOR_SUBTREE);
      return 0;
    }
    if (isPlus(at, stop)) {
      const exactAt = stop + 1;
      const exactStop = exactAt <= end ? levelEnd(exactAt, end) : exactAt;
      if (exactAt > end || isPlus(exactAt, exactStop) || isHash(exactAt, exactStop, end)) {
        pushFrame(cursor, load<u32>(node, NODE_CHILD), exactAt, CHILDREN);
      } else {
        const first = retainedGrandchild(node, exactAt, <u32>(exactStop - exactAt));
        pushFrame(cursor, first, exactStop + 1, COUSINS);
      }
      return 0;
    }
    node = retainedChild(node, at, <u32>(stop - at));
    if (node === 0) return 0;
    at = stop + 1;
  }
  return node;
}

/** Whether the level is the first one of a topic that a leading wildcard must not match. */
function isHidden(cursor: usize, node: usize): bool {
  return (
    load<u32>(cursor, CURSOR_HIDDEN) !== 0 &&
    <usize>load<u32>(node, NODE_PARENT) === retainedRoot() &&
    load<u16>(node, NODE_LABEL_BYTES) !== 0 &&
    load<u8>(node, NODE_LABEL) === DOLLAR_SIGN
  );
}

/** One step of a subtree walk, parents first. @returns the node passed, if it counts */
function stepSubtree(cursor: usize): usize {
  const subtree: usize = load<u32>(cursor, CURSOR_SUBTREE);
  const node: usize = load<u32>(cursor, CURSOR_WALK);
  const hidden = isHidden(cursor, node);
  let next: usize = hidden ? 0 : load<u32>(node, NODE_CHILD);
  let above = node;
  while (next === 0 && above !== subtree) {
    next = load<u32>(above, NODE_NEXT);
    above = load<u32>(above, NODE_PARENT);
  }
  store<u32>(cursor, <u32>next, CURSOR_WALK);
  return hidden ? 0 : node;
}

/** One step of the innermost frame. @returns the node where the filter ends, else 0 */
function stepFrame(cursor: usize): usize {
  const depth = load<u32>(cursor, CURSOR_DEPTH);
  const frame: usize = load<u32>(cursor, CURSOR_FRAMES) + (depth - 1) * FRAME_BYTES;
  const node: usize = load<u32>(frame, FRAME_NEXT);
  if (node === 0) {
    store<u32>(cursor, depth - 1, CURSOR_DEPTH);
    return 0;
  }
  const cousin = load<u32>(frame, FRAME_KIND) === COUSINS;
  const next = cousin ? load<u32>(node, NODE_NEXT_COUSIN) : load<u32>(node, NODE_NEXT);
  store<u32>(frame, next, FRAME_NEXT);
  if (isHidden(cursor, cousin ? <usize>load<u32>(node, NODE_PARENT) : node)) return 0;
  return descend(cursor, node, load<u32>(frame, FRAME_POSITION));
}

/**
 * Finds the next match.
 *
 * @param stepsMax  nodes that this call may look at, ≥ 1
 * @returns the match's value; CURSOR_END; CURSOR_PAUSE if the steps were used up before
 */
export function cursorNext(cursor: usize, stepsMax: u32): u32 {
  for (let steps: u32 = 0; steps < stepsMax; steps++) {
    let node: usize;
    if (load<u32>(cursor, CURSOR_WALK) !== 0) node = stepSubtree(cursor);
    else if (load<u32>(cursor, CURSOR_DEPTH) !== 0) node = stepFrame(cursor);
    else return CURSOR_END;
    if (node === 0) continue;
    const value = load<u32>(node, NODE_VALUE);
    if (value === 0) continue;
    store<u32>(cursor, <u32>node, CURSOR_CURRENT);
    return value;
  }
  return CURSOR_PAUSE;
}
