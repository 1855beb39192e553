/**
 * The known word closest to a misspelt one, for error lines that end in "did you mean …?".
 */

/** Longest word that is compared; a longer one has no neighbour. */
const WORD_CHARACTERS_MAX = 64;

/**
 * Levenshtein distance: fewest insertions, deletions and replacements of single characters that
 * turn `from` into `to`. O(from × to).
 */
export function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const replaced = from[row - 1] === to[column - 1] ? 0 : 1;
      current.push(
        Math.min(
          (previous[column] ?? 0) + 1,
          (current[column - 1] ?? 0) + 1,
          (previous[column - 1] ?? 0) + replaced,
        ),
      );
    }
    previous = current;
  }
  return previous[to.length] ?? 0;
}

/**
 * The candidate with the fewest edits from `word`, upper and lower case being equal.
 *
 * @returns null if even the best differs in half of its characters or more: then a guess only
 *   misleads
 */
export function nearest(word: string, candidates: Iterable<string>): string | null {
  if (word.length > WORD_CHARACTERS_MAX) return null;
  const wanted = word.toLowerCase();
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = editDistance(wanted, candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  if (best === null || bestDistance * 2 >= Math.max(best.length, word.length)) return null;
  return best;
}
