// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

// Batches as CSV: RFC 4180, CRLF, the same bytes as the Python client writes. Null is an empty cell and an
// empty string is "". Doubles are the shortest text that reads back exactly, durations ISO 8601 seconds
// (PT1.5S), lists JSON arrays.

import { decimalText } from "./columns.js";

/**
 * The header line.
 * @param {import("./sampling.js").Batch} batch
 */
export function csvHeader(batch) {
  return `${batch.columns.map(({ schema }) => quote(schema.name)).join(",")}\r\n`;
}

/**
 * The rows, one line each.
 * @param {import("./sampling.js").Batch} batch
 */
export function csvRows(batch) {
  const texts = batch.columns.map(textOf);
  let out = "";
  for (let i = 0; i < batch.length; i++) {
    let line = texts[0](i);
    for (let c = 1; c < texts.length; c++) line += `,${texts[c](i)}`;
    out += `${line}\r\n`;
  }
  return out;
}

/** @returns {(i: number) => string} */
function textOf(column) {
  const text = presentText(column);
  return column.validity.length === 0 ? text : (i) => (column.isNull(i) ? "" : text(i));
}

function presentText(column) {
  const { values, dictionary, carrier, get } = column;
  switch (column.schema.storage) {
    case "STORAGE_STRING": {
      if (carrier === "strings") return (i) => quote(values[i]);
      const quoted = dictionary.map(quote);
      return (i) => quoted[values[i]];
    }
    case "STORAGE_STRING_LIST":
      return (i) => quote(jsonText(get(i)));
    case "STORAGE_DOUBLE":
      return (i) => doubleText(values[i]);
    case "STORAGE_DATETIME":
      return (i) => get(i).replace(".000000", "");
    case "STORAGE_DURATION":
      return (i) => `PT${decimalText(values[i], 6).replace(/\.?0+$/, "")}S`;
    default: // booleans, integers, decimals, dates
      return (i) => String(get(i));
  }
}

function quote(text) {
  return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Python's json writes a space after each comma. */
function jsonText(strings) {
  return `[${strings.map((text) => JSON.stringify(text)).join(", ")}]`;
}

/** The digits that JavaScript finds, laid out as Python does: 1.0, 1e-05, 1e+16, nan, inf. */
function doubleText(value) {
  if (!Number.isFinite(value)) return String(value).toLowerCase().replace("infinity", "inf");
  const [, sign, first, rest = "", exponent] = /** @type {string[]} */ (
    /^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$/.exec(value.toExponential())
  );
  const power = Number(exponent);
  const minus = Object.is(value, -0) ? "-" : sign;
  if (power < -4 || power >= 16) {
    const mantissa = rest ? `${first}.${rest}` : first;
    return `${minus}${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  const digits = first + rest;
  if (power < 0) return `${minus}0.${"0".repeat(-power - 1)}${digits}`;
  return `${minus}${digits.slice(0, power + 1).padEnd(power + 1, "0")}.${digits.slice(power + 1) || "0"}`;
}
