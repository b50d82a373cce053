// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

// The cells of a column as they travel (ColumnData in table.proto), and as values of JavaScript.

import { endianness } from "node:os";

import { IntegrityError } from "./errors.js";

if (endianness() !== "LE") throw new Error("this client reads little-endian arrays in place; this machine is big-endian");

/** Which values a storage travels in. */
const CARRIERS = {
  STORAGE_BOOL: ["bools"],
  STORAGE_INT64: ["int64s"],
  STORAGE_DECIMAL: ["int64s"],
  STORAGE_DATETIME: ["int64s"],
  STORAGE_DURATION: ["int64s"],
  STORAGE_DOUBLE: ["doubles"],
  STORAGE_DATE: ["dates"],
  STORAGE_STRING: ["indices", "strings"],
  STORAGE_STRING_LIST: ["lists"],
};

const ARRAYS = {
  bools: Uint8Array,
  int64s: BigInt64Array,
  doubles: Float64Array,
  dates: Int32Array,
  indices: Uint32Array,
};

/**
 * One column of a batch.
 *
 * | storage | cell |
 * |---|---|
 * | BOOL | boolean |
 * | INT64 | bigint, or number where that was asked for |
 * | DOUBLE | number |
 * | DECIMAL | text with every digit of its scale, such as "12.50" |
 * | DATE | text, such as "2020-12-31" |
 * | DATETIME | text with microseconds, such as "2020-12-31T23:59:59.000001", and Z where the column has a time zone |
 * | DURATION | microseconds: bigint, or number where that was asked for |
 * | STRING | string |
 * | STRING_LIST | array of strings |
 *
 * Null is null. Decimals and times are text because no type of JavaScript holds them: a Date has
 * milliseconds, and no local date-times.
 */
export class Column {
  /**
   * @param {any} schema the Column message of the header's schema
   * @param {any} data the ColumnData message
   * @param {number} rows how many cells there must be
   * @param {string[] | undefined} dictionary of a column of strings
   * @param {"bigint" | "number"} integers what 64-bit integers become
   * @throws {IntegrityError} the cells do not fit the schema
   */
  constructor(schema, data, rows, dictionary, integers) {
    /** Name, kind, storage, scale, time zone and more. */
    this.schema = schema;
    /** How many cells there are. */
    this.length = rows;
    /** "bools", "int64s", "doubles", "dates", "indices", "strings" or "lists". */
    this.carrier = data.values;
    if (!CARRIERS[schema.storage]?.includes(this.carrier)) this.#refuse("the cells do not fit the storage");
    /** One bit per cell, least significant first, 1 where it is not null; empty when none is. */
    this.validity = data.validity;
    if (this.validity.length !== 0 && this.validity.length !== Math.ceil(rows / 8)) {
      this.#refuse("the validity bitmap has the wrong length");
    }
    const found = data[this.carrier];
    /**
     * The cells as they travel, those of null cells zero or empty: a typed array (int64s a BigInt64Array,
     * dates days since 1970, date-times and durations microseconds, indices positions in `dictionary`)
     * or strings.
     * @type {any}
     */
    this.values = this.carrier === "lists" ? array(Uint32Array, found.values) : cells(this.carrier, found.values);
    /** Of lists: where in `values` each begins, and at last where the last one ends. */
    this.offsets = this.carrier === "lists" ? array(Uint32Array, found.offsets) : undefined;
    /** The strings that indices and lists point into. */
    this.dictionary = dictionary;
    this.#integers = integers;
    this.#check();
    /**
     * The cell in row i.
     * @type {(i: number) => any}
     */
    this.get = this.validity.length === 0 ? this.#reader() : nullable(this, this.#reader());
  }

  #integers;

  /** @param {number} i a row of the batch */
  isNull(i) {
    return this.validity.length !== 0 && ((this.validity[i >> 3] >> (i & 7)) & 1) === 0;
  }

  /** Every cell. */
  toArray() {
    return Array.from({ length: this.length }, (_, i) => this.get(i));
  }

  #check() {
    this.#checkCount();
    this.#checkNulls();
    const { values, offsets, dictionary } = this;
    if (this.carrier !== "indices" && !offsets) return;
    if (!dictionary) this.#refuse("its dictionary has not come, or not wholly");
    const size = /** @type {string[]} */ (dictionary).length;
    // A null cell is 0, also where the dictionary is empty.
    if (values.some((index, i) => index >= size && (offsets || !this.isNull(i)))) {
      this.#refuse("an index lies beyond the dictionary");
    }
  }

  #checkCount() {
    const { values, offsets, length } = this;
    if (offsets) {
      const ordered = offsets.every((end, i) => i === 0 || offsets[i - 1] <= end);
      if (!ordered || offsets.length !== length + 1 || offsets[0] !== 0 || offsets[length] !== values.length) {
        this.#refuse("the offsets do not cut the values into lists");
      }
    } else if (values?.length !== length) {
      this.#refuse(`expected ${length} cells`);
    }
  }

  /** What stands in null cells would travel unseen, so the contract has it zero or empty. */
  #checkNulls() {
    const { values, offsets, length } = this;
    const none = { strings: "", int64s: 0n }[this.carrier] ?? 0;
    for (let i = 0; this.validity.length !== 0 && i < length; i++) {
      const empty = offsets ? offsets[i] === offsets[i + 1] : values[i] === none;
      if (!empty && this.isNull(i)) this.#refuse("a null cell is not zero or empty");
    }
  }

  /** @returns {(i: number) => any} */
  #reader() {
    const { values, offsets, schema } = this;
    const dictionary = /** @type {string[]} */ (this.dictionary);
    switch (schema.storage) {
      case "STORAGE_BOOL":
        return (i) => values[i] === 1;
      case "STORAGE_INT64":
      case "STORAGE_DURATION":
        return this.#integers === "bigint" ? (i) => values[i] : (i) => this.#number(values[i]);
      case "STORAGE_DECIMAL":
        return (i) => decimalText(values[i], schema.scale);
      case "STORAGE_DATE":
        return (i) => new Date(values[i] * 86_400_000).toISOString().slice(0, -14);
      case "STORAGE_DATETIME":
        return (i) => dateTimeText(values[i], schema.timeZone ? "Z" : "");
      case "STORAGE_STRING_LIST": {
        const at = /** @type {Uint32Array} */ (offsets);
        return (i) => Array.from(values.subarray(at[i], at[i + 1]), (index) => dictionary[index]);
      }
      default:
        return this.carrier === "indices" ? (i) => dictionary[values[i]] : (i) => values[i];
    }
  }

  #number(value) {
    const found = Number(value);
    if (Number.isSafeInteger(found)) return found;
    throw new RangeError(`${this.schema.name}: an integer does not fit a number; leave integers: "number" out`);
  }

  #refuse(what) {
    throw new IntegrityError(`${this.schema.name}: ${what}`);
  }
}

function nullable(column, get) {
  const { validity } = column;
  return (i) => (((validity[i >> 3] >> (i & 7)) & 1) === 0 ? null : get(i));
}

function cells(carrier, values) {
  return carrier === "strings" ? values : array(ARRAYS[carrier], values);
}

/** A typed array of its own: bytes within a message need not begin where their type must. */
function array(Type, bytes) {
  if (bytes.length % Type.BYTES_PER_ELEMENT !== 0) throw new IntegrityError("a column's cells are cut off");
  return new Type(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

/**
 * value / 10^scale with exactly `scale` digits after the point.
 * @param {bigint} value
 * @param {number} scale
 */
export function decimalText(value, scale) {
  const sign = value < 0n ? "-" : "";
  const digits = String(value < 0n ? -value : value).padStart(scale + 1, "0");
  const point = digits.length - scale;
  return sign + digits.slice(0, point) + (scale ? `.${digits.slice(point)}` : "");
}

/** Microseconds since 1970 as ISO 8601. */
function dateTimeText(micros, zone) {
  const below = ((micros % 1000n) + 1000n) % 1000n;
  const text = new Date(Number((micros - below) / 1000n)).toISOString();
  return text.slice(0, -1) + String(below).padStart(3, "0") + zone;
}
