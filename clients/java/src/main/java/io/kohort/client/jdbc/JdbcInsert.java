// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client.jdbc;

import io.kohort.client.Batch;
import io.kohort.client.Sample;
import io.kohort.v1.TableSchema;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.SQLFeatureNotSupportedException;
import java.sql.Savepoint;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/**
 * Writes samples into tables that exist, all rows or none.
 *
 * <p>Columns are matched by name: exactly, else without regard to case. Cells are fitted to the types of the table:
 * truth values become 1 and 0 in columns of numbers, instants local times of UTC in columns without a time zone,
 * durations seconds in columns of numbers, and anything but lists text in columns of text. NULL is written for null.
 *
 * <p>Names are quoted as the database wants it, so that any name will do. Not for use by several threads.
 */
public final class JdbcInsert {
  private final Connection connection;
  private final Map<String, String> tables = new LinkedHashMap<>();
  private final Map<String, String> columns = new HashMap<>();
  private final Map<String, Object> constants = new LinkedHashMap<>();
  private final Set<String> skipped = new HashSet<>();
  private String only;
  private String schema;
  private int batchRows = 1000;

  JdbcInsert(Connection connection) {
    this.connection = Objects.requireNonNull(connection, "connection");
  }

  /**
   * Names the table for a sample that has one.
   *
   * @param table its name in the database, without schema
   * @return this
   */
  public JdbcInsert into(String table) {
    only = Objects.requireNonNull(table, "table");
    return this;
  }

  /**
   * Names the table for one of several tables of a sample.
   *
   * @param sampled the table of the sample
   * @param table its name in the database, without schema
   * @return this
   */
  public JdbcInsert into(String sampled, String table) {
    tables.put(sampled, Objects.requireNonNull(table, "table"));
    return this;
  }

  /**
   * Names the schema of the tables.
   *
   * @param schema its name. Default: that of the connection
   * @return this
   */
  public JdbcInsert schema(String schema) {
    this.schema = schema;
    return this;
  }

  /**
   * Writes a column into one that has another name, in every table that has it.
   *
   * @param sampled the column of the sample
   * @param column its name in the database
   * @return this
   */
  public JdbcInsert column(String sampled, String column) {
    columns.put(sampled, Objects.requireNonNull(column, "column"));
    return this;
  }

  /**
   * Leaves a column of the sample out.
   *
   * @param sampled the column of the sample
   * @return this
   */
  public JdbcInsert skip(String sampled) {
    skipped.add(sampled);
    return this;
  }

  /**
   * Writes the same into a column of every row, such as the name of the model, so that rows say where they come from.
   *
   * @param column its name in the database
   * @param value as {@link java.sql.PreparedStatement#setObject} takes it
   * @return this
   */
  public JdbcInsert constant(String column, Object value) {
    constants.put(column, value);
    return this;
  }

  /**
   * Sets how many rows go to the database at once.
   *
   * @param rows 1 or more. Default: 1000
   * @return this
   */
  public JdbcInsert batchRows(int rows) {
    if (rows < 1) {
      throw new IllegalArgumentException("a batch has at least one row");
    }
    batchRows = rows;
    return this;
  }

  /**
   * Writes all rows of a sample. They are committed once the sample's end was compared with its trailer; where anything
   * fails before, none of them stays. A connection with auto-commit off keeps its transaction: the rows are then part
   * of it, for the caller to commit, and a failure takes back these rows alone.
   *
   * @param sample unread; the caller closes it
   * @return rows written
   * @throws JdbcException a table or column is not there, or does not fit, before anything is written
   * @throws SQLException the database refuses
   * @throws io.kohort.client.KohortException the sample broke
   */
  public long write(Sample sample) throws SQLException {
    boolean own = connection.getAutoCommit();
    Savepoint before = null;
    if (own) {
      connection.setAutoCommit(false);
    } else {
      before = connection.setSavepoint();
    }
    long rows;
    try {
      rows = insert(sample);
      finish(before);
    } catch (Throwable failed) {
      takeBack(before, failed);
      throw failed;
    }
    if (own) {
      connection.setAutoCommit(true);
    }
    return rows;
  }

  private void finish(Savepoint before) throws SQLException {
    if (before == null) {
      connection.commit();
      return;
    }
    try {
      connection.releaseSavepoint(before);
    } catch (SQLFeatureNotSupportedException harmless) { // it goes with the transaction
      return;
    }
  }

  /** Where this fails, auto-commit stays off: turning it on could commit a part. */
  private void takeBack(Savepoint before, Throwable failed) {
    try {
      if (before == null) {
        connection.rollback();
        connection.setAutoCommit(true);
      } else {
        connection.rollback(before);
      }
    } catch (SQLException too) {
      failed.addSuppressed(too);
    }
  }

  private long insert(Sample sample) throws SQLException {
    Map<String, JdbcTable> targets = new HashMap<>();
    try {
      for (TableSchema table : sample.header().getSchema().getTablesList()) {
        targets.put(table.getName(), open(table, sample.header().getSchema().getTablesCount() == 1));
      }
      long rows = 0;
      for (Batch batch : sample.batches()) {
        targets.get(batch.table()).add(batch);
        rows += batch.rowCount();
      }
      for (JdbcTable table : targets.values()) {
        table.flush();
      }
      return rows;
    } finally {
      for (JdbcTable table : targets.values()) {
        table.close();
      }
    }
  }

  private JdbcTable open(TableSchema sampled, boolean alone) throws SQLException {
    String table = tables.getOrDefault(sampled.getName(), alone ? only : null);
    if (table == null) {
      throw new JdbcException(sampled.getName(), "no table is named for it: see into");
    }
    Map<String, String> wanted = new LinkedHashMap<>();
    sampled.getColumnsList().stream()
        .map(column -> column.getName())
        .filter(name -> !skipped.contains(name))
        .forEach(name -> wanted.put(name, columns.getOrDefault(name, name)));
    JdbcTable target = new JdbcTable(connection, schema, table, batchRows);
    target.open(wanted, constants);
    return target;
  }
}
