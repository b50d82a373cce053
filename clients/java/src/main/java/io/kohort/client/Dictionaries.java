// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.Dictionary;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;

/** The dictionaries of one stream, put together from their chunks. */
final class Dictionaries {
  private final Map<List<String>, List<String>> parts = new HashMap<>();
  private final Map<List<String>, Integer> totals = new HashMap<>();
  private final Map<List<String>, String[]> whole = new HashMap<>();

  /** Takes a chunk; one that begins at 0 begins its dictionary anew. */
  void add(Dictionary chunk) {
    List<String> key = List.of(chunk.getTable(), chunk.getColumn());
    if (chunk.getFirstIndex() == 0) {
      parts.put(key, new ArrayList<>());
      totals.put(key, chunk.getTotal());
      whole.remove(key);
    }
    List<String> part = parts.get(key);
    if (part == null || chunk.getFirstIndex() != part.size() || chunk.getTotal() != totals.get(key)) {
      throw outOfOrder(key, "a dictionary chunk is missing or repeated");
    }
    part.addAll(chunk.getValuesList());
    if (part.size() > chunk.getTotal()) {
      throw outOfOrder(key, "a dictionary is longer than announced");
    }
    if (part.size() == chunk.getTotal()) {
      if (new HashSet<>(part).size() != part.size()) {
        throw Decoder.invalid(String.join(".", key), "the dictionary holds a string twice");
      }
      whole.put(key, part.toArray(new String[0]));
      parts.remove(key);
    }
  }

  /** The strings of a column, or null while some are missing. */
  String[] of(String table, String column) {
    return whole.get(Arrays.asList(table, column));
  }

  private static IntegrityException outOfOrder(List<String> key, String what) {
    return new IntegrityException("STREAM_OUT_OF_ORDER: " + String.join(".", key) + ": " + what);
  }
}
