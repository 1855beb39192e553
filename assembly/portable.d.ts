/**
 * What asc calls a number, for the two files that tsc and vitest read as well: abi.ts and spec.ts.
 */
type u8 = number;
type u16 = number;
type u32 = number;
type i32 = number;
type usize = number;
