// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client.jdbc;

import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Iterator;
import java.util.NoSuchElementException;

/** The rows of a result set: always the result set itself, on the next row. */
final class JdbcRows implements Iterator<ResultSet> {
  private final String table;
  private final ResultSet rows;
  private boolean ready;
  private boolean more;

  JdbcRows(String table, ResultSet rows) {
    this.table = table;
    this.rows = rows;
  }

  @Override
  public boolean hasNext() {
    if (!ready) {
      try {
        more = rows.next();
      } catch (SQLException failed) {
        throw failure(table, failed);
      }
      ready = true;
    }
    return more;
  }

  @Override
  public ResultSet next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    ready = false;
    return rows;
  }

  static JdbcException failure(String where, SQLException failed) {
    String state = failed.getSQLState() == null ? "" : failed.getSQLState();
    String told = "SQLSTATE " + (state.isEmpty() ? "unknown" : state) + ", code " + failed.getErrorCode();
    return new JdbcException(where, "the database could not give the rows (" + told + ")", state);
  }
}
