// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

import { Column } from "./columns.js";
import { ContentDigest } from "./digest.js";
import { IntegrityError } from "./errors.js";

/** Synthetic rows of one table: whole units, in order. */
export class Batch {
  /**
   * @param {any} message the RecordBatch message
   * @param {Column[]} columns
   */
  constructor(message, columns) {
    /** The table's name. */
    this.table = message.table;
    /** @type {number} How many rows. */
    this.length = message.rowCount;
    /** The columns, in order. */
    this.columns = columns;
    /** The unit (patient, or row where the generator models rows) of the first row. */
    this.firstUnit = Number(message.firstUnit);
    /** Every unit below this one is complete, in every table, once this batch is read. */
    this.nextUnit = Number(message.nextUnit);
  }

  /**
   * The column of this name.
   * @param {string} name
   * @throws {RangeError} there is none
   */
  column(name) {
    const found = this.columns.find(({ schema }) => schema.name === name);
    if (!found) throw new RangeError(`${this.table} has no column ${name}`);
    return found;
  }

  /** The rows as objects by column name; `Column` says what a cell is. */
  *rows() {
    const columns = this.columns.map((column) => [column.schema.name, column.get]);
    for (let i = 0; i < this.length; i++) {
      /** @type {Record<string, any>} */
      const row = {};
      for (const [name, get] of columns) row[name] = get(i);
      yield row;
    }
  }
}

/**
 * What has arrived of a sample, whether it is whole, and from where to go on.
 *
 * A batch is handed on once its units are complete in every table; what a break leaves incomplete is
 * forgotten and comes again. Every batch is compared with its own digest, every stream that ends with its
 * trailer.
 */
export class SampleState {
  /** The header of the first stream. @type {any} */
  header;
  /** Units that trailers tell of, and draws behind them, those rejected for a condition included. */
  units = 0;
  drawn = 0;
  #asked;
  #integers;
  #next;
  #end;
  /** @type {Batch[]} */ #pending = [];
  /** @type {Map<string, any>} by name: schema, position of its first column, rows so far */ #tables = new Map();
  /** @type {Map<string, {values: string[], total: number}>} */ #dictionaries = new Map();
  /** @type {ContentDigest | undefined} */ #digest;
  #from = 0;
  #trailer = false;

  /**
   * @param {any} asked the SampleRequest message; unitCount undefined where `augmentationFactor` decides
   * @param {"bigint" | "number"} integers see `Column`
   */
  constructor(asked, integers) {
    this.#asked = asked;
    this.#integers = integers;
    this.#next = asked.startUnit;
    this.#end = asked.unitCount === undefined ? undefined : asked.startUnit + asked.unitCount;
  }

  /** Asks for the units that are missing, from a server that gives the same bytes. */
  request() {
    this.#pending = [];
    this.#tables.clear();
    this.#dictionaries.clear();
    this.#digest = undefined;
    this.#from = this.#next;
    this.#trailer = false;
    if (!this.header) return this.#asked;
    const { augmentationFactor: _, ...asked } = this.#asked;
    const { seed, runtimeFingerprint } = this.header;
    return { ...asked, startUnit: this.#next, unitCount: this.#end - this.#next, seed, runtimeFingerprint };
  }

  /**
   * Takes a message.
   * @param {any} message
   * @returns {Batch[]} those that are complete now
   * @throws {IntegrityError} it does not fit what came before
   */
  receive(message) {
    if (this.#trailer || (message.part === "header") !== (this.#digest === undefined)) {
      throw new IntegrityError("the sample's messages came in the wrong order");
    }
    if (message.part === "batch") return this.#takeBatch(message.batch);
    if (message.part === "header") this.#takeHeader(message.header);
    else if (message.part === "dictionary") this.#takeDictionary(message.dictionary);
    else if (message.part === "trailer") this.#takeTrailer(message.trailer);
    else throw new IntegrityError("the sample holds a message that was not asked for");
    return [];
  }

  /** The server ended the stream. @throws {IntegrityError} without a trailer */
  ended() {
    if (!this.#trailer) throw new IntegrityError("the sample ended without its trailer: it is incomplete");
  }

  /** Whether every unit was handed on; a break before the trailer costs nothing then. */
  isComplete() {
    return this.header !== undefined && this.#next === this.#end;
  }

  #takeHeader(header) {
    this.#end ??= this.#next + Number(header.unitCount);
    if (Number(header.startUnit) !== this.#next || Number(header.unitCount) !== this.#end - this.#next) {
      throw new IntegrityError("the sample's header announces other units than were asked for");
    }
    const first = (this.header ??= header);
    const same = ["seed", "runtimeFingerprint"].every((field) => first[field] === header[field]);
    if (!same || !first.contentDigest.equals(header.contentDigest)) {
      throw new IntegrityError("the resumed sample stems from another model, seed or runtime");
    }
    let position = 0;
    for (const table of first.schema.tables) {
      this.#tables.set(table.name, { schema: table, position, rows: 0 });
      position += table.columns.length;
    }
    this.#digest = new ContentDigest(position);
  }

  #takeDictionary({ table, column, firstIndex, values, total }) {
    const key = JSON.stringify([table, column]);
    if (firstIndex === 0) this.#dictionaries.set(key, { values: [], total });
    const known = this.#dictionaries.get(key);
    if (!known || known.values.length !== firstIndex || known.total !== total) {
      throw new IntegrityError(`${table}.${column}: a dictionary chunk is missing or repeated`);
    }
    for (const value of values) known.values.push(value);
    if (known.values.length > total) throw new IntegrityError(`${table}.${column}: a dictionary is longer than announced`);
  }

  #takeBatch(message) {
    const table = this.#tables.get(message.table);
    const width = message.columns.length;
    // Rows without columns take no bytes: a few of them could announce billions.
    if (table?.schema.columns.length !== width || (width === 0 && message.rowCount !== 0)) {
      throw new IntegrityError(`${message.table}: a record batch does not fit its table`);
    }
    const columns = table.schema.columns.map((schema, i) => {
      const known = this.#dictionaries.get(JSON.stringify([message.table, schema.name]));
      const dictionary = known?.values.length === known?.total ? known?.values : undefined;
      return new Column(schema, message.columns[i], message.rowCount, dictionary, this.#integers);
    });
    if (!new ContentDigest(columns.length).add(columns).digest().equals(message.digest)) {
      throw new IntegrityError(`${message.table}: a record batch does not have the digest it came with`);
    }
    const batch = new Batch(message, columns);
    if (batch.nextUnit < this.#next || batch.nextUnit > this.#end) {
      throw new IntegrityError("the sample's units came in the wrong order");
    }
    this.#digest?.add(columns, table.position);
    table.rows += batch.length;
    this.#pending.push(batch);
    if (batch.nextUnit === this.#next) return [];
    this.#next = batch.nextUnit;
    return this.#pending.splice(0);
  }

  #takeTrailer(trailer) {
    const units = this.#end - this.#from;
    if (this.#pending.length || this.#next !== this.#end || Number(trailer.unitCount) !== units) {
      throw new IntegrityError("the sample has fewer units than its trailer says");
    }
    const counts = new Map(Object.entries(trailer.rowCounts));
    for (const [name, { rows }] of this.#tables) {
      if (rows !== Number(counts.get(name) ?? 0)) {
        throw new IntegrityError("the sample has not the rows that its trailer says");
      }
    }
    if (!this.#digest?.digest().equals(trailer.digest)) {
      throw new IntegrityError("the sample's rows do not have the digest of its trailer");
    }
    this.#trailer = true;
    /** The digest of the last stream's rows. @type {Buffer} */
    this.digest = trailer.digest;
    this.units += units;
    this.drawn += Number(trailer.drawnUnits) || units;
  }
}
