// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.Column;
import io.kohort.v1.TableSchema;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;

/**
 * The rows of one table that is to be uploaded: where they come from, and the columns that they have.
 *
 * @param <T> what a row is
 */
final class TypedRows<T> {
  TableSchema declared = TableSchema.getDefaultInstance();
  String subjectKey = "";

  private final String table;
  private final Iterator<? extends T> rows;
  private final Map<String, UploadColumn> columns = new LinkedHashMap<>();
  private final List<Function<? super T, ?>> cells = new ArrayList<>();
  private boolean claimed;

  TypedRows(String table, Iterator<? extends T> rows) {
    this.table = Objects.requireNonNull(table, "table");
    this.rows = Objects.requireNonNull(rows, "rows");
  }

  void add(String name, UploadColumn column, Function<? super T, ?> cell) {
    Objects.requireNonNull(cell, "cell");
    if (columns.putIfAbsent(name, column) != null) {
      throw UploadColumn.refused("DUPLICATE_COLUMN", table + "." + name, "two columns have this name");
    }
    cells.add(cell);
  }

  /**
   * Checks what can be checked before a row is read, which happens once.
   *
   * @throws InvalidRequestException a column is declared that is not there
   * @throws IllegalStateException it was claimed before, or has no columns
   */
  void claim() {
    if (claimed) {
      throw new IllegalStateException("the rows are read once; make another upload");
    }
    if (columns.isEmpty()) {
      throw new IllegalStateException("the upload of " + table + " has no columns");
    }
    for (Column column : declared.getColumnsList()) {
      need(column.getName(), "it is declared but not in the data");
    }
    if (!subjectKey.isEmpty()) {
      need(subjectKey, "the subject key is not in the data");
    }
    claimed = true;
  }

  private void need(String column, String otherwise) {
    if (!columns.containsKey(column)) {
      throw UploadColumn.refused("MISSING_COLUMN", table + "." + column, otherwise);
    }
  }

  /** An empty spool for these rows. */
  SpooledRows spool() {
    return new SpooledRows(table, List.copyOf(columns.values()));
  }

  /** Reads all rows. InvalidRequestException: a cell that cannot be sent, or there is no row. */
  void readInto(SpooledRows spooled) throws IOException {
    UploadColumn[] columns = this.columns.values().toArray(new UploadColumn[0]);
    DataOutputStream out = spooled.out();
    while (rows.hasNext()) {
      T row =
          Objects.requireNonNull(
              rows.next(), () -> "row " + (spooled.count() + 1) + " of " + table + " is null, not an object");
      for (int i = 0; i < columns.length; i++) {
        columns[i].write(cells.get(i).apply(row), out);
      }
      spooled.rowWritten();
    }
    if (spooled.count() == 0) {
      throw UploadColumn.refused("EMPTY_TABLE", table, "has no rows");
    }
  }
}
