// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/**
 * Rows cannot become what was asked for: a class that does not fit the columns, or a cell that does not fit
 * its type, such as a null for an {@code int}. The text names the column and the component, never a cell.
 */
public final class MappingException extends KohortException {
  private static final long serialVersionUID = 1;

  private final String column;

  MappingException(String column, String message) {
    super(message);
    this.column = column;
  }

  MappingException(String column, String message, Throwable cause) {
    super(message, cause);
    this.column = column;
  }

  /**
   * The column at fault.
   *
   * @return its name; empty where the class itself is
   */
  public String column() {
    return column;
  }
}
