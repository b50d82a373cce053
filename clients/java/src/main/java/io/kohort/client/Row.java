// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.Storage;
import io.kohort.v1.TableSchema;
import java.math.BigDecimal;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One synthetic row: a view of its {@link Batch}, which it keeps in memory.
 *
 * <p>Every method that takes a column's name throws {@link IllegalArgumentException} when the table has no
 * such column, or when its cells are of another type. Those that give primitives throw
 * {@link MappingException} for a null cell; the others give null.
 */
public final class Row {
  private final Batch batch;
  private final int index;

  Row(Batch batch, int index) {
    this.batch = batch;
    this.index = index;
  }

  /**
   * The table that it belongs to.
   *
   * @return the name
   */
  public String table() {
    return batch.table();
  }

  /**
   * The table's columns.
   *
   * @return the schema
   */
  public TableSchema schema() {
    return batch.schema();
  }

  /**
   * Whether a cell is null.
   *
   * @param column its column
   * @return true for null
   */
  public boolean isNull(String column) {
    return batch.cells(column).isNull(index);
  }

  /**
   * A cell as an object; see {@link Batch#value} for the types.
   *
   * @param column its column
   * @return null for null
   */
  public Object get(String column) {
    return batch.cells(column).value(index);
  }

  /**
   * A cell as an object.
   *
   * @param position of its column, from 0
   * @return null for null
   */
  public Object get(int position) {
    return batch.cells(position).value(index);
  }

  /**
   * A cell of a column of booleans.
   *
   * @param column its name
   * @return the cell
   */
  public boolean getBoolean(String column) {
    return present(column, Storage.STORAGE_BOOL).booleans[index];
  }

  /**
   * A cell of a column of integers.
   *
   * @param column its name
   * @return the cell
   */
  public long getLong(String column) {
    return present(column, Storage.STORAGE_INT64).longs[index];
  }

  /**
   * A cell of a column of integers.
   *
   * @param column its name
   * @return the cell
   * @throws MappingException also when it does not fit 32 bits
   */
  public int getInt(String column) {
    long value = getLong(column);
    if (value != (int) value) {
      throw new MappingException(column, table() + "." + column + ": a cell does not fit an int");
    }
    return (int) value;
  }

  /**
   * A cell of a column of numbers: doubles as they are, decimals and integers as the nearest double.
   *
   * @param column its name
   * @return the cell
   */
  public double getDouble(String column) {
    Cells cells =
        present(column, Storage.STORAGE_DOUBLE, Storage.STORAGE_DECIMAL, Storage.STORAGE_INT64);
    return cells.number(index);
  }

  /**
   * A cell of a column of decimals or integers, exactly.
   *
   * @param column its name
   * @return with the column's scale; null for null
   */
  public BigDecimal getDecimal(String column) {
    Cells cells = of(column, Storage.STORAGE_DECIMAL, Storage.STORAGE_INT64);
    return cells.isNull(index) ? null : cells.decimal(index);
  }

  /**
   * A cell of a column of strings.
   *
   * @param column its name
   * @return null for null
   */
  public String getString(String column) {
    return (String) of(column, Storage.STORAGE_STRING).value(index);
  }

  /**
   * A cell of a column of dates.
   *
   * @param column its name
   * @return null for null
   */
  public LocalDate getDate(String column) {
    return (LocalDate) of(column, Storage.STORAGE_DATE).value(index);
  }

  /**
   * A cell of a column of date-times without a time zone.
   *
   * @param column its name
   * @return null for null
   */
  public LocalDateTime getDateTime(String column) {
    Object value = of(column, Storage.STORAGE_DATETIME).value(index);
    if (value instanceof Instant) {
      throw other(column);
    }
    return (LocalDateTime) value;
  }

  /**
   * A cell of a column of date-times with a time zone.
   *
   * @param column its name
   * @return null for null
   */
  public Instant getInstant(String column) {
    Object value = of(column, Storage.STORAGE_DATETIME).value(index);
    if (value instanceof LocalDateTime) {
      throw other(column);
    }
    return (Instant) value;
  }

  /**
   * A cell of a column of durations.
   *
   * @param column its name
   * @return null for null
   */
  public Duration getDuration(String column) {
    return (Duration) of(column, Storage.STORAGE_DURATION).value(index);
  }

  /**
   * A cell of a column of lists.
   *
   * @param column its name
   * @return immutable; null for null
   */
  public List<String> getStrings(String column) {
    Cells cells = of(column, Storage.STORAGE_STRING_LIST);
    return cells.isNull(index) ? null : cells.list(index);
  }

  /**
   * All cells by column, in the schema's order; see {@link Batch#value} for the types.
   *
   * @return a new map
   */
  public Map<String, Object> toMap() {
    Map<String, Object> map = new LinkedHashMap<>();
    for (int i = 0; i < batch.layout().width(); i++) {
      map.put(batch.layout().column(i).getName(), get(i));
    }
    return map;
  }

  /**
   * The row as an object, as {@link Sample#as} makes it.
   *
   * @param <T> the class
   * @param type a record or another class
   * @return a new object
   * @throws MappingException when the class does not fit the columns, or a cell its type
   */
  public <T> T as(Class<T> type) {
    return batch.layout().mapper(type).map(batch, index);
  }

  /**
   * The table and the columns, without any cell.
   *
   * @return for logs
   */
  @Override
  public String toString() {
    return "Row " + index + " of a batch of " + table();
  }

  private Cells of(String column, Storage... storages) {
    Cells cells = batch.cells(column);
    for (Storage storage : storages) {
      if (cells.storage == storage) {
        return cells;
      }
    }
    throw other(column);
  }

  private Cells present(String column, Storage... storages) {
    Cells cells = of(column, storages);
    if (cells.isNull(index)) {
      throw new MappingException(column, table() + "." + column + ": a cell is null: ask isNull first");
    }
    return cells;
  }

  private IllegalArgumentException other(String column) {
    return new IllegalArgumentException(
        table() + "." + column + " holds " + Storages.name(batch.cells(column).column));
  }
}
