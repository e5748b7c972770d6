// What an H.264 stream says of its colours, in the video usability information of its sequence parameter set
// (ITU-T H.264, 7.3.2.1.1 and E.1.1): browsers guess where it says nothing, and tell only the guess.

/** Numbers of ITU-T H.273: 1 is BT.709, 5 and 6 are BT.601, 2 is not told; `matrix` null where nothing is said. */
export interface Colours {
  readonly matrix: number | null;
  readonly full: boolean | null;
}

const NOTHING: Colours = { matrix: null, full: null };
const WITH_CHROMA = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/** What `record`, an AVCDecoderConfigurationRecord, says. */
export function coloursOf(record: Uint8Array): Colours {
  try {
    if ((record[5] & 31) === 0) return NOTHING;
    const length = (record[6] << 8) | record[7];
    return ofParameters(new Bits(unescaped(record.subarray(8, 8 + length))));
  } catch {
    return NOTHING; // damaged: the decoder will tell
  }
}

/** Without the bytes that keep start codes from occurring. */
function unescaped(data: Uint8Array): Uint8Array {
  return data.filter((byte, k) => !(byte === 3 && k > 1 && data[k - 1] === 0 && data[k - 2] === 0));
}

class Bits {
  private at = 0;

  constructor(private readonly data: Uint8Array) {}

  take(n: number): number {
    let value = 0;
    for (let k = 0; k < n; k++, this.at++) {
      if (this.at >= 8 * this.data.length) throw new RangeError("it ends early");
      value = value * 2 + ((this.data[this.at >> 3] >> (7 - (this.at & 7))) & 1);
    }
    return value;
  }

  /** Exp-Golomb codes. */
  whole(): number {
    let zeros = 0;
    while (!this.take(1)) zeros++;
    return 2 ** zeros - 1 + this.take(zeros);
  }

  signed(): number {
    const code = this.whole();
    return code & 1 ? (code + 1) / 2 : -code / 2;
  }
}

function ofParameters(bits: Bits): Colours {
  bits.take(8); // the unit's header
  const profile = bits.take(8);
  bits.take(16);
  bits.whole();
  if (WITH_CHROMA.includes(profile)) {
    const chroma = bits.whole();
    if (chroma === 3) bits.take(1);
    bits.whole();
    bits.whole();
    bits.take(1);
    if (bits.take(1)) for (let list = 0; list < (chroma === 3 ? 12 : 8); list++) if (bits.take(1)) scaling(bits, list < 6 ? 16 : 64);
  }
  bits.whole();
  const order = bits.whole();
  if (order === 0) bits.whole();
  if (order === 1) {
    bits.take(1);
    bits.signed();
    bits.signed();
    for (let n = bits.whole(); n > 0; n--) bits.signed();
  }
  bits.whole();
  bits.take(1);
  bits.whole();
  bits.whole();
  if (!bits.take(1)) bits.take(1);
  bits.take(1);
  if (bits.take(1)) for (let side = 0; side < 4; side++) bits.whole();
  if (!bits.take(1)) return NOTHING;
  if (bits.take(1) && bits.take(8) === 255) bits.take(32);
  if (bits.take(1)) bits.take(1);
  if (!bits.take(1)) return NOTHING;
  bits.take(3);
  const full = bits.take(1) === 1;
  if (!bits.take(1)) return { matrix: null, full };
  bits.take(16);
  return { matrix: bits.take(8), full };
}

function scaling(bits: Bits, n: number): void {
  let [last, next] = [8, 8];
  for (let k = 0; k < n; k++) {
    if (next) next = (last + bits.signed() + 256) % 256;
    if (next) last = next;
  }
}
