/** Limits of what a configuration may hold. */

/** Files of one `include_dir`: more are no configuration, but a directory named by mistake. */
export const INCLUDED_FILES_MAX = 1_000;
