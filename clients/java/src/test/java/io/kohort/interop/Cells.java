// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.interop;

import io.kohort.v1.Column;
import io.kohort.v1.ColumnData;
import io.kohort.v1.ListValues;
import io.kohort.v1.Storage;
import java.math.BigDecimal;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;

/** Cells in the canonical form of tests/interop/canonical.py. */
final class Cells {
  private static final DateTimeFormatter MICROSECONDS =
      DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSSSSS");

  private Cells() {}

  /** Whether cell i is not null. */
  static boolean isValid(ColumnData data, int i) {
    return data.getValidity().isEmpty() || (data.getValidity().byteAt(i / 8) >> (i % 8) & 1) == 1;
  }

  /** Every cell: null, a list of strings where the column holds lists, else a string. */
  static List<Object> texts(Column column, ColumnData data, int rows, List<String> dictionary) {
    int bits = data.getValidity().size();
    boolean fits = storages(data).contains(column.getStorage()) && count(data) == rows;
    if (!fits || (bits != 0 && bits != (rows + 7) / 8)) {
      throw new ContractException(column.getName() + ": the cells do not fit the schema");
    }
    IntFunction<Object> text = reader(column, data, dictionary);
    List<Object> cells = new ArrayList<>(rows);
    for (int i = 0; i < rows; i++) {
      cells.add(isValid(data, i) ? text.apply(i) : null);
    }
    return cells;
  }

  private static List<Storage> storages(ColumnData data) {
    switch (data.getValuesCase()) {
      case BOOLS:
        return List.of(Storage.STORAGE_BOOL);
      case INT64S:
        return List.of(
            Storage.STORAGE_INT64,
            Storage.STORAGE_DECIMAL,
            Storage.STORAGE_DATETIME,
            Storage.STORAGE_DURATION);
      case DOUBLES:
        return List.of(Storage.STORAGE_DOUBLE);
      case DATES:
        return List.of(Storage.STORAGE_DATE);
      case INDICES:
      case STRINGS:
        return List.of(Storage.STORAGE_STRING);
      case LISTS:
        return List.of(Storage.STORAGE_STRING_LIST);
      default:
        return List.of();
    }
  }

  private static int count(ColumnData data) {
    switch (data.getValuesCase()) {
      case BOOLS:
        return data.getBools().getValuesCount();
      case INT64S:
        return data.getInt64S().getValuesCount();
      case DOUBLES:
        return data.getDoubles().getValuesCount();
      case DATES:
        return data.getDates().getValuesCount();
      case INDICES:
        return data.getIndices().getValuesCount();
      case STRINGS:
        return data.getStrings().getValuesCount();
      default:
        return data.getLists().getOffsetsCount() - 1;
    }
  }

  private static IntFunction<Object> reader(Column column, ColumnData data, List<String> dictionary) {
    switch (column.getStorage()) {
      case STORAGE_BOOL:
        return i -> String.valueOf(data.getBools().getValues(i));
      case STORAGE_INT64:
        return i -> String.valueOf(data.getInt64S().getValues(i));
      case STORAGE_DECIMAL:
        return i -> decimal(data.getInt64S().getValues(i), column.getScale());
      case STORAGE_DURATION:
        return i -> decimal(data.getInt64S().getValues(i), 6) + "s";
      case STORAGE_DATETIME:
        String zone = column.getTimeZone().isEmpty() ? "" : "Z";
        return i -> dateTime(data.getInt64S().getValues(i)) + zone;
      case STORAGE_DOUBLE:
        return i -> String.format("%016x", Double.doubleToRawLongBits(data.getDoubles().getValues(i)));
      case STORAGE_DATE:
        return i -> LocalDate.ofEpochDay(data.getDates().getValues(i)).toString();
      case STORAGE_STRING:
        return data.hasStrings()
            ? i -> data.getStrings().getValues(i)
            : i -> dictionary.get(data.getIndices().getValues(i));
      default:
        return i -> list(data.getLists(), i, dictionary);
    }
  }

  private static List<String> list(ListValues lists, int row, List<String> dictionary) {
    List<String> cell = new ArrayList<>();
    for (int i = lists.getOffsets(row); i < lists.getOffsets(row + 1); i++) {
      cell.add(dictionary.get(lists.getValues(i)));
    }
    return cell;
  }

  private static String decimal(long value, int scale) {
    return BigDecimal.valueOf(value, scale).toPlainString();
  }

  private static String dateTime(long micros) {
    long seconds = Math.floorDiv(micros, 1_000_000L);
    int nanos = (int) Math.floorMod(micros, 1_000_000L) * 1_000;
    return LocalDateTime.ofEpochSecond(seconds, nanos, ZoneOffset.UTC).format(MICROSECONDS);
  }
}
