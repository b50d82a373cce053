// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

/**
 * A google.protobuf.Struct message of an object that JSON could hold; structs hold every number as a double.
 * @param {Record<string, any>} values
 */
export function structOf(values) {
  return { fields: Object.fromEntries(Object.entries(values).map(([key, value]) => [key, valueOf(value)])) };
}

function valueOf(value) {
  if (value === null) return { nullValue: "NULL_VALUE" };
  if (Array.isArray(value)) return { listValue: { values: value.map(valueOf) } };
  switch (typeof value) {
    case "number":
      return { numberValue: value };
    case "string":
      return { stringValue: value };
    case "boolean":
      return { boolValue: value };
    case "object":
      return { structValue: structOf(value) };
    default:
      throw new TypeError(`a parameter is JSON; this one is a ${typeof value}`);
  }
}
