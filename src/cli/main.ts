import { X } from "#assembly/abi"; console.log(process.version, X);
