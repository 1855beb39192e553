/** The journal's tail: the pages that are committed and not in the index yet, oldest first. */

interface TailPage {
  readonly number: number;
  readonly bytes: number;
  readonly committedMs: number;
}

export class Tail {
  #pages: TailPage[] = [];
  #bytes = 0;

  /** Bytes of the pages and their payloads apart. */
  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#pages.length;
  }

  /** @param committedMs  Unix milliseconds, or of any clock that newestBefore() is asked with */
  add(number: number, bytes: number, committedMs: number): void {
    this.#pages.push({ number, bytes, committedMs });
    this.#bytes += bytes;
  }

  /** When the oldest page was committed; `none` where there is no page. */
  oldestMs(none: number): number {
    return this.#pages[0]?.committedMs ?? none;
  }

  /** The newest page of those committed until `ms`; 0: there is none. */
  newestBefore(ms: number): number {
    let number = 0;
    for (const page of this.#pages) {
      if (page.committedMs > ms) break;
      number = page.number;
    }
    return number;
  }

  /** All pages up to `position` are in the index. */
  cut(position: number): void {
    const kept = this.#pages.findIndex((page) => page.number > position);
    const cut = this.#pages.splice(0, kept < 0 ? this.#pages.length : kept);
    for (const { bytes } of cut) this.#bytes -= bytes;
  }
}
