// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.Column;
import io.kohort.v1.Storage;
import java.math.BigDecimal;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * The cells of one column of a batch, in the one array that its storage has; the other arrays are null.
 * Trusts its maker: {@link Decoder} checks.
 */
final class Cells {
  private static final long MICROS = 1_000_000;
  private static final double[] POWERS = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12};

  final Column column;
  final Storage storage;

  /** Bit i, least significant first, is 1 where cell i is not null; null when no cell is null. */
  final byte[] validity;

  final boolean[] booleans;
  final long[] longs;
  final double[] doubles;

  /** Days, or positions in the dictionary; of a column of lists those of all lists, one after another. */
  final int[] ints;

  final String[] strings;

  /** The list of row i is {@code [offsets[i], offsets[i + 1])} of {@link #ints}. */
  final int[] offsets;

  final String[] dictionary;

  private Cells(
      Column column,
      byte[] validity,
      boolean[] booleans,
      long[] longs,
      double[] doubles,
      int[] ints,
      String[] strings,
      int[] offsets,
      String[] dictionary) {
    this.column = column;
    this.storage = column.getStorage();
    this.validity = validity;
    this.booleans = booleans;
    this.longs = longs;
    this.doubles = doubles;
    this.ints = ints;
    this.strings = strings;
    this.offsets = offsets;
    this.dictionary = dictionary;
  }

  static Cells of(Column column, byte[] validity, boolean[] values) {
    return new Cells(column, validity, values, null, null, null, null, null, null);
  }

  static Cells of(Column column, byte[] validity, long[] values) {
    return new Cells(column, validity, null, values, null, null, null, null, null);
  }

  static Cells of(Column column, byte[] validity, double[] values) {
    return new Cells(column, validity, null, null, values, null, null, null, null);
  }

  static Cells of(Column column, byte[] validity, int[] days) {
    return new Cells(column, validity, null, null, null, days, null, null, null);
  }

  static Cells of(Column column, byte[] validity, String[] values) {
    return new Cells(column, validity, null, null, null, null, values, null, null);
  }

  /** Strings of a dictionary; with offsets, lists of them. */
  static Cells of(Column column, byte[] validity, int[] indices, int[] offsets, String[] dictionary) {
    return new Cells(column, validity, null, null, null, indices, null, offsets, dictionary);
  }

  boolean isNull(int row) {
    return validity != null && (validity[row >> 3] >> (row & 7) & 1) == 0;
  }

  /** A cell as the object that stands for it; null for null. */
  Object value(int row) {
    if (isNull(row)) {
      return null;
    }
    switch (storage) {
      case STORAGE_BOOL:
        return booleans[row];
      case STORAGE_INT64:
        return longs[row];
      case STORAGE_DOUBLE:
        return doubles[row];
      case STORAGE_DECIMAL:
        return decimal(row);
      case STORAGE_DATE:
        return date(row);
      case STORAGE_DATETIME:
        return column.getTimeZone().isEmpty() ? (Object) dateTime(row) : instant(row);
      case STORAGE_DURATION:
        return duration(row);
      case STORAGE_STRING:
        return string(row);
      default:
        return list(row);
    }
  }

  // Each of these is for a cell of its storage that is not null.

  /** Of a decimal or an integer. */
  BigDecimal decimal(int row) {
    return BigDecimal.valueOf(longs[row], scale());
  }

  /** Of any number: the nearest double. */
  double number(int row) {
    if (doubles != null) {
      return doubles[row];
    }
    long value = longs[row];
    int scale = scale();
    // Both are exact as doubles, so the quotient is rounded once.
    boolean exact = Math.abs(value) < 1L << 53 && value != Long.MIN_VALUE && scale < POWERS.length;
    return scale == 0 ? value : exact ? value / POWERS[scale] : decimal(row).doubleValue();
  }

  private int scale() {
    return storage == Storage.STORAGE_DECIMAL ? column.getScale() : 0;
  }

  LocalDate date(int row) {
    return LocalDate.ofEpochDay(ints[row]);
  }

  LocalDateTime dateTime(int row) {
    long micros = longs[row];
    int nanos = (int) Math.floorMod(micros, MICROS) * 1000;
    return LocalDateTime.ofEpochSecond(Math.floorDiv(micros, MICROS), nanos, ZoneOffset.UTC);
  }

  Instant instant(int row) {
    long micros = longs[row];
    return Instant.ofEpochSecond(Math.floorDiv(micros, MICROS), Math.floorMod(micros, MICROS) * 1000);
  }

  Duration duration(int row) {
    long micros = longs[row];
    return Duration.ofSeconds(Math.floorDiv(micros, MICROS), Math.floorMod(micros, MICROS) * 1000);
  }

  String string(int row) {
    return strings != null ? strings[row] : dictionary[ints[row]];
  }

  List<String> list(int row) {
    String[] list = new String[offsets[row + 1] - offsets[row]];
    for (int i = 0; i < list.length; i++) {
      list[i] = dictionary[ints[offsets[row] + i]];
    }
    return Collections.unmodifiableList(Arrays.asList(list));
  }
}
