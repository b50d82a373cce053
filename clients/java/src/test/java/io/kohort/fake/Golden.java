// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.fake;

import io.kohort.v1.Column;
import io.kohort.v1.Schema;
import io.kohort.v1.Storage;
import io.kohort.v1.TableSchema;
import java.math.BigDecimal;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** Two tables with everything that travels badly. Unit i is one patient with i mod 3 visits. */
public final class Golden {
  /** Units there are. */
  public static final int UNITS = 260;

  /** A column's cells are these, over and over; a column of strings without a dictionary travels as it is. */
  static final class Cells {
    final Column column;
    final List<Object> values;
    final List<String> dictionary;

    Cells(Column.Builder column, List<Object> values, List<String> dictionary) {
      this.column = column.setNullable(values.contains(null)).build();
      this.values = values;
      this.dictionary = dictionary;
    }
  }

  private static final List<String> WARDS =
      List.of(
          "", "Ward A", "Zürich – Öst", "日本語", "👩🏽‍⚕️",
          "e\u0301", "a\"b\\c", "line\nbreak\ttab\r", "nul\0", "x,y");
  private static final List<String> CODES =
      IntStream.range(0, 1000).mapToObj(i -> String.format(Locale.ROOT, "C%04d", i)).collect(Collectors.toList());
  private static final List<String> DRUGS = List.of("aspirin", "", "naïve", "δ");
  private static final List<LocalDateTime> TIMES =
      List.of(
          LocalDateTime.of(1, 1, 1, 0, 0),
          LocalDateTime.of(1969, 12, 31, 23, 59, 59, 1000),
          LocalDateTime.of(2262, 4, 12, 0, 0),
          LocalDateTime.of(9999, 12, 31, 23, 59, 59, 999_999_000));

  static final Map<String, List<Cells>> TABLES = tables();

  private Golden() {}

  /** The tables' schema. */
  public static Schema schema() {
    Schema.Builder schema = Schema.newBuilder();
    TABLES.forEach(
        (name, columns) -> {
          TableSchema.Builder table = TableSchema.newBuilder().setName(name);
          columns.forEach(cells -> table.addColumns(cells.column));
          schema.addTables(table);
        });
    return schema.build();
  }

  /** The cells of units [start, stop) of a column, as a client gives them. */
  public static List<Object> cells(String table, String column, int start, int stop) {
    for (Cells cells : TABLES.get(table)) {
      if (cells.column.getName().equals(column)) {
        return cells(table, cells, start, stop);
      }
    }
    throw new IllegalArgumentException(column);
  }

  static List<Object> cells(String table, Cells cells, int start, int stop) {
    List<Object> found = new ArrayList<>();
    for (int i = firstRow(table, start); i < firstRow(table, stop); i++) {
      found.add(cells.values.get(i % cells.values.size()));
    }
    return found;
  }

  /** Rows of all units before this one. */
  static int firstRow(String table, int unit) {
    return table.equals("patients") ? unit : unit / 3 * 3 + (unit % 3) * (unit % 3 - 1) / 2;
  }

  private static Map<String, List<Cells>> tables() {
    Map<String, List<Cells>> tables = new LinkedHashMap<>();
    List<Cells> patients = new ArrayList<>();
    patients.add(plain("id", Storage.STORAGE_STRING, ids()));
    patients.add(plain("alive", Storage.STORAGE_BOOL, true, null, false));
    patients.add(plain("seen", Storage.STORAGE_BOOL, true, false));
    patients.add(
        plain("count", Storage.STORAGE_INT64, 0L, -1L, Long.MAX_VALUE, Long.MIN_VALUE, (1L << 53) + 1, null));
    patients.add(
        plain(
            "ratio", Storage.STORAGE_DOUBLE,
            Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, -0.0, 5e-324, Double.MAX_VALUE, 0.1,
            null));
    patients.add(
        decimal("dose", 2, 0L, -1L, 5L, -250L, Long.MAX_VALUE, Long.MIN_VALUE, null));
    patients.add(decimal("trace", 12, 1L, -1_000_000_000_000L, Long.MAX_VALUE, null));
    patients.add(
        plain(
            "born", Storage.STORAGE_DATE,
            LocalDate.of(1970, 1, 1), LocalDate.of(1969, 12, 31), null, LocalDate.of(1, 1, 1),
            LocalDate.of(1582, 10, 4), LocalDate.of(9999, 12, 31)));
    List<Object> local = new ArrayList<>(TIMES);
    local.add(null);
    patients.add(new Cells(column("local", Storage.STORAGE_DATETIME), local, null));
    List<Object> moments = new ArrayList<>();
    moments.add(null);
    TIMES.forEach(time -> moments.add(time.toInstant(ZoneOffset.UTC)));
    Column.Builder moment = column("moment", Storage.STORAGE_DATETIME).setTimeZone("Europe/Zurich");
    patients.add(new Cells(moment, moments, null));
    patients.add(
        plain(
            "stay", Storage.STORAGE_DURATION,
            Duration.ZERO, micros(1), micros(-90_000_001), micros(Long.MAX_VALUE), micros(Long.MIN_VALUE), null));
    List<Object> wards = new ArrayList<>(WARDS);
    wards.add(null);
    patients.add(new Cells(column("ward", Storage.STORAGE_STRING), wards, WARDS));
    List<Object> codes = new ArrayList<>(CODES.subList(600, 900));
    patients.add(new Cells(column("code", Storage.STORAGE_STRING), codes, CODES));
    patients.add(plain("remark", Storage.STORAGE_STRING, "", null, "ü".repeat(70), "nul\0", "👩🏽‍⚕️"));
    patients.add(
        new Cells(column("never", Storage.STORAGE_STRING), Collections.singletonList(null), List.of()));
    patients.add(
        new Cells(
            column("drugs", Storage.STORAGE_STRING_LIST),
            Arrays.asList(
                List.of(),
                null,
                List.of("aspirin"),
                List.of("δ", "", "naïve", "δ"),
                Collections.nCopies(40, "naïve")),
            DRUGS));
    tables.put("patients", patients);
    tables.put(
        "visits",
        List.of(
            new Cells(column("at", Storage.STORAGE_DATETIME), new ArrayList<>(TIMES), null),
            new Cells(
                column("code", Storage.STORAGE_STRING), Arrays.asList(null, "C0000", "C0001", "C0999"), CODES)));
    return tables;
  }

  private static Object[] ids() {
    return IntStream.range(0, UNITS).mapToObj(i -> String.format(Locale.ROOT, "syn-%06d", i)).toArray();
  }

  private static Duration micros(long micros) {
    return Duration.of(micros, ChronoUnit.MICROS);
  }

  private static Cells plain(String name, Storage storage, Object... values) {
    return new Cells(column(name, storage), Arrays.asList(values), null);
  }

  private static Cells decimal(String name, int scale, Long... unscaled) {
    List<Object> values = new ArrayList<>();
    for (Long each : unscaled) {
      values.add(each == null ? null : BigDecimal.valueOf(each, scale));
    }
    return new Cells(column(name, Storage.STORAGE_DECIMAL).setScale(scale), values, null);
  }

  private static Column.Builder column(String name, Storage storage) {
    return Column.newBuilder().setName(name).setStorage(storage);
  }

  /** What a cell is on the wire. */
  static long number(Object cell) {
    if (cell == null) {
      return 0;
    }
    if (cell instanceof BigDecimal) {
      return ((BigDecimal) cell).unscaledValue().longValueExact();
    }
    if (cell instanceof LocalDateTime) {
      return number(((LocalDateTime) cell).toInstant(ZoneOffset.UTC));
    }
    if (cell instanceof Instant) {
      Instant moment = (Instant) cell;
      return Math.addExact(Math.multiplyExact(moment.getEpochSecond(), 1_000_000), moment.getNano() / 1000);
    }
    if (cell instanceof Duration) {
      Duration length = (Duration) cell;
      BigDecimal nanos = BigDecimal.valueOf(length.getNano(), 9);
      return BigDecimal.valueOf(length.getSeconds()).add(nanos).movePointRight(6).longValueExact();
    }
    return (Long) cell;
  }
}
