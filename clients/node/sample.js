// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

import { cellTexts, ColumnDigest, contentDigest } from "./columns.js";

/** Reads one Sample stream to its end, checks it and gives all cells as text. */
export async function sample(service, model, startUnit, unitCount, seed, ...words) {
  const reader = new Reader();
  const conditions = conditionsOf(...words);
  const request = { model, startUnit, unitCount, seed, conditions, format: "SAMPLE_FORMAT_COLUMNS" };
  const call = service.sample(request, { deadline: Date.now() + 60_000 });
  try {
    for await (const message of call) reader.take(message);
  } finally {
    call.cancel(); // leaving the loop does not end the call
  }
  return reader.result();
}

/** Reads COLUMN VALUE COLUMN LOW HIGH, or nothing. */
function conditionsOf(equal, value, within, minimum, maximum) {
  if (equal === undefined) return [];
  return [
    { column: equal, oneOf: { values: [value] } },
    { column: within, range: { minimum, maximum } },
  ];
}

class Reader {
  tables = new Map(); // by name: its columns, digests, rows and cells
  dictionaries = new Map();

  take(message) {
    if ((message.part === "header") !== !this.header || this.trailer) {
      throw new Error("the messages of the stream are out of order");
    }
    if (message.part === "header") this.begin(message.header);
    else if (message.part === "dictionary") this.learn(message.dictionary);
    else if (message.part === "batch") this.read(message.batch);
    else if (message.part === "trailer") this.trailer = message.trailer;
    else throw new Error("the stream holds a message that was not asked for");
  }

  begin(header) {
    this.header = header;
    for (const { name, columns } of header.schema.tables) {
      this.tables.set(name, {
        columns,
        digests: columns.map(() => new ColumnDigest()),
        rows: 0,
        cells: columns.map(() => []),
      });
    }
  }

  learn({ table, column, firstIndex, values }) {
    const key = JSON.stringify([table, column]);
    const known = this.dictionaries.get(key) ?? [];
    if (firstIndex !== known.length) throw new Error(`${column}: a dictionary chunk is missing`);
    this.dictionaries.set(key, known.concat(values));
  }

  read(batch) {
    const table = this.tables.get(batch.table);
    if (table?.columns.length !== batch.columns.length) throw new Error("a batch does not fit its table");
    const alone = table.columns.map(() => new ColumnDigest());
    table.columns.forEach((column, i) => {
      const data = batch.columns[i];
      const dictionary = this.dictionaries.get(JSON.stringify([batch.table, column.name]));
      for (const text of cellTexts(column, data, batch.rowCount, dictionary)) table.cells[i].push(text);
      alone[i].add(data, batch.rowCount);
      table.digests[i].add(data, batch.rowCount);
    });
    if (!contentDigest(alone).equals(batch.digest)) {
      throw new Error("a batch does not have the digest it came with");
    }
    table.rows += batch.rowCount;
    this.nextUnit = batch.nextUnit;
  }

  result() {
    if (!this.trailer) throw new Error("the stream ended without a trailer");
    const { header, trailer } = this;
    const tables = [...this.tables];
    if (!contentDigest(tables.flatMap(([, table]) => table.digests)).equals(trailer.digest)) {
      throw new Error("the stream does not have the digest of its trailer");
    }
    if (tables.some(([name, table]) => String(table.rows) !== trailer.rowCounts[name])) {
      throw new Error("the stream does not have the rows of its trailer");
    }
    const named = ({ columns, cells }) => Object.fromEntries(columns.map(({ name }, i) => [name, cells[i]]));
    return {
      model: header.model,
      seed: header.seed,
      synthetic: header.synthetic,
      runtime_fingerprint: header.runtimeFingerprint,
      units: trailer.unitCount,
      next_unit: this.nextUnit,
      digest: trailer.digest.toString("hex"),
      tables: Object.fromEntries(tables.map(([name, table]) => [name, named(table)])),
    };
  }
}
