// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client.jdbc;

import io.kohort.client.Batch;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** An INSERT into one table of a database, filled from batches. */
final class JdbcTable implements AutoCloseable {
  private final Connection connection;
  private final JdbcNames names;
  private final String target;
  private final String table;
  private final int batchRows;
  private final List<String> columns = new ArrayList<>(); // as the INSERT has them: quoted
  private final List<Setter> setters = new ArrayList<>();
  private PreparedStatement insert;
  private int waiting;

  JdbcTable(Connection connection, String schema, String table, int batchRows) throws SQLException {
    this.connection = connection;
    this.names = new JdbcNames(connection.getMetaData());
    this.table = table;
    this.target = names.table(connection, schema, table);
    this.batchRows = batchRows;
  }

  /**
   * Prepares the statement.
   *
   * @param wanted the columns of the sample, each with its name in the database
   * @param constants what stands in every row, by the column in the database
   */
  void open(Map<String, String> wanted, Map<String, Object> constants) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet none = statement.executeQuery("SELECT * FROM " + target + " WHERE 1 = 0")) {
      ResultSetMetaData there = none.getMetaData();
      for (Map.Entry<String, String> column : wanted.entrySet()) {
        int position = add(there, column.getValue());
        JdbcCell cell = JdbcCell.of(there, position, table + "." + there.getColumnName(position));
        String sampled = column.getKey();
        setters.add((into, i, batch, row) -> cell.set(into, i, batch.value(sampled, row)));
      }
      for (Map.Entry<String, Object> constant : constants.entrySet()) {
        add(there, constant.getKey());
        setters.add((into, i, batch, row) -> into.setObject(i, constant.getValue()));
      }
    }
    if (columns.isEmpty()) {
      throw new JdbcException(table, "there is no column to write");
    }
    String places = "?, ".repeat(columns.size() - 1) + "?";
    insert =
        connection.prepareStatement(
            "INSERT INTO " + target + " (" + String.join(", ", columns) + ") VALUES (" + places + ")");
  }

  private int add(ResultSetMetaData there, String name) throws SQLException {
    int position = names.position(there, table, name);
    String quoted = names.quoted(there.getColumnName(position));
    if (columns.contains(quoted)) {
      throw new JdbcException(table + "." + there.getColumnName(position), "two columns are to be written into it");
    }
    columns.add(quoted);
    return position;
  }

  void add(Batch batch) throws SQLException {
    for (int row = 0; row < batch.rowCount(); row++) {
      for (int i = 0; i < setters.size(); i++) {
        setters.get(i).set(insert, i + 1, batch, row);
      }
      insert.addBatch();
      if (++waiting == batchRows) {
        flush();
      }
    }
  }

  void flush() throws SQLException {
    if (waiting > 0) {
      insert.executeBatch();
      waiting = 0;
    }
  }

  @Override
  public void close() throws SQLException {
    if (insert != null) {
      insert.close();
    }
  }

  private interface Setter {
    void set(PreparedStatement into, int parameter, Batch batch, int row) throws SQLException;
  }
}
