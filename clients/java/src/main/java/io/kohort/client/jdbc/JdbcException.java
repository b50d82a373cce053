// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client.jdbc;

import io.kohort.client.KohortException;

/**
 * A column of a database cannot be read, or is not there to be written. The text names the column, never a cell; so
 * the driver's own exception is no cause of it, since drivers quote cells.
 */
public final class JdbcException extends KohortException {
  private static final long serialVersionUID = 1;

  private final String column;
  private final String sqlState;

  JdbcException(String column, String message) {
    this(column, message, "");
  }

  JdbcException(String column, String message, String sqlState) {
    super(column + ": " + message);
    this.column = column;
    this.sqlState = sqlState;
  }

  /**
   * What is at fault.
   *
   * @return {@code table.column}, or the table
   */
  public String column() {
    return column;
  }

  /**
   * What the driver said, as far as that can be told.
   *
   * @return a SQLSTATE such as {@code 22018}; empty where no driver failed
   */
  public String sqlState() {
    return sqlState;
  }
}
