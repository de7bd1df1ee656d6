// Typed arrays out of one binary buffer, as `_pack.py` laid and compressed them.

import { unzlibSync } from "fflate";

export interface Slot {
  readonly dtype: "u8" | "u16" | "u32" | "i32" | "f32";
  readonly shape: readonly number[];
  readonly offset: number;
  /** Quantised values are code * scale + base; absent for exact ones. */
  readonly scale?: number;
  readonly base?: number;
}

export type Layout = Readonly<Record<string, Slot>>;

type Codes = Uint8Array | Uint16Array | Uint32Array | Int32Array | Float32Array;

const ARRAYS = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, i32: Int32Array, f32: Float32Array } as const;

/** An array of numbers; quantised ones are turned back when they are read. */
export class Packed {
  constructor(
    readonly shape: readonly number[],
    private readonly codes: Codes,
    private readonly scale = 1,
    private readonly base = 0,
  ) {}

  get length(): number {
    return this.codes.length;
  }

  at(index: number): number {
    return this.codes[index] * this.scale + this.base;
  }
}

/** All arrays of a buffer; refuses a layout that reaches outside it. */
export function unpack(buffer: DataView, layout: Layout): Record<string, Packed> {
  const bytes = unzlibSync(new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength));
  const made: Record<string, Packed> = {};
  for (const [name, slot] of Object.entries(layout)) {
    const kind = ARRAYS[slot.dtype];
    const count = slot.shape.reduce((a, b) => a * b, 1);
    const end = slot.offset + count * kind.BYTES_PER_ELEMENT;
    if (end > bytes.length) throw new Error(`${name} reaches outside the data (${end} of ${bytes.length} bytes)`);
    made[name] = new Packed(slot.shape, new kind(bytes.slice(slot.offset, end).buffer), slot.scale, slot.base);
  }
  return made;
}
