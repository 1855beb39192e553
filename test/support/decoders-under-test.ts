/**
 * The decoders whose every answer must be the reference's: the engine's, in both its builds.
 */
import { BUILDS } from "./codec-engine.ts";
import type { Decoder } from "./decoder.ts";
import { engineDecoder } from "./decoder-engine.ts";

export const DECODERS_UNDER_TEST: readonly Decoder[] = BUILDS.map(engineDecoder);
