// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.RecordBatch;
import io.kohort.v1.Storage;
import io.kohort.v1.TableSchema;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;

/**
 * Some rows of one table as typed columns: whole arrays, without an object per cell.
 *
 * <p>Arrays are the batch's own, one element per row; a null cell holds 0, {@code false} or an empty list
 * there, so ask {@link #isNull}. Do not write to them. A batch was compared with its digest before it was
 * handed on; it may be kept, and read by several threads.
 *
 * <p>Every method that takes a column's name throws {@link IllegalArgumentException} when the table has no
 * such column, or when its cells are stored otherwise.
 */
public final class Batch implements Iterable<Row> {
  private final Layout layout;
  private final Cells[] cells;
  private final int rowCount;
  private final long firstUnit;
  private final long firstRowInUnit;
  private final long nextUnit;

  Batch(Layout layout, RecordBatch message, Cells[] cells) {
    this.layout = layout;
    this.cells = cells;
    this.rowCount = message.getRowCount();
    this.firstUnit = message.getFirstUnit();
    this.firstRowInUnit = message.getFirstRowInUnit();
    this.nextUnit = message.getNextUnit();
  }

  /**
   * The table's name.
   *
   * @return the name
   */
  public String table() {
    return layout.table();
  }

  /**
   * The table's columns, in order, and what they mean.
   *
   * @return the schema
   */
  public TableSchema schema() {
    return layout.schema;
  }

  /**
   * How many rows.
   *
   * @return 0 or more
   */
  public int rowCount() {
    return rowCount;
  }

  /**
   * The unit (patient, or row where the generator models rows) of the first row.
   *
   * @return the unit
   */
  public long firstUnit() {
    return firstUnit;
  }

  /**
   * The position of the first row within its unit: above 0 where a unit's rows did not fit one batch.
   *
   * @return from 0
   */
  public long firstRowInUnit() {
    return firstRowInUnit;
  }

  /**
   * Every unit below this one is complete, in every table, once this batch is read.
   *
   * @return the unit to go on from
   */
  public long nextUnit() {
    return nextUnit;
  }

  /**
   * Whether a cell is null.
   *
   * @param column its column
   * @param row from 0
   * @return true for null
   */
  public boolean isNull(String column, int row) {
    return cells(column).isNull(row);
  }

  /**
   * Whether any cell of a column is null.
   *
   * @param column its name
   * @return true where {@link #isNull} is for some row
   */
  public boolean hasNulls(String column) {
    return cells(column).validity != null;
  }

  /**
   * A column of booleans.
   *
   * @param column its name
   * @return one per row
   */
  public boolean[] booleans(String column) {
    return stored(column, cells(column).booleans);
  }

  /**
   * A column of 64-bit integers; of decimals the unscaled values (value × 10^scale), of date-times
   * microseconds since 1970-01-01T00:00:00 (in UTC where the column has a time zone), of durations
   * microseconds.
   *
   * @param column its name
   * @return one per row
   */
  public long[] longs(String column) {
    return stored(column, cells(column).longs);
  }

  /**
   * A column of binary floating-point numbers. Decimals are not: see {@link #longs} and {@link #value}.
   *
   * @param column its name
   * @return one per row
   */
  public double[] doubles(String column) {
    return stored(column, cells(column).doubles);
  }

  /**
   * A column of dates.
   *
   * @param column its name
   * @return days since 1970-01-01, one per row
   */
  public int[] days(String column) {
    Cells found = cells(column);
    return stored(column, found.storage == Storage.STORAGE_DATE ? found.ints : null);
  }

  /**
   * A column of strings, however it travelled.
   *
   * @param column its name
   * @return one per row, null for null; a new array
   */
  public String[] strings(String column) {
    Cells found = cells(column);
    if (found.storage != Storage.STORAGE_STRING) {
      throw other(column);
    }
    String[] strings = new String[rowCount];
    for (int row = 0; row < strings.length; row++) {
      strings[row] = found.isNull(row) ? null : found.string(row);
    }
    return strings;
  }

  /**
   * The distinct strings that {@link #indices} points into. Equal for all batches of a stream.
   *
   * @param column a column of strings or of lists
   * @return immutable; empty where the strings of the column travelled as they are, as keys do
   */
  public List<String> dictionary(String column) {
    String[] dictionary = cells(column).dictionary;
    return dictionary == null ? List.of() : Collections.unmodifiableList(Arrays.asList(dictionary));
  }

  /**
   * The positions in {@link #dictionary} of a column of strings; of a column of lists those of all lists, one
   * after another.
   *
   * @param column a column whose strings travelled with a dictionary
   * @return one per row; of lists as many as {@link #offsets} says
   */
  public int[] indices(String column) {
    Cells found = cells(column);
    return stored(column, found.dictionary == null ? null : found.ints);
  }

  /**
   * Where the lists of a column lie in {@link #indices}: that of row i from {@code offsets[i]} to before
   * {@code offsets[i + 1]}.
   *
   * @param column a column of lists
   * @return one more than rows
   */
  public int[] offsets(String column) {
    return stored(column, cells(column).offsets);
  }

  /**
   * A cell as an object: Boolean, Long, Double, {@link java.math.BigDecimal}, {@link java.time.LocalDate},
   * {@link java.time.Instant} (a column with a time zone) or {@link java.time.LocalDateTime} (one without),
   * {@link java.time.Duration}, String or an immutable list of strings.
   *
   * @param column its column
   * @param row from 0
   * @return null for null
   */
  public Object value(String column, int row) {
    return cells(column).value(row);
  }

  /**
   * A view of one row.
   *
   * @param index from 0
   * @return the row
   * @throws IndexOutOfBoundsException when there are fewer
   */
  public Row row(int index) {
    if (index < 0 || index >= rowCount) {
      throw new IndexOutOfBoundsException("row " + index + " of " + rowCount);
    }
    return new Row(this, index);
  }

  /**
   * The rows in order.
   *
   * @return views of this batch
   */
  @Override
  public Iterator<Row> iterator() {
    return new Iterator<>() {
      private int next;

      @Override
      public boolean hasNext() {
        return next < rowCount;
      }

      @Override
      public Row next() {
        if (!hasNext()) {
          throw new NoSuchElementException();
        }
        return new Row(Batch.this, next++);
      }
    };
  }

  /**
   * The rows as objects, as {@link Sample#as} makes them.
   *
   * @param <T> the class
   * @param type a record or another class
   * @return one per row, in order
   * @throws MappingException when the class does not fit the columns, or a cell its type
   */
  public <T> List<T> as(Class<T> type) {
    RowMapper<T> mapper = layout.mapper(type);
    List<T> rows = new ArrayList<>(rowCount);
    for (int row = 0; row < rowCount; row++) {
      rows.add(mapper.map(this, row));
    }
    return rows;
  }

  Layout layout() {
    return layout;
  }

  Cells cells(String column) {
    return cells[layout.position(column)];
  }

  Cells cells(int position) {
    return cells[position];
  }

  private <A> A stored(String column, A array) {
    if (array == null) {
      throw other(column);
    }
    return array;
  }

  private IllegalArgumentException other(String column) {
    Cells found = cells(column);
    String travelled = found.strings == null ? "" : ", without a dictionary";
    return new IllegalArgumentException(
        table() + "." + column + " holds " + Storages.name(found.column) + travelled);
  }
}
