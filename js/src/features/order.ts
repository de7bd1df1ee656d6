// Rows in the order of a column, without comparing two of them: a number and its place are packed into one double.

const PLACES = 2 ** 20;
const LAST = 0xffffffff;

/** Places of the values in rising or falling order; equal ones as they stand, those that are no number last. At most 2^20. */
export function ordered(values: Float32Array, descending: boolean): Uint32Array {
  if (values.length > PLACES) throw new Error(`${values.length} rows are more than a table holds (${PLACES})`);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const packed = new Float64Array(values.length);
  for (let place = 0; place < values.length; place++) {
    packed[place] = key(values[place], bits[place], descending) * PLACES + place;
  }
  packed.sort();
  const order = new Uint32Array(values.length);
  for (let place = 0; place < order.length; place++) order[place] = packed[place] % PLACES;
  return order;
}

/** A float's bits as an unsigned number that rises as the float does. */
function key(value: number, bits: number, descending: boolean): number {
  if (Number.isNaN(value)) return LAST;
  const rising = bits & 0x80000000 ? ~bits >>> 0 : (bits | 0x80000000) >>> 0;
  return descending ? LAST - rising : rising;
}
