// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import com.google.protobuf.ByteString;
import io.kohort.v1.BoolValues;
import io.kohort.v1.Column;
import io.kohort.v1.ColumnData;
import io.kohort.v1.DateValues;
import io.kohort.v1.DoubleValues;
import io.kohort.v1.IndexValues;
import io.kohort.v1.Int64Values;
import io.kohort.v1.ListValues;
import io.kohort.v1.RecordBatch;
import io.kohort.v1.Storage;
import java.util.BitSet;
import java.util.function.IntPredicate;

/**
 * Record batches as {@link Cells}, checked against the schema of their table. Loops over {@code getValues(i)}
 * on purpose: the lists hold primitives, and iterating over them would box each.
 */
final class Decoder {
  private Decoder() {}

  /** The columns of a batch; IntegrityException, naming the column and never a cell, when they do not fit. */
  static Cells[] decode(RecordBatch batch, Layout layout, Dictionaries dictionaries) {
    // Rows without columns take no bytes: a few of them could announce billions.
    boolean hollow = layout.width() == 0 && batch.getRowCount() != 0;
    if (batch.getRowCount() < 0 || batch.getColumnsCount() != layout.width() || hollow) {
      throw invalid(layout.table(), "expected " + layout.width() + " columns of row_count cells");
    }
    Cells[] cells = new Cells[layout.width()];
    for (int i = 0; i < cells.length; i++) {
      Column column = layout.column(i);
      String[] dictionary = dictionaries.of(layout.table(), column.getName());
      String where = layout.table() + "." + column.getName();
      cells[i] = decode(batch.getColumns(i), column, batch.getRowCount(), dictionary, where);
    }
    return cells;
  }

  static IntegrityException invalid(String where, String what) {
    return new IntegrityException("BATCH_INVALID: " + where + ": " + what);
  }

  private static Cells decode(ColumnData data, Column column, int rows, String[] dictionary, String where) {
    if (!fits(data, column.getStorage())) {
      throw invalid(where, "the cells do not fit the storage " + column.getStorage());
    }
    byte[] validity = validity(data.getValidity(), rows, where);
    switch (data.getValuesCase()) {
      case BOOLS:
        boolean[] booleans = booleans(data.getBools(), rows, where);
        zero(validity, rows, i -> !booleans[i], where);
        return Cells.of(column, validity, booleans);
      case INT64S:
        long[] longs = longs(data.getInt64S(), rows, where);
        zero(validity, rows, i -> longs[i] == 0, where);
        return Cells.of(column, validity, longs);
      case DOUBLES:
        double[] doubles = doubles(data.getDoubles(), rows, where);
        zero(validity, rows, i -> doubles[i] == 0, where);
        return Cells.of(column, validity, doubles);
      case DATES:
        int[] days = days(data.getDates(), rows, where);
        zero(validity, rows, i -> days[i] == 0, where);
        return Cells.of(column, validity, days);
      case STRINGS:
        expect(data.getStrings().getValuesCount(), rows, where);
        String[] strings = data.getStrings().getValuesList().toArray(new String[0]);
        zero(validity, rows, i -> strings[i].isEmpty(), where);
        return Cells.of(column, validity, strings);
      case INDICES:
        int[] indices = indices(data.getIndices(), rows, where);
        zero(validity, rows, i -> indices[i] == 0, where);
        // A null cell holds 0, for which a dictionary without strings has no place.
        boolean none = dictionary != null && dictionary.length == 0 && allNull(validity, rows);
        check(indices, none ? 1 : lengthOf(dictionary, where), where);
        return Cells.of(column, validity, indices, null, dictionary);
      default:
        return lists(data.getLists(), column, validity, rows, dictionary, where);
    }
  }

  private static boolean fits(ColumnData data, Storage storage) {
    switch (data.getValuesCase()) {
      case BOOLS:
        return storage == Storage.STORAGE_BOOL;
      case INT64S:
        return storage == Storage.STORAGE_INT64
            || storage == Storage.STORAGE_DECIMAL
            || storage == Storage.STORAGE_DATETIME
            || storage == Storage.STORAGE_DURATION;
      case DOUBLES:
        return storage == Storage.STORAGE_DOUBLE;
      case DATES:
        return storage == Storage.STORAGE_DATE;
      case INDICES:
      case STRINGS:
        return storage == Storage.STORAGE_STRING;
      case LISTS:
        return storage == Storage.STORAGE_STRING_LIST;
      default:
        return false;
    }
  }

  private static byte[] validity(ByteString bits, int rows, String where) {
    if (bits.isEmpty()) {
      return null;
    }
    if (bits.size() != (rows + 7) / 8) {
      throw invalid(where, "the validity bitmap has the wrong length");
    }
    byte[] validity = bits.toByteArray();
    return BitSet.valueOf(validity).get(0, rows).cardinality() == rows ? null : validity;
  }

  private static boolean allNull(byte[] validity, int rows) {
    return rows == 0 || validity != null && BitSet.valueOf(validity).get(0, rows).isEmpty();
  }

  /** Null cells must be zero or empty: whoever reads arrays alone shall not find a value that is none. */
  private static void zero(byte[] validity, int rows, IntPredicate isZero, String where) {
    if (validity == null) {
      return;
    }
    for (int i = 0; i < rows; i++) {
      if ((validity[i >> 3] >> (i & 7) & 1) == 0 && !isZero.test(i)) {
        throw invalid(where, "a null cell is not zero or empty");
      }
    }
  }

  private static void expect(int count, int rows, String where) {
    if (count != rows) {
      throw invalid(where, "expected " + rows + " cells");
    }
  }

  private static int lengthOf(String[] dictionary, String where) {
    if (dictionary == null) {
      throw invalid(where, "its dictionary has not come, or not wholly");
    }
    return dictionary.length;
  }

  private static void check(int[] indices, int length, String where) {
    boolean inside = true;
    for (int index : indices) {
      inside &= index >= 0 & index < length; // beyond 2^31 they are negative here
    }
    if (!inside) {
      throw invalid(where, "an index lies beyond the dictionary");
    }
  }

  private static Cells lists(
      ListValues data, Column column, byte[] validity, int rows, String[] dictionary, String where) {
    int[] offsets = new int[data.getOffsetsCount()];
    for (int i = 0; i < offsets.length; i++) {
      offsets[i] = data.getOffsets(i);
    }
    boolean cuts = offsets.length == rows + 1 && offsets[0] == 0 && offsets[rows] == data.getValuesCount();
    for (int i = 1; cuts && i < offsets.length; i++) {
      cuts = offsets[i] >= offsets[i - 1];
    }
    if (!cuts) {
      throw invalid(where, "the offsets do not cut the values into row_count lists");
    }
    int[] values = new int[data.getValuesCount()];
    for (int i = 0; i < values.length; i++) {
      values[i] = data.getValues(i);
    }
    zero(validity, rows, i -> offsets[i + 1] == offsets[i], where);
    check(values, lengthOf(dictionary, where), where);
    return Cells.of(column, validity, values, offsets, dictionary);
  }

  private static boolean[] booleans(BoolValues data, int rows, String where) {
    expect(data.getValuesCount(), rows, where);
    boolean[] values = new boolean[rows];
    for (int i = 0; i < rows; i++) {
      values[i] = data.getValues(i);
    }
    return values;
  }

  private static long[] longs(Int64Values data, int rows, String where) {
    expect(data.getValuesCount(), rows, where);
    long[] values = new long[rows];
    for (int i = 0; i < rows; i++) {
      values[i] = data.getValues(i);
    }
    return values;
  }

  private static double[] doubles(DoubleValues data, int rows, String where) {
    expect(data.getValuesCount(), rows, where);
    double[] values = new double[rows];
    for (int i = 0; i < rows; i++) {
      values[i] = data.getValues(i);
    }
    return values;
  }

  private static int[] days(DateValues data, int rows, String where) {
    expect(data.getValuesCount(), rows, where);
    int[] values = new int[rows];
    for (int i = 0; i < rows; i++) {
      values[i] = data.getValues(i);
    }
    return values;
  }

  private static int[] indices(IndexValues data, int rows, String where) {
    expect(data.getValuesCount(), rows, where);
    int[] values = new int[rows];
    for (int i = 0; i < rows; i++) {
      values[i] = data.getValues(i);
    }
    return values;
  }
}
