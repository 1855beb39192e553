/** Delivers what is left of PUBLISHes whose connections have ended: see slices.ts. */
import { D_PAYLOAD_BYTES, DECODED, R_BUDGET, R_COMMIT, R_DONE } from "./abi";
import { describeStored } from "./described";
import { journalFull } from "./journal";
import { releaseList } from "./match-cache";
import { M_FLAGS, M_PAYLOAD_BYTES, M_RETAIN } from "./message";
import { budgetLeft, deliver, endDescription } from "./route";
import { endLeft, firstLeft, L_INDEX, L_LIST, L_MESSAGE, publisherOfLeft } from "./slices";
import { LIST_COUNT } from "./topic-match";

/**
 * Delivers within the budget.
 *
 * @returns R_DONE; R_BUDGET or R_COMMIT where some is left
 */
export function deliverLeft(): i32 {
  for (let left = firstLeft(); left !== 0; left = firstLeft()) {
    if (journalFull()) return R_COMMIT;
    if (!budgetLeft()) return R_BUDGET;
    const list: usize = load<u32>(left, L_LIST);
    const message: usize = load<u32>(left, L_MESSAGE);
    describeStored(message);
    // deliver() measures by it.
    store<u32>(DECODED, load<u32>(message, M_PAYLOAD_BYTES), D_PAYLOAD_BYTES);
    const retained = (load<u8>(message, M_FLAGS) & M_RETAIN) !== 0;
    const next = deliver(publisherOfLeft(left), list, load<u32>(left, L_INDEX), 2, retained);
    store<u32>(left, next, L_INDEX);
    if (next < load<u32>(list, LIST_COUNT)) return R_BUDGET;
    endLeft();
    releaseList(list);
    endDescription();
  }
  return R_DONE;
}
