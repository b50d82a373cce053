// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

/**
 * @typedef {string | number | bigint | boolean} Value a cell as CSV writes it: dates and times in ISO 8601
 * @typedef {{min?: Value, max?: Value}} Range inclusive; one side may be left out
 * @typedef {Value | Value[] | Range | {isNull: boolean} | null} Wanted one value, one of several, a range, or null
 */

/**
 * What every row has to satisfy, by column, as Condition messages.
 * @param {Record<string, Wanted>} wanted
 */
export function conditionsOf(wanted) {
  return Object.entries(wanted).map(([column, test]) => ({ column, ...testOf(column, test) }));
}

function testOf(column, wanted) {
  if (wanted === null) return { isNull: true };
  if (Array.isArray(wanted)) {
    if (wanted.length === 0) throw new TypeError(`${column}: a set of values is empty`);
    return { oneOf: { values: wanted.map((value) => text(column, value)) } };
  }
  if (typeof wanted !== "object") return { oneOf: { values: [text(column, wanted)] } };
  if (typeof wanted.isNull === "boolean") return { isNull: wanted.isNull };
  const { min, max } = wanted;
  if (min === undefined && max === undefined) throw new TypeError(`${column}: a range is {min, max}, or one of them`);
  return {
    range: {
      ...(min !== undefined && { minimum: text(column, min) }),
      ...(max !== undefined && { maximum: text(column, max) }),
    },
  };
}

function text(column, value) {
  if (["string", "number", "bigint", "boolean"].includes(typeof value)) return String(value);
  throw new TypeError(`${column}: a value is a string, a number, a bigint or a boolean`);
}
